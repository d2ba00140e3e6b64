"""How long does a reranker take for one question, beside MiniLM-L6 as a cross-encoder in torch?

    python scripts/time_reranker.py MODEL_DIR [--candidates 10] [--tokens 200] [--threads 2] [--rounds 15]

Both score the same candidates in one process, in turns; printed are the medians, the shortest times and the ratio,
which a busy machine moves less than the times. MiniLM-L6 has all-MiniLM-L6-v2's layers and a head that is not trained,
which costs the same as one that is.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

QUESTION = "what similarity laws must be obeyed when constructing aeroelastic models of heated high speed aircraft"
TEXT = (
    "The boundary layer on a flat plate in supersonic flow was measured with hot wires and compared with theory. " * 40
)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=Path)
    parser.add_argument("--candidates", type=int, default=10)
    parser.add_argument("--tokens", type=int, default=200)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=15)
    given = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(given.threads)  # before torch and onnxruntime are imported
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: given.threads])

    import torch
    from tokenizers import Tokenizer

    from ragkit.models.resolve import on_this_machine
    from ragkit.rerank.cross_encoder import TorchCrossEncoder, load_cross_encoder
    from ragkit.train.cross_encoder import base_network
    from ragkit.train.export import copy_tokenizer

    torch.set_num_threads(given.threads)
    base = on_this_machine("all-MiniLM-L6-v2").folder
    tokenizer = Tokenizer.from_file(str(base / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    ids = tokenizer.encode(TEXT, add_special_tokens=False).ids[: given.tokens]
    texts = [tokenizer.decode(ids)] * given.candidates
    with tempfile.TemporaryDirectory() as scratch:
        base_network(base, range(6), seed=0).save_pretrained(scratch)
        copy_tokenizer(base, Path(scratch), window=512)
        beside = TorchCrossEncoder(Path(scratch))
    model = load_cross_encoder(str(given.model))

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
    ratios = sorted(b / a for a, b in times)
    low, high = ratios[len(ratios) // 10], ratios[-1 - len(ratios) // 10]
    print(f"ratio: median {statistics.median(ratios):.2f}, four fifths between {low:.2f} and {high:.2f}")


if __name__ == "__main__":
    main()
