"""People's labels of answers, kept beside the runs, and the judge's mean corrected by them."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ragkit.evaluate.agreement import corrected_mean
from ragkit.evaluate.record import Record
from ragkit.evaluate.statistics import Interval, clustered_share

ENOUGH = 30
"""Labels below which the interval of a corrected mean is too narrow."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS labels (
    run TEXT NOT NULL, id TEXT NOT NULL, good INTEGER NOT NULL CHECK (good IN (0, 1)), labelled TEXT NOT NULL,
    PRIMARY KEY (run, id)
);
"""


class Labels:
    """The labels of one run: is the answer of a question good? Each is on disk when `give` returns."""

    def __init__(self, path: Path, run_id: str) -> None:
        self._run = run_id
        self._db = sqlite3.connect(path, isolation_level=None, timeout=30.0)
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        self._db.close()

    def give(self, question_id: str, good: bool) -> None:
        """Label an answer, anew if it has a label."""
        values = (self._run, question_id, int(good))
        self._db.execute("INSERT OR REPLACE INTO labels VALUES (?, ?, ?, datetime('now'))", values)

    def all(self) -> dict[str, bool]:
        rows = self._db.execute("SELECT id, good FROM labels WHERE run = ? ORDER BY id", (self._run,))
        return {identity: bool(good) for identity, good in rows}


def to_label(records: Sequence[Record], labelled: Sequence[str], seed: int = 0) -> list[Record]:
    """The answers without a label in a random order, so that those labelled first are a sample of all.

    Refusals and failed questions are no answers.
    """
    answered = [record for record in records if not record.refused and record.error is None]
    shuffled = sorted(answered, key=lambda record: record.case.id)
    random.Random(seed).shuffle(shuffled)  # noqa: S311 - an order, no secret
    known = set(labelled)
    return [record for record in shuffled if record.case.id not in known]


@dataclass(frozen=True, slots=True)
class Corrected:
    """A judge's mean as it is, and corrected by people's labels.

    `judged` counts the answers with a score, `failed` those without one, `people` the labels; `weight` is how much the
    judge counts, 0 for one that tells nothing.
    """

    judge: str
    raw: float
    corrected: Interval
    weight: float
    judged: int
    failed: int
    people: int

    @property
    def is_enough(self) -> bool:
        """Whether there are labels enough for the interval to hold."""
        return self.people >= ENOUGH


def corrected_by_labels(records: Sequence[Record], judge: str, labels: Mapping[str, bool], seed: int = 0) -> Corrected:
    """The mean of a judge's scores, corrected by people's labels of some of the answers; see `corrected_mean`.

    Where the judge is left aside (weight 0), or all labels are the same, the bootstrap of a few labels would be too
    sure; there the mean and interval are those of the labels alone, as a share (`clustered_share`).

    Raises ValueError for fewer than three labelled answers that the judge scored too.
    """
    scored: list[tuple[Record, float]] = []
    failed = 0
    for record in records:
        for judgement in record.judgements:
            if judgement.judge == judge and judgement.score is None:
                failed += 1
            elif judgement.judge == judge and judgement.score is not None:
                scored.append((record, judgement.score))
    human = [float(labels[record.case.id]) if record.case.id in labels else None for record, _ in scored]
    clusters = [record.cluster for record, _ in scored]
    found = corrected_mean([score for _, score in scored], human, clusters=clusters, seed=seed)
    raw = sum(score for _, score in scored) / len(scored)
    given = [(label, cluster) for label, cluster in zip(human, clusters, strict=True) if label is not None]
    alone = [label for label, _ in given]
    interval, weight = found.interval, found.weight
    if weight == 0 or len(set(alone)) == 1:
        interval, weight = clustered_share(alone, [cluster for _, cluster in given]), 0.0
    return Corrected(judge, raw, interval, weight, len(scored), failed, found.labels)
