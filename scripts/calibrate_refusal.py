"""Fit the refusal model of `ragkit.generate.answerability` and report it on articles it has not seen.

    python scripts/calibrate_refusal.py DATA_DIR [--questions 1500]

DATA_DIR holds `train/squad-train.jsonl.gz`, `train/squad-test.jsonl.gz` and `clinc-oos/`. Fitting uses squad-train
only; squad-test is only reported on. For each part its paragraphs are indexed once (a temporary folder keyed by the
part); an answerable question counts as answerable with its paragraph among the results and as unanswerable when that
paragraph is left out; off-topic questions are CLINC150's out-of-scope ones. Prints the constants to paste, and for
both parts: area under the ROC curve and, at the chosen threshold, false refusals and unanswerable questions caught,
by kind, with 95% Wilson intervals.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import random
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from ragkit.config.schema import Config, Retrieval
from ragkit.embed import make_embedder
from ragkit.evaluate.statistics import share_interval
from ragkit.generate.answerability import FEATURES, features
from ragkit.ingest.index import build_index
from ragkit.retrieve.retriever import retrieve
from ragkit.store.open import open_snapshot
from ragkit.types import ScoredChunk

FALSE_REFUSALS = 0.05
Rows = list[tuple[str, int, tuple[float, ...]]]


def read(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def config_for(part: str) -> Config:
    folder = Path(tempfile.gettempdir()) / "ragkit-calibration" / part
    return Config.model_validate(
        {"ingestion": {"store": {"path": str(folder / "index")}, "chunking": {"chunk_size": 200, "overlap": 30}}}
    )


def rows_of(data: Path, part: str, count: int) -> Rows:
    """(kind, label, features) for answerable, removed, adversarial and off-topic questions of a part."""
    config = config_for(part)
    questions = read(data / "train" / f"{part}.jsonl.gz")
    paragraphs = {str(row["passage"]): index for index, row in enumerate(questions)}
    folder = config.ingestion.store.path.parent
    folder.mkdir(parents=True, exist_ok=True)
    corpus = folder / "corpus.jsonl"
    corpus.write_text(
        "".join(json.dumps({"id": str(index), "text": text}) + "\n" for text, index in paragraphs.items())
    )
    build_index(config, [corpus])
    snapshot = open_snapshot(config)
    embedder = make_embedder(config.ingestion.embedding)
    retrieval = Retrieval(top_k=20)

    def results_for(question: str, without: str | None) -> list[ScoredChunk]:
        found = retrieve(question, snapshot.store, embedder, retrieval).results
        kept = [r for r in found if without is None or r.chunk.source_document != f"corpus.jsonl#{without}"]
        return [replace(result) for result in kept[:10]]

    chosen = random.Random(7)
    answerable = [row for row in questions if row["answerable"]]
    adversarial = [row for row in questions if not row["answerable"]]
    rows: Rows = []
    for row in chosen.sample(answerable, min(count, len(answerable))):
        gold = str(paragraphs[str(row["passage"])])
        rows.append(("answerable", 1, features(row["question"], results_for(row["question"], None))))
        rows.append(("paragraph removed", 0, features(row["question"], results_for(row["question"], gold))))
    for row in chosen.sample(adversarial, min(count // 3, len(adversarial))):
        rows.append(("adversarial", 0, features(row["question"], results_for(row["question"], None))))
    for question in off_topic(data, "train" if part.endswith("train") else "test")[: count // 3]:
        rows.append(("off topic", 0, features(question, results_for(question, None))))
    return rows


def off_topic(data: Path, part: str) -> list[str]:
    found: list[str] = []
    for path in sorted((data / "clinc-oos").glob("*.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        found += [str(item[0]) for item in content.get(f"oos_{part}", [])]
    return found


def fit(rows: Rows) -> tuple[NDArray[np.float64], float, NDArray[np.float64]]:
    """Logistic regression with a small ridge; adversarial questions are left out, as these features cannot see them."""
    used = [row for row in rows if row[0] != "adversarial"]
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
    return found.x[:-1], float(found.x[-1]), values.mean(axis=0)


def share(hits: int, total: int) -> str:
    if not total:
        return "-"
    found = share_interval(hits, total)
    return f"{found.mean:.3f} ({found.low:.3f} to {found.high:.3f}, n={total})"


def report(part: str, rows: Rows, weights: NDArray[np.float64], intercept: float, threshold: float) -> None:
    scores = {
        kind: np.array([1 / (1 + math.exp(-(np.dot(weights, v) + intercept))) for k, _, v in rows if k == kind])
        for kind in ("answerable", "paragraph removed", "off topic", "adversarial")
    }
    positive = scores["answerable"]
    print(f"\n{part}: threshold {threshold:.3f}")
    print(f"  false refusals       {share(int((positive < threshold).sum()), len(positive))}")
    for kind in ("paragraph removed", "off topic", "adversarial"):
        negative = scores[kind]
        caught = share(int((negative < threshold).sum()), len(negative))
        area = float(np.mean([(positive > value).mean() + 0.5 * (positive == value).mean() for value in negative]))
        print(f"  {kind:<18} caught {caught}, AUC {area:.3f}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("--questions", type=int, default=1500)
    given = parser.parse_args()
    tuning = rows_of(given.data, "squad-train", given.questions)
    weights, intercept, means = fit(tuning)
    scores = [
        1 / (1 + math.exp(-(float(np.dot(weights, v)) + intercept))) for kind, _, v in tuning if kind == "answerable"
    ]
    threshold = float(np.quantile(scores, FALSE_REFUSALS))
    print(f"FEATURES = {FEATURES}")
    print(f"COEFFICIENTS = {tuple(round(float(w), 3) for w in weights)}")
    print(f"INTERCEPT = {intercept:.3f}")
    print(f"MEANS = {tuple(round(float(m), 3) for m in means)}")
    print(f"MIN_CONFIDENCE = {threshold:.3f}")
    report("squad-train (fitted on)", tuning, weights, intercept, threshold)
    report("squad-test (unseen)", rows_of(given.data, "squad-test", given.questions), weights, intercept, threshold)


if __name__ == "__main__":
    main()
