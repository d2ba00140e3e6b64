"""Train the reader that says whether, and where, a passage answers a question.

    python scripts/train_reader.py train DATA BASE OUT [--start WEIGHTS] [--epochs 2] [--seed 0]
    python scripts/train_reader.py export BASE OUT/reader.safetensors MODEL [--start WEIGHTS]

DATA holds `train/squad-train.jsonl.gz`, `train/qed-train.jsonl.gz` and `clinc-oos/`; BASE is all-MiniLM-L6-v2 (`ragkit
models where all-MiniLM-L6-v2`); WEIGHTS are those of a cross-encoder of scripts/train_reranker.py to begin with. It
goes on where it was killed, and prints how well the reader tells answerable from unanswerable on titles held out.
"""

from __future__ import annotations

import argparse
import json
import time
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from ragkit.generate.reader import WINDOW
from ragkit.train.checkpoint import load_trained, save_trained
from ragkit.train.reader import Encoded, ReaderSettings, encoded, margins, reader_network, train_reader
from ragkit.train.reading import ReadingExample, look_alikes, off_topic, read_reading

HELD_OUT = 6
"""One title of SQuAD in so many is held out."""
LOOK_ALIKES = {"squad-train": 2800, "qed-train": 1000}
QED = 3000
"""Questions of QED that are taken: they are shorter and easier than SQuAD's, and all have an answer."""
OFF_TOPIC = 300


def held_out(group: str) -> bool:
    """Whether a title is kept out of training."""
    return zlib.crc32(group.encode()) % HELD_OUT == 0


def kinds_of(data: Path, seed: int) -> dict[str, list[ReadingExample]]:
    """Examples by kind, those of titles held out among them."""
    squad = read_reading(data / "train" / "squad-train.jsonl.gz")
    qed = read_reading(data / "train" / "qed-train.jsonl.gz")[:QED]
    asked: list[str] = []
    for path in sorted((data / "clinc-oos").glob("*.json")):
        asked += [str(item[0]) for item in json.loads(path.read_text("utf-8")).get("oos_train", [])]
    return {
        "answered": [one for one in squad if one.span],
        "unanswerable": [one for one in squad if not one.span],
        "squad, other passage": look_alikes(squad, LOOK_ALIKES["squad-train"], seed, within_group=True),
        "qed": qed,
        "qed, other passage": look_alikes(qed, LOOK_ALIKES["qed-train"], seed, within_group=False),
        "off topic": off_topic(asked[:OFF_TOPIC], squad, seed),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command", required=True)
    training = commands.add_parser("train")
    training.add_argument("data", type=Path)
    training.add_argument("base", type=Path)
    training.add_argument("out", type=Path)
    training.add_argument("--start", type=Path)
    training.add_argument("--epochs", type=float, default=2.0)
    training.add_argument("--seed", type=int, default=0)
    exporting = commands.add_parser("export")
    exporting.add_argument("base", type=Path)
    exporting.add_argument("weights", type=Path)
    exporting.add_argument("model", type=Path)
    exporting.add_argument("--start", type=Path)
    given = parser.parse_args()
    if given.command == "export":
        _export(given.base, given.weights, given.model, given.start)
    else:
        _train(given)


def _train(given: argparse.Namespace) -> None:
    given.out.mkdir(parents=True, exist_ok=True)
    kinds = kinds_of(given.data, given.seed)
    tokenizer = Tokenizer.from_file(str(given.base / "tokenizer.json"))
    learned: list[Encoded] = []
    for kind, examples in kinds.items():
        own = [one for one in encoded([e for e in examples if not held_out(e.group)], tokenizer, WINDOW) if one]
        print(f"{kind}: {len(own)} of {len(examples)} to learn from", flush=True)
        learned += own
    settings = ReaderSettings(epochs=given.epochs, seed=given.seed)
    network = reader_network(given.base, given.start, settings.frozen, settings.seed)
    weights, checkpoint = given.out / "reader.safetensors", given.out / "reader.checkpoint"
    if weights.is_file():
        load_trained(network, weights)
    else:
        shown = time.monotonic()

        def show(step: int, done: float, loss: float) -> None:
            nonlocal shown
            if time.monotonic() - shown > 20:
                shown = time.monotonic()
                print(f"step {step}, {done:.1%}, loss {loss:.3f}", flush=True)

        print(train_reader(network, learned, settings, checkpoint=checkpoint, progress=show), flush=True)
        save_trained(network, weights)
        checkpoint.unlink(missing_ok=True)
    _report(network, kinds, tokenizer)


def _report(network: object, kinds: dict[str, list[ReadingExample]], tokenizer: Tokenizer) -> None:
    """Area under the curve of answered against each kind of unanswerable, and places found, on titles held out."""
    scores: dict[str, np.ndarray] = {}
    for kind, examples in kinds.items():
        kept = [e for e in examples if held_out(e.group)][:500]
        own = [(e, one) for e, one in zip(kept, encoded(kept, tokenizer, WINDOW), strict=True) if one]
        found = margins(network, [one for _, one in own])
        scores[kind] = found[:, 0]
        if own and own[0][0].span:
            right = [_hits(one, row) for (_, one), row in zip(own, found, strict=True)]
            print(f"{kind}: the best place meets the answer in {np.mean(right):.3f} of {len(right)}")
    for kind in ("unanswerable", "squad, other passage", "off topic"):
        print(f"answered against {kind}: AUC {area(scores['answered'], scores[kind]):.3f} of {len(scores[kind])}")
    print(f"QED against its other passages: AUC {area(scores['qed'], scores['qed, other passage']):.3f}")


def _hits(one: Encoded, found: Sequence[float]) -> bool:
    return bool(found[1] <= one.end and one.start <= found[2])


def area(positive: np.ndarray, negative: np.ndarray) -> float:
    """Of the ROC curve: how often a score of one kind lies above one of the other."""
    return float(np.mean([(positive > v).mean() + 0.5 * (positive == v).mean() for v in negative]))


def _export(base: Path, weights: Path, to: Path, start: Path | None) -> None:
    from ragkit.train.export import export_int8

    network = reader_network(base, start, ReaderSettings().frozen, seed=0)
    load_trained(network, weights)
    made = export_int8(network, base, to, window=WINDOW, outputs=("start_logits", "end_logits"))
    print(f"{made}: {made.stat().st_size} bytes")


if __name__ == "__main__":
    main()
