"""Choose the weights of the extractive generator on half of XQuAD-en and report them on the other half.

    python scripts/tune_extractive.py DATA_DIR [--reader MODEL]

DATA_DIR holds `xquad-en` and, for --reader (a folder of scripts/train_reader.py), `train/squad-train.jsonl.gz`. For
each question the first five chunks of hybrid retrieval are cut into sentences; a sentence is right if it contains a
gold answer. Articles 0 to 23 tune, with a reader those of them that it was not trained on; 24 to 47 report. Prints the
share of questions whose best sentence is right (with a 95% interval) and whose first three hold a right one, for the
weights in use and the best found.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import numpy as np
from numpy.typing import NDArray
from train_reader import held_out

from ragkit.config.load import load_config
from ragkit.embed import Embedder, make_embedder
from ragkit.evaluate.beir import read_dataset
from ragkit.evaluate.retrieval import embedded_questions, index_of, question_vectors
from ragkit.evaluate.statistics import mean_interval
from ragkit.generate.extractive import WEIGHTS, rank_sentences
from ragkit.generate.reader import Reader
from ragkit.ingest.index import build_index
from ragkit.ingest.sentences import split_sentences
from ragkit.retrieve.retriever import retrieve
from ragkit.store.open import open_snapshot

CONFIG = Path(__file__).parent.parent / "configs" / "quickstart.yaml"


class RememberedPassages:
    """An embedder that embeds each sentence once, whatever number of questions look at it."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._rows: dict[str, NDArray[np.float32]] = {}

    def embed_passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
        fresh = [text for text in dict.fromkeys(texts) if text not in self._rows]
        if fresh:
            self._rows.update(zip(fresh, self._embedder.embed_passages(fresh), strict=True))
        return np.stack([self._rows[text] for text in texts])

    def embed_question(self, text: str) -> NDArray[np.float32]:
        return self._embedder.embed_question(text)

    def embed_questions(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return self._embedder.embed_questions(texts)


@dataclass(frozen=True, slots=True)
class Question:
    """Its article, the text that answers, the views of its sentences, shape (sentences, 6), and which of them hold a
    gold answer."""

    article: int
    passage: str
    views: NDArray[np.float64]
    right: list[bool]


def read_questions(folder: Path, reader: Reader | None) -> list[Question]:
    config = load_config(CONFIG).config
    data = read_dataset(folder)
    placed = index_of([data.corpus_path], config)
    embedder = make_embedder(config.ingestion.embedding)
    build_index(placed, [data.corpus_path], embedder=embedder, wait_s=3600)
    remembered = RememberedPassages(embedder)
    known = embedded_questions(list(data.queries.values()), remembered, question_vectors(config))
    answers: dict[str, list[str]] = {
        row["_id"]: row["metadata"]["answers"]
        for line in (folder / "queries.jsonl").read_text(encoding="utf-8").splitlines()
        if (row := json.loads(line))
    }
    texts: dict[str, str] = {
        row["_id"]: row["text"]
        for line in data.corpus_path.read_text(encoding="utf-8").splitlines()
        if (row := json.loads(line))
    }
    snapshot = open_snapshot(placed)
    questions: list[Question] = []
    for query, text in data.queries.items():
        if query not in data.qrels:
            continue
        found = retrieve(text, snapshot.store, known, placed.retrieval).results[:5]
        views = rank_sentences(text, [result.chunk for result in found], known, split_sentences, reader)
        questions.append(
            Question(
                int(min(data.qrels[query]).split("-")[0]),
                texts[min(data.qrels[query])],
                np.array(
                    [[view.likeness, view.terms, view.rank, view.figure, view.names, view.reading] for view in views]
                ),
                [any(answer in view.text for answer in answers[query]) for view in views],
            )
        )
    snapshot.close()
    return questions


def titles(path: Path) -> dict[str, str]:
    """The title of each paragraph."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return {row["passage"]: row["title"] for line in lines if (row := json.loads(line))}


def hits(questions: list[Question], weights: tuple[float, ...], first: int) -> list[float]:
    """1 for each question with a right sentence among the first so many."""
    found: list[float] = []
    for question in questions:
        order: list[int] = np.argsort(-(question.views @ np.array(weights))).tolist()
        found.append(float(any(question.right[index] for index in order[:first])))
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("--reader", type=Path)
    given = parser.parse_args()
    reader = Reader(given.reader) if given.reader else None
    questions = read_questions(given.data / "xquad-en", reader)
    tuning = [question for question in questions if question.article < 24]
    if reader:
        learned = titles(given.data / "train" / "squad-train.jsonl.gz")
        tuning = [question for question in tuning if held_out(learned[question.passage])]
    test = [question for question in questions if question.article >= 24]
    readings = (0.0, 0.1, 0.2, 0.3, 0.5, 0.8) if reader else (0.0,)
    grid = itertools.product((0.3, 0.38), (0.3, 0.54, 0.7), (0.08, 0.2), (0.0, 0.1), (0.1, 0.2), readings)
    best = max(grid, key=lambda weights: (fmean(hits(tuning, weights, 1)), fmean(hits(tuning, weights, 3))))
    for label, weights in (
        ("in use", WEIGHTS),
        ("in use but for the reader", (*WEIGHTS[:5], 0.0)),
        ("best on the tuning half", best),
    ):
        print(f"{label}: likeness, terms, rank, figure, names, reading = {weights}")
        for name, part in (("tuning", tuning), ("test", test)):
            interval = mean_interval(hits(part, weights, 1))
            print(
                f"  {name}: best sentence right {interval.mean:.3f} ({interval.low:.3f} to {interval.high:.3f},"
                f" n={len(part)}),"
                f" one of three {fmean(hits(part, weights, 3)):.3f}"
            )


if __name__ == "__main__":
    main()
