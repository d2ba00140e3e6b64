from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ragkit.evaluate.cases import Case, Evidence
from ragkit.evaluate.labels import Labels, corrected_by_labels, to_label
from ragkit.evaluate.record import Judgement, Record


def record(number: int, score: float | None = 0.5, *, refused: bool = False, error: str | None = None) -> Record:
    case = Case(id=f"q{number}", question="?", evidence=(Evidence(document=f"{number}.md"),))
    judged = Judgement(judge="lexical.support", score=score, reason="" if score is not None else "no sentence")
    return Record(case=case, refused=refused, error=error, judgements=(judged,))


def test_labels_are_kept_and_can_be_changed(tmp_path: Path) -> None:
    labels = Labels(tmp_path / "runs.sqlite", "run")
    labels.give("q1", True)
    labels.give("q2", True)
    labels.give("q1", False)
    labels.close()
    assert Labels(tmp_path / "runs.sqlite", "run").all() == {"q1": False, "q2": True}
    assert Labels(tmp_path / "runs.sqlite", "other run").all() == {}


def test_answers_come_in_a_random_order_that_stays_and_those_with_a_label_are_left_out() -> None:
    records = [record(n) for n in range(20)] + [record(20, refused=True), record(21, error="no model")]
    order = [each.case.id for each in to_label(records, [])]
    assert len(order) == 20
    assert order != sorted(order, key=lambda identity: int(identity[1:]))
    assert [each.case.id for each in to_label(list(reversed(records)), [])] == order
    assert [each.case.id for each in to_label(records, order[:5])] == order[5:]


def test_a_judge_who_is_too_kind_is_corrected_by_a_few_labels() -> None:
    random = np.random.default_rng(0)
    good = random.random(400) < 0.6
    # It scores what is bad .6, where it should be near 0.
    records = [
        record(n, float(np.clip((0.9 if ok else 0.6) + random.normal(0, 0.05), 0, 1))) for n, ok in enumerate(good)
    ]
    labels = {f"q{n}": bool(good[n]) for n in range(60)}
    found = corrected_by_labels([*records, record(400, None)], "lexical.support", labels)
    assert found.raw > 0.75
    assert found.corrected.low < 0.6 < found.corrected.high < 0.75
    assert (found.judged, found.failed, found.people) == (400, 1, 60)


def test_two_labels_are_too_few() -> None:
    with pytest.raises(ValueError, match="at least three"):
        corrected_by_labels([record(n) for n in range(9)], "lexical.support", {"q1": True, "q2": False})


@pytest.mark.parametrize("count", [3, 10, 20])
def test_a_few_labels_that_are_all_the_same_make_nothing_certain(count: int) -> None:
    found = corrected_by_labels(
        [record(n, 0.5 + n / 200) for n in range(60)], "lexical.support", {f"q{n}": True for n in range(count)}
    )
    assert found.corrected.mean == 1.0
    assert found.corrected.low < count / (count + 3.5)
    assert (found.weight, found.people, found.is_enough) == (0.0, count, False)


@pytest.mark.parametrize("count", [5, 10, 30])
def test_the_interval_of_few_labels_covers_what_all_would_say(count: int) -> None:
    """With a judge whose scores tell something of what is good."""
    random, covered = np.random.default_rng(count), 0
    for _ in range(150):
        good = random.random(200) < 0.85
        records = [record(n, float(np.clip(random.normal(0.7 if ok else 0.5, 0.2), 0, 1))) for n, ok in enumerate(good)]
        labels = {f"q{n}": bool(good[n]) for n in range(count)}
        found = corrected_by_labels(records, "lexical.support", labels)
        covered += found.corrected.low <= 0.85 <= found.corrected.high
    assert covered / 150 >= 0.9
