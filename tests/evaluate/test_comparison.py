from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ragkit.errors import RagkitError
from ragkit.evaluate.cases import Case, Evidence
from ragkit.evaluate.comparison import as_markdown, changed_keys, compare_runs
from ragkit.evaluate.record import Outcome, Record


def record(number: int, f1: float, outcome: Outcome = "right", **changes: Any) -> Record:
    evidence = (Evidence(document=f"{number}.md"),)
    case = Case(id=f"q{number}", question=f"Question {number}?", answers=("x",), evidence=evidence)
    return Record(case=case, outcome=outcome, metrics={"f1": f1}, **changes)


def runs(gain: float, size: int = 100, noise: float = 0.05) -> tuple[list[Record], list[Record]]:
    random = np.random.default_rng(0)
    first = random.random(size)
    second = first + gain + random.normal(0, noise, size)
    return [record(n, v) for n, v in enumerate(first)], [record(n, v) for n, v in enumerate(second)]


@pytest.mark.parametrize(
    ("gain", "size", "noise", "verdict"),
    [
        (0.05, 100, 0.05, "better"),
        (-0.05, 100, 0.05, "worse"),
        (0.0, 100, 0.05, "no difference shown"),
        (0.0, 10, 0.5, "too small a set"),
    ],
)
def test_what_a_difference_shows(gain: float, size: int, noise: float, verdict: str) -> None:
    comparison = compare_runs(*runs(gain, size, noise), ["f1"])
    assert [each.verdict for each in comparison.differences] == [verdict]
    assert comparison.verdict == verdict


def test_what_the_pairs_can_show_is_stated_beside_the_result() -> None:
    (many,) = compare_runs(*runs(0.0, 400, 0.3), ["f1"]).differences
    (few,) = compare_runs(*runs(0.0, 40, 0.3), ["f1"]).differences
    (two,) = compare_runs(*runs(0.0, 2, 0.3), ["f1"]).differences
    assert many.shows == pytest.approx(2.8 * 0.3 / 20, rel=0.2)
    assert few.shows == pytest.approx(2.9 * 0.3 / 40**0.5, rel=0.3)
    assert (two.shows, two.can_show) == (None, "-")


def test_a_metric_that_is_neither_better_high_nor_low_only_differs() -> None:
    first = [record(n, 1.0).model_copy(update={"metrics": {"words": float(n % 7)}}) for n in range(40)]
    second = [each.model_copy(update={"metrics": {"words": each.metrics["words"] + 20}}) for each in first]
    comparison = compare_runs(first, second, ["words"])
    assert comparison.differences[0].verdict == "differs"
    assert comparison.verdict == "too small a set", "nothing that counts was compared"


def test_questions_that_nobody_checked_are_marked() -> None:
    first, second = runs(0.05)
    asked = [each.model_copy(update={"case": each.case.model_copy(update={"synthetic": True})}) for each in first[:3]]
    both = compare_runs([*asked, *first[3:]], [*asked, *second[3:]], ["f1"])
    assert both.synthetic == 3
    assert "3 of 100 questions are synthetic" in as_markdown(both, "a", "b")
    assert "synthetic" not in as_markdown(compare_runs(first, second, ["f1"]), "a", "b")


def test_flips_are_tested_too() -> None:
    first = [record(n, 1.0, "right" if n < 2 else "not retrieved") for n in range(10)]
    second = [record(n, 1.0, "not retrieved" if n < 1 else "right") for n in range(10)]
    flipped = compare_runs(first, second, ["f1"]).flipped
    assert (flipped.gained, flipped.lost) == (8, 1)
    assert flipped.p == pytest.approx(0.039, abs=0.001)


def test_what_is_set_otherwise_is_named() -> None:
    first = {"a": {"b": 1, "c": [1, 2]}, "d": None}
    second = {"a": {"b": 2, "c": [1, 2]}, "d": {"e": 1}, "f": 3}
    assert changed_keys(first, first) == {}
    changed = changed_keys(first, second)
    assert changed == {"a.b": (1, 2), "d": (None, {"e": 1}), "f": (None, 3)}
    text = as_markdown(compare_runs(*runs(0.05), ["f1"]), "one", "two", changed)
    assert "- `a.b`: 1 → 2" in text


def test_a_rise_of_what_should_be_low_is_worse() -> None:
    answered = [record(n, 1.0) for n in range(60)]
    refused = [record(n, 1.0, "refused though there", refused=n % 3 == 0) for n in range(60)]
    (difference,) = compare_runs(answered, refused, ["false_refusals"]).differences
    assert (difference.verdict, difference.interval.mean) == ("worse", pytest.approx(1 / 3))


def test_a_run_against_itself_shows_nothing_and_flips_nothing() -> None:
    first, _ = runs(0.0)
    comparison = compare_runs(first, first, ["f1"])
    assert comparison.flips == ()
    assert comparison.differences[0].p == 1.0
    assert comparison.verdict == "no difference shown"


def test_a_run_that_fails_on_most_questions_is_worse() -> None:
    first = [record(n, 1.0) for n in range(40)]
    second = [r if n < 2 else Record(case=r.case, error="no server", outcome="failed") for n, r in enumerate(first)]
    comparison = compare_runs(first, second, ["f1"])
    assert comparison.verdict == "worse"
    assert comparison.differences[0].metric == "failed"


@pytest.mark.parametrize("size", [1, 2])
def test_next_to_no_questions_show_no_likeness(size: int) -> None:
    same = [record(n, 1.0) for n in range(size)]
    assert compare_runs(same, same, ["f1"]).verdict == "too small a set"


def test_looking_at_many_metrics_is_paid_for() -> None:
    first, second = runs(0.012)
    noise = {f"m{number}": 0.5 for number in range(30)}
    widened = [
        [each.model_copy(update={"metrics": {**each.metrics, **noise}}) for each in side] for side in (first, second)
    ]
    alone = compare_runs(first, second, ["f1"]).differences[0]
    among = compare_runs(widened[0], widened[1], ["f1", *noise]).differences[0]
    assert among.p == pytest.approx(min(1.0, 31 * alone.p))
    assert among.interval == alone.interval


def test_questions_that_flipped_are_named() -> None:
    before = [record(0, 1.0), record(1, 0.0, "not retrieved"), record(2, 0.0, "lost in fusion")]
    after = [record(0, 0.0, "in the prompt yet wrong"), record(1, 1.0), record(2, 0.0, "not retrieved")]
    flips = compare_runs(before, after, ["f1"]).flips
    assert [(flip.id, flip.gained, flip.lost) for flip in flips] == [
        ("q0", False, True),
        ("q1", True, False),
        ("q2", False, False),
    ]


def test_only_common_questions_are_compared() -> None:
    comparison = compare_runs(
        [record(0, 1.0), record(1, 0.5)], [record(1, 0.5), record(2, 1.0), record(3, 1.0)], ["f1"]
    )
    assert (comparison.questions, comparison.only_first, comparison.only_second) == (1, 1, 2)
    with pytest.raises(RagkitError, match="no question in common"):
        compare_runs([record(0, 1.0)], [record(1, 1.0)], ["f1"])
    other = record(0, 1.0).model_copy(update={"case": Case(id="q0", question="Another?")})
    with pytest.raises(RagkitError, match="'q0' or its labels are others"):
        compare_runs([record(0, 1.0)], [other], ["f1"])


def test_markdown_of_a_comparison_is_a_table_and_lists() -> None:
    before = [record(n, 0.0, "not retrieved") for n in range(3)]
    after = [record(n, 1.0) for n in range(3)]
    text = as_markdown(compare_runs(before, after, ["f1"]), "a", "b")
    assert "| f1 | 3 | - | 0.000 | 1.000 | +1.000 (+1.000 to +1.000) |" in text
    assert "- `q0` Question 0? (not retrieved → right)" in text
