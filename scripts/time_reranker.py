"""How long does a reranker take for one question, beside MiniLM-L6 as a cross-encoder in torch?

    python scripts/time_reranker.py MODEL_DIR [--candidates 10] [--tokens 200] [--threads 2] [--rounds 15]
    python scripts/time_reranker.py --across XQUAD_DIR [--threads 2] [--rounds 15] [--questions 2 4 8]

Both score the same candidates in one process, in turns; printed are the medians, the shortest times and the ratio,
which a busy machine moves less than the times. MiniLM-L6 has all-MiniLM-L6-v2's layers and a head that is not trained,
which costs the same as one that is.

`--across` asks whether the pairs of several questions should be scored together: the pairs of 2, 4 and 8 questions in
batches over all of them, the longest first, beside the questions one after the other, each in a thread of its own (as
the server has them), and one after the other in batches of 32 pairs. With real questions and passages, for three of
MiniLM's layers in 8 bits, which is what `ragkit train reranker` makes, and for MiniLM-L6 in torch. Beside the wall time
stands that of the cores, which says how many pairs a busy server has room for, and which other work on the machine
moves less.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ragkit.rerank import Reranker

QUESTION = "what similarity laws must be obeyed when constructing aeroelastic models of heated high speed aircraft"
TEXT = (
    "The boundary layer on a flat plate in supersonic flow was measured with hot wires and compared with theory. " * 40
)
Asked = Sequence[tuple[str, list[str]]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, nargs="?")
    parser.add_argument("--across", type=Path, help="a BEIR folder: time several questions together")
    parser.add_argument("--questions", type=int, nargs="+", default=[2, 4, 8], help="--across: how many at once")
    parser.add_argument("--candidates", type=int, default=10)
    parser.add_argument("--tokens", type=int, default=200)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=15)
    given = parser.parse_args()
    if (given.model is None) == (given.across is None):
        parser.error("name either a model or --across with a data set")
    os.environ["OMP_NUM_THREADS"] = str(given.threads)  # before torch and onnxruntime are imported
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: given.threads])

    import torch

    torch.set_num_threads(given.threads)
    with tempfile.TemporaryDirectory() as scratch:
        if given.across:
            across(given.across, Path(scratch), given.questions, given.rounds)
        else:
            beside_minilm(given, Path(scratch))


def beside_minilm(given: argparse.Namespace, scratch: Path) -> None:
    from tokenizers import Tokenizer

    from ragkit.models.resolve import on_this_machine
    from ragkit.rerank.cross_encoder import load_cross_encoder

    base = on_this_machine("all-MiniLM-L6-v2").folder
    tokenizer = Tokenizer.from_file(str(base / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    ids = tokenizer.encode(TEXT, add_special_tokens=False).ids[: given.tokens]
    texts = [tokenizer.decode(ids)] * given.candidates
    beside, model = minilm(scratch), load_cross_encoder(str(given.model))

    def seconds(scores: Callable[[str, list[str]], list[float]]) -> float:
        began = time.perf_counter()
        scores(QUESTION, texts)
        return time.perf_counter() - began

    for scores in (beside.scores, model.scores):  # warms both up
        seconds(scores)
    times = [(seconds(beside.scores), seconds(model.scores)) for _ in range(given.rounds)]
    print(f"{given.candidates} candidates of {given.tokens} tokens, {given.threads} threads, {given.rounds} rounds")
    for name, column in (("MiniLM-L6, torch", [a for a, _ in times]), (given.model.name, [b for _, b in times])):
        print(f"{name}: median {statistics.median(column) * 1e3:.0f} ms, shortest {min(column) * 1e3:.0f} ms")
    print(f"ratio: {_spread([b / a for a, b in times])}")


def across(data: Path, scratch: Path, counts: Sequence[int], rounds: int) -> None:
    questions = [json.loads(line)["text"] for line in (data / "queries.jsonl").read_text("utf-8").splitlines()]
    passages = [json.loads(line)["text"] for line in (data / "corpus.jsonl").read_text("utf-8").splitlines()]
    print(f"medians of {rounds} rounds: pairs a second, and ratios of times with four fifths of the rounds")
    every = [(count, candidates) for candidates in (10, 20, 50) for count in counts]
    ways = {"alone": _alone, "threads": _in_threads, "by 32": _by_32, "together": _together}
    _compare("three layers in 8 bits, onnxruntime", three_layers(scratch), ways, questions, passages, every, rounds)
    del ways["by 32"]
    # The slower one at two sizes: it takes as long as all the rest.
    _compare("MiniLM-L6, torch", minilm(scratch), ways, questions, passages, [(4, 10), (4, 20)], rounds)


def _compare(
    name: str,
    model: Reranker,
    ways: Mapping[str, Callable[[Any, Asked], None]],
    questions: Sequence[str],
    passages: Sequence[str],
    sizes: Sequence[tuple[int, int]],
    rounds: int,
) -> None:
    """Print how so many questions with so many candidates each are scored in several ways, in turns."""
    print(f"{name}:")
    for count, candidates in sizes:
        wall: dict[str, list[float]] = {way: [] for way in ways}
        cores: dict[str, list[float]] = {way: [] for way in ways}
        for number in range(-1, rounds):  # the first warms up
            # Each round has other questions and passages, the same for all ways, and another order of these.
            asked = [
                (
                    questions[(number + 1) * 37 + at],
                    [
                        passages[((number + 1) * 91 + at * 17 + place * 3) % len(passages)]
                        for place in range(candidates)
                    ],
                )
                for at in range(count)
            ]
            for at in range(len(ways)):
                way = list(ways)[(at + number) % len(ways)]
                began, worked = time.perf_counter(), time.process_time()
                ways[way](model, asked)
                if number >= 0:
                    wall[way].append(time.perf_counter() - began)
                    cores[way].append(time.process_time() - worked)
        rates = [f"{way} {candidates * count / statistics.median(wall[way]):.0f}" for way in ways]
        print(f"  {count} questions of {candidates}: {', '.join(rates)}; together to", flush=True)
        for way in list(ways)[:-1]:
            ratios = [_spread(_ratios(times["together"], times[way])) for times in (wall, cores)]
            print(f"    {way}: wall {ratios[0]}, cores {ratios[1]}", flush=True)


def _ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    return [a / b for a, b in zip(ours, theirs, strict=True)]


def _alone(model: Reranker, asked: Asked) -> None:
    for question, texts in asked:
        model.scores(question, texts)


def _in_threads(model: Reranker, asked: Asked) -> None:
    with ThreadPoolExecutor(len(asked)) as pool:
        list(pool.map(model.scores, [question for question, _ in asked], [texts for _, texts in asked]))


def _together(model: Any, asked: Asked) -> None:
    """As `scores` does it for one question: the longest pairs first, in batches."""
    from ragkit.rerank import BATCH_SIZE
    from ragkit.rerank.onnx_cross_encoder import OnnxCrossEncoder

    pairs = [(question, text) for question, texts in asked for text in texts]
    if isinstance(model, OnnxCrossEncoder):
        model.pair_scores(pairs)
    else:  # sentence-transformers sorts them itself
        model.model.predict(pairs, batch_size=BATCH_SIZE, show_progress_bar=False)


def _by_32(model: Any, asked: Asked) -> None:
    """Each question by itself in batches of 32 pairs, whatever their length: as it was until this was measured."""
    from ragkit.rerank.onnx_cross_encoder import OnnxCrossEncoder

    assert isinstance(model, OnnxCrossEncoder)
    for question, texts in asked:
        encodings = model._tokenizer.encode_batch([(question, text) for text in texts])  # pyright: ignore[reportPrivateUsage]
        encodings.sort(key=lambda encoding: -len(encoding.ids))
        for start in range(0, len(encodings), 32):
            model._run(encodings[start : start + 32])  # pyright: ignore[reportPrivateUsage]


def minilm(scratch: Path) -> Reranker:
    """all-MiniLM-L6-v2's layers with a head that is not trained, by torch."""
    from ragkit.models.resolve import on_this_machine
    from ragkit.rerank.torch_cross_encoder import TorchCrossEncoder
    from ragkit.train.cross_encoder import base_network
    from ragkit.train.export import copy_tokenizer

    base, folder = on_this_machine("all-MiniLM-L6-v2").folder, scratch / "six"
    base_network(base, range(6), seed=0).save_pretrained(folder)
    copy_tokenizer(base, folder, window=512)
    return TorchCrossEncoder(folder)


def three_layers(scratch: Path) -> Reranker:
    """Three of its layers in 8 bits, by onnxruntime."""
    from ragkit.models.resolve import on_this_machine
    from ragkit.rerank.cross_encoder import load_cross_encoder
    from ragkit.train.cross_encoder import base_network
    from ragkit.train.export import export_int8

    base = on_this_machine("all-MiniLM-L6-v2").folder
    export_int8(base_network(base, (0, 2, 4), seed=0), base, scratch / "three", window=512)
    return load_cross_encoder(str(scratch / "three"))


def _spread(values: Sequence[float]) -> str:
    ranked = sorted(values)
    low, high = ranked[len(ranked) // 10], ranked[-1 - len(ranked) // 10]
    return f"{statistics.median(ranked):.2f} ({low:.2f} to {high:.2f})"


if __name__ == "__main__":
    main()
