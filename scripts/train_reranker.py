"""Train rerankers on public questions: read and cut the data, mine wrong passages, train, score, export.

    python scripts/train_reranker.py prepare TRAIN_DIR SETS.json.gz
    python scripts/train_reranker.py train SETS.json.gz BASE_DIR OUT [--runs NAME ...] [--pace F] [--candidates FILE]
    python scripts/train_reranker.py export BASE_DIR OUT/NAME.safetensors MODEL_DIR

TRAIN_DIR holds NAME.jsonl.gz of squad-train, qed-train, medquad, fairytaleqa, dstc9-faq and selqa; BASE_DIR is
all-MiniLM-L6-v2 (`ragkit models where all-MiniLM-L6-v2`). `train` does the RUNS below one after another on a GPU if
there is one: each for its seconds times `--pace`, or for the steps that `--steps NAME=N` gives. It goes on where it was
killed. For each it writes the layers it trained (NAME.safetensors, float16; the embeddings stay those of the base), and
with `--candidates` of scripts/measure_reranker.py the score of every candidate (NAME.npz).
"""

from __future__ import annotations

import argparse
import gzip
import importlib
import json
import time
import zlib
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from ragkit.train.batches import Material, material_of, tokenised
from ragkit.train.checkpoint import load_trained, save_trained
from ragkit.train.cross_encoder import Settings, base_network, keep_layers, score_pairs, train
from ragkit.train.data import READERS, SHARE_ALIKE, TrainingSet, iter_sets, read_set, sentences_as_questions, write_sets
from ragkit.train.encode import embedded
from ragkit.train.mining import Numbers, lexical_ranking, mine

FREE = tuple(name for name in READERS if name not in SHARE_ALIKE)
DEPTH = 30
"""Wrong passages that are kept for each question."""
SENTENCES = 25_000
WINDOW = 256
HELD_OUT = 40
"""One document in so many is held out of training, to see how the training goes."""


@dataclass(frozen=True, slots=True)
class Run:
    """What is trained on which sets. `start` names an earlier run whose weights it begins with, `teacher` one whose
    scores it learns too."""

    sets: tuple[str, ...]
    layers: tuple[int, ...]
    seconds: float
    teacher: str | None = None
    start: str | None = None
    seed: int = 0
    rate: float = 1e-4
    lists: int = 32
    wrong: int = 15
    dropout: float = 0.1


EVERY = (*READERS, "sentences")
UNSHARED = (*FREE, "sentences")
SIX, THREE = (0, 1, 2, 3, 4, 5), (0, 2, 5)
RUNS: dict[str, Run] = {
    "all-6": Run(EVERY, SIX, 90, rate=6e-5),
    "free-6": Run(UNSHARED, SIX, 90, rate=6e-5),
    "all-3": Run(EVERY, THREE, 65, teacher="all-6"),
    "free-3": Run(UNSHARED, THREE, 65, teacher="free-6"),
    "free-3-alone": Run(UNSHARED, THREE, 35),
    "free-6-labelled": Run(FREE, SIX, 35, rate=6e-5),
    "long-6": Run(UNSHARED, SIX, 115, start="free-6", rate=8e-5, lists=64, wrong=9, dropout=0.0),
    "long-3": Run(UNSHARED, THREE, 100, start="long-6", teacher="long-6", rate=2e-4, lists=64, wrong=9, dropout=0.0),
}


def main() -> None:
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command", required=True)
    preparing = commands.add_parser("prepare")
    preparing.add_argument("source", type=Path)
    preparing.add_argument("sets", type=Path)
    training = commands.add_parser("train")
    training.add_argument("sets", type=Path)
    training.add_argument("base", type=Path)
    training.add_argument("out", type=Path)
    training.add_argument("--runs", nargs="+", default=list(RUNS))
    training.add_argument("--pace", type=float, default=1.0, help="all times of training times this")
    training.add_argument("--steps", nargs="*", default=[], metavar="NAME=N", help="steps, not seconds")
    training.add_argument("--candidates", type=Path)
    training.add_argument("--sample", type=int, help="so many passages of each set, to try the script")
    exporting = commands.add_parser("export")
    exporting.add_argument("base", type=Path)
    exporting.add_argument("weights", type=Path)
    exporting.add_argument("model", type=Path)
    given = parser.parse_args()
    if given.command == "prepare":
        sets = [read_set(given.source / f"{name}.jsonl.gz", name) for name in READERS]
        write_sets(sets, given.sets)
        for one in sets:
            print(f"{one.name}: {len(one.examples)} questions, {len(one.passages)} passages")
    elif given.command == "train":
        _train(given)
    else:
        _export(given.base, given.weights, given.model)


def _train(given: argparse.Namespace) -> None:
    given.out.mkdir(parents=True, exist_ok=True)
    log = _Log(given.out / "log.txt")
    sets = list(iter_sets(given.sets))
    sets.append(sentences_as_questions([one for one in sets if one.name in FREE], SENTENCES, seed=0))
    if given.sample:
        for one in sets:
            one.passages, one.titles = one.passages[: given.sample], one.titles[: given.sample]
            one.examples = [e for e in one.examples if max(e.positive, *e.barred, 0) < given.sample][: given.sample]
    tokenizer = _tokenizer(given.base)
    pools = _mined(sets, given.base, tokenizer, given.out / "mined.npz", log)
    material = material_of(sets, pools, tokenizer)
    log(f"{len(material.passages.ids)} tokens of passages")
    groups = [example.group for one in sets for example in one.examples]
    held_out = np.asarray([zlib.crc32(group.encode()) % HELD_OUT == 0 for group in groups])
    steps = dict(part.split("=") for part in given.steps)
    names = [one.name for one in sets]
    networks: dict[str, Any] = {}
    for name in given.runs:
        run = RUNS[name]
        if missing := {run.teacher, run.start} - {None, *networks}:
            raise SystemExit(f"{name} begins with {', '.join(map(str, missing))}: name it before in --runs")
        allowed = np.flatnonzero(np.isin(material.sets, [names.index(part) for part in run.sets]) & ~held_out)
        settings = Settings(
            run.layers,
            steps=int(steps[name]) if name in steps else None,
            seconds=run.seconds * given.pace,
            seed=run.seed,
            rate=run.rate,
            lists=run.lists,
            wrong=run.wrong,
        )
        if run.start:
            network = base_network(given.base, SIX, run.seed, run.dropout)
            load_trained(network, given.out / f"{run.start}.safetensors")
            keep_layers(network, run.layers)
            network.to(_device())
        else:
            network = base_network(given.base, run.layers, run.seed, run.dropout).to(_device())
        weights = given.out / f"{name}.safetensors"
        if weights.is_file():
            load_trained(network, weights)
        else:
            checkpoint = given.out / f"{name}.checkpoint"
            done = train(
                network,
                material,
                allowed,
                settings,
                checkpoint=checkpoint,
                teacher=networks[run.teacher] if run.teacher else None,
                progress=log.progress(name),
            )
            save_trained(network, weights)
            checkpoint.unlink(missing_ok=True)
            log(f"{name}: {len(allowed)} questions, {json.dumps(done)}")
        networks[name] = network.to(_half()).eval()
        found = _first_of_held_out(network, material, np.flatnonzero(held_out), names, settings.window)
        log(f"{name}: right passage first among {1 + DEPTH} on held-out documents: {found}")
        if given.candidates:
            _score(network, given.candidates, given.base, given.out / f"{name}.npz", settings.window)
            log(f"{name}: candidates scored")


class _Log:
    """Lines with the seconds since the start, printed and kept."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._began = time.monotonic()
        self._last = 0.0

    def __call__(self, line: str) -> None:
        text = f"[{time.monotonic() - self._began:6.1f} s] {line}"
        print(text, flush=True)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(text + "\n")

    def progress(self, name: str) -> Any:
        def show(step: int, done: float, loss: float) -> None:
            if loss == loss and time.monotonic() - self._last > 8:
                self._last = time.monotonic()
                self(f"{name}: step {step}, {done:.0%}, loss {loss:.3f}")

        return show


def _device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _half() -> Any:
    import torch

    return torch.bfloat16 if torch.cuda.is_available() else torch.float32


def _tokenizer(base: Path) -> Tokenizer:
    tokenizer = Tokenizer.from_file(str(base / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _mined(sets: list[TrainingSet], base: Path, tokenizer: Tokenizer, kept: Path, log: _Log) -> list[Numbers]:
    """The wrong passages of each set, which are kept in a file."""
    if kept.is_file():
        with np.load(kept) as archive:
            return [archive[one.name] for one in sets]
    transformers: Any = importlib.import_module("transformers")
    with ProcessPoolExecutor() as processes:
        lexical = processes.map(lexical_ranking, sets)
        encoder: Any = transformers.BertModel.from_pretrained(base).to(_device(), _half()).eval()
        pools: dict[str, Any] = {}
        for one, ranking in zip(sets, lexical, strict=True):
            passages = embedded(encoder, tokenised(one.passages, tokenizer), WINDOW)
            questions = embedded(encoder, tokenised([e.question for e in one.examples], tokenizer), WINDOW)
            pools[one.name] = mine(one, ranking, passages, questions, DEPTH)
            each = (pools[one.name] >= 0).sum(1).mean()
            log(f"{one.name}: {len(one.examples)} questions, {each:.1f} wrong passages each")
    partial = kept.with_suffix(".part.npz")
    np.savez_compressed(partial, **pools)
    partial.replace(kept)
    return list(pools.values())


def _first_of_held_out(
    network: Any, material: Material, examples: NDArray[np.int64], names: list[str], window: int
) -> str:
    cells: list[str] = []
    for number, name in enumerate(names):
        own = [int(n) for n in examples[material.sets[examples] == number]][:200]
        pairs = [(n, int(p)) for n in own for p in (material.positives[n], *material.pools[n][material.pools[n] >= 0])]
        if not pairs:
            continue
        scores = score_pairs(network, material.questions, material.passages, pairs, window)
        lists: dict[int, list[float]] = {}
        for (asked, _), score in zip(pairs, scores, strict=True):
            lists.setdefault(asked, []).append(float(score))
        right = [values[0] > max(values[1:], default=-np.inf) for values in lists.values()]
        cells.append(f"{name} {np.mean(right):.2f} of {len(right)}")
    return ", ".join(cells)


def _score(network: Any, candidates: Path, base: Path, to: Path, window: int) -> None:
    tokenizer = _tokenizer(base)
    scores: dict[str, Any] = {}
    with gzip.open(candidates, "rt", encoding="utf-8") as file:
        for line in file:
            data = json.loads(line)
            texts = tokenised(data["texts"], tokenizer)
            asked = tokenised([query["question"] for query in data["queries"]], tokenizer)
            pairs = [(n, text) for n, query in enumerate(data["queries"]) for text in query["texts"]]
            scores[data["name"]] = score_pairs(network, asked, texts, pairs, window)
    np.savez_compressed(to, **scores)


def _export(base: Path, weights: Path, to: Path) -> None:
    from ragkit.train.export import export_int8

    safetensors: Any = importlib.import_module("safetensors")
    with safetensors.safe_open(str(weights), "pt") as file:
        names: list[str] = [name for name in file.keys() if name.startswith("bert.encoder.layer.")]  # noqa: SIM118
    layers = 1 + max(int(name.split(".")[3]) for name in names)
    network = base_network(base, range(layers), seed=0)
    load_trained(network, weights)
    made = export_int8(network, base, to, window=WINDOW)
    print(f"{made}: {made.stat().st_size} bytes")


if __name__ == "__main__":
    main()
