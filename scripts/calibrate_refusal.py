"""Fit the refusal model of `ragkit.generate.answerability` and report it on articles it has not seen.

    python scripts/calibrate_refusal.py DATA_DIR [--questions 1500] [--reader MODEL]

DATA_DIR holds `train/squad-train.jsonl.gz`, `train/squad-test.jsonl.gz`, `train/clapnq-dev.jsonl.gz` and `clinc-oos/`.
Fitting uses squad-train only, with a reader the titles held out of its training; the other two are only reported on.
--reader is a folder of scripts/train_reader.py. For each part its paragraphs are indexed once (a temporary folder keyed
by the part). An answerable question counts as answerable with its paragraph among the results and as unanswerable when
that paragraph is left out; adversarial ones were written to have no answer in a paragraph that is in the index;
off-topic ones are CLINC150's out-of-scope ones; of CLAP NQ, people found no answer in the passages of half the
questions. Prints the constants to paste, and for each part, at the thresholds for wanted rates: false refusals and
unanswerable questions caught, by kind, with 95% Wilson intervals; and how well the chances are calibrated (expected
calibration error over ten bins, Naeini et al. 2015, on answerable and unanswerable questions in equal parts).
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from scipy import optimize
from train_reader import area, held_out

from ragkit.config.schema import Config, Retrieval
from ragkit.embed import make_embedder
from ragkit.evaluate.statistics import share_interval
from ragkit.generate.answerability import RATES, READ, Calibration, features
from ragkit.generate.reader import Reader
from ragkit.ingest.index import build_index
from ragkit.retrieve.retriever import retrieve
from ragkit.store.open import open_snapshot
from ragkit.train.answerability import calibration_error

T = TypeVar("T")
Rows = list[tuple[str, int, tuple[float, ...]]]
KINDS = ("answerable", "paragraph removed", "off topic", "adversarial", "clapnq, no answer")
SHOWN = (0.05, 0.1)


def read(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


@dataclass(frozen=True, slots=True)
class Part:
    """What to measure on: a file of questions, which of their titles, and the off-topic questions that go with it."""

    name: str
    off_topic: str
    titles: Callable[[str], bool] = lambda title: True


def config_for(part: str) -> Config:
    folder = Path(tempfile.gettempdir()) / "ragkit-calibration" / part
    return Config.model_validate(
        {"ingestion": {"store": {"path": str(folder / "index")}, "chunking": {"chunk_size": 200, "overlap": 30}}}
    )


class System:
    """Retrieval over the paragraphs of a part, and the features of what it finds."""

    def __init__(self, part: str, paragraphs: Iterable[str], reader: Reader | None) -> None:
        config = config_for(part)
        folder = config.ingestion.store.path.parent
        folder.mkdir(parents=True, exist_ok=True)
        corpus = folder / "corpus.jsonl"
        self._numbers = {text: str(number) for number, text in enumerate(dict.fromkeys(paragraphs))}
        rows = [json.dumps({"id": number, "text": text}) + "\n" for text, number in self._numbers.items()]
        corpus.write_text("".join(rows))
        build_index(config, [corpus])
        self._store = open_snapshot(config).store
        self._embedder = make_embedder(config.ingestion.embedding)
        self._reader = reader

    def features(self, question: str, without: str | None = None) -> tuple[float, ...]:
        """Of the first ten results, those of the paragraph `without` left out."""
        found = retrieve(question, self._store, self._embedder, Retrieval(top_k=20)).results
        gone = None if without is None else f"corpus.jsonl#{self._numbers[without]}"
        kept = [result for result in found if result.chunk.source_document != gone][:10]
        texts = [result.chunk.indexed_text for result in kept[:READ]]
        return features(question, kept, self._reader.read(question, texts) if self._reader else None)


def rows_of(data: Path, part: Part, count: int, reader: Reader | None) -> Rows:
    """(kind, label, features) for the questions of a part of SQuAD."""
    questions = read(data / "train" / f"{part.name}.jsonl.gz")
    system = System(part.name, (str(row["passage"]) for row in questions), reader)
    questions = [row for row in questions if part.titles(row["title"])]
    chosen = random.Random(7)
    answerable = [row for row in questions if row["answerable"]]
    adversarial = [row for row in questions if not row["answerable"]]
    rows: Rows = []
    for row in progress(chosen.sample(answerable, min(count, len(answerable))), f"{part.name}, answerable"):
        rows.append(("answerable", 1, system.features(row["question"])))
        rows.append(("paragraph removed", 0, system.features(row["question"], row["passage"])))
    for row in progress(chosen.sample(adversarial, min(count, len(adversarial))), f"{part.name}, adversarial"):
        rows.append(("adversarial", 0, system.features(row["question"])))
    for question in progress(off_topic(data, part.off_topic)[: max(100, count // 3)], f"{part.name}, off topic"):
        rows.append(("off topic", 0, system.features(question)))
    return rows


def clapnq_rows(data: Path, reader: Reader | None) -> Rows:
    """The same for CLAP NQ: its passages are one corpus; whether they answer is what people said."""
    questions = read(data / "train" / "clapnq-dev.jsonl.gz")
    system = System("clapnq-dev", (passage["text"] for row in questions for passage in row["passages"]), reader)
    return [
        (
            "answerable" if row["answerable"] else "clapnq, no answer",
            row["answerable"],
            system.features(row["question"]),
        )
        for row in progress(questions, "clapnq-dev")
    ]


def progress(rows: Sequence[T], name: str) -> Iterable[T]:
    return track(rows, name, console=Console(stderr=True))


def off_topic(data: Path, part: str) -> list[str]:
    found: list[str] = []
    for path in sorted((data / "clinc-oos").glob("*.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        found += [str(item[0]) for item in content.get(f"oos_{part}", [])]
    return found


def fit(rows: Rows, kinds: Sequence[str]) -> Calibration:
    """Logistic regression with a small ridge on these kinds of questions, answerable and not in equal parts."""
    used = [row for row in rows if row[0] in kinds]
    values = np.array([row[2] for row in used])
    labels = np.array([row[1] for row in used], dtype=float)
    share = np.array([0.5 / (1 - labels).sum(), 0.5 / labels.sum()])
    weight: NDArray[np.float64] = share[labels.astype(int)]

    def loss(parameters: NDArray[np.float64]) -> float:
        logits = values @ parameters[:-1] + parameters[-1]
        signed: NDArray[np.float64] = logits * (1 - 2 * labels)
        losses: NDArray[np.float64] = np.logaddexp(np.zeros_like(signed), signed)
        return float(np.dot(weight, losses)) + 1e-4 * float(np.dot(parameters[:-1], parameters[:-1]))

    untyped: Any = optimize
    found = untyped.minimize(loss, np.zeros(values.shape[1] + 1))
    fitted = Calibration(tuple(round(float(one), 3) for one in found.x[:-1]), round(float(found.x[-1]), 3), ())
    answerable = chances(rows, fitted)["answerable"]
    return replace(fitted, thresholds=tuple(round(float(np.quantile(answerable, rate)), 3) for rate in RATES))


def chances(rows: Rows, model: Calibration) -> dict[str, NDArray[np.float64]]:
    """The chances that a model gives, by kind."""
    found = {
        kind: np.array([np.dot(model.coefficients, v) + model.intercept for k, _, v in rows if k == kind])
        for kind in KINDS
    }
    return {kind: 1 / (1 + np.exp(-one)) for kind, one in found.items() if len(one)}


def share(hits: int, total: int) -> str:
    found = share_interval(hits, total)
    return f"{found.mean:.3f} ({found.low:.3f} to {found.high:.3f}, n={total})"


def report(part: str, rows: Rows, model: Calibration) -> None:
    scores = chances(rows, model)
    positive = scores.pop("answerable")
    unanswerable = np.concatenate(list(scores.values()))
    print(f"\n{part}: expected calibration error {calibration_error(positive, unanswerable):.3f}")
    for kind, negative in scores.items():
        print(f"  AUC against {kind}: {area(positive, negative):.3f}")
    for rate in SHOWN:
        threshold = model.threshold(rate)
        print(f"  wanted {rate:.2f}, threshold {threshold:.3f}")
        print(f"    false refusals       {share(int((positive < threshold).sum()), len(positive))}")
        for kind, negative in scores.items():
            print(f"    {kind:<18} caught {share(int((negative < threshold).sum()), len(negative))}")
        # What the model tells apart, whatever its threshold: at a tenth of false refusals on this very part.
    threshold = float(np.quantile(positive, 0.1))
    told = ", ".join(f"{kind} {float((negative < threshold).mean()):.3f}" for kind, negative in scores.items())
    print(f"  at exactly .10 false refusals here: {told}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("--questions", type=int, default=1500)
    parser.add_argument("--reader", type=Path)
    given = parser.parse_args()
    reader = Reader(given.reader) if given.reader else None
    unread = Part("squad-train", "val", held_out) if reader else Part("squad-train", "train")
    tuning = rows_of(given.data, unread, given.questions, reader)
    # Without a reader the features cannot see why an adversarial question has no answer.
    model = fit(tuning, KINDS if reader else KINDS[:3])
    print(f"{'WITH_READER' if reader else 'WITHOUT_READER'} = {model}")
    if reader is None:
        means = np.array([row[2] for row in tuning]).mean(axis=0)
        print(f"MEANS = {tuple(round(float(m), 3) for m in means)}")
    report("squad-train (fitted on)", tuning, model)
    report("squad-test (unseen)", rows_of(given.data, Part("squad-test", "test"), given.questions, reader), model)
    report("clapnq-dev (unseen)", clapnq_rows(given.data, reader), model)


if __name__ == "__main__":
    main()
