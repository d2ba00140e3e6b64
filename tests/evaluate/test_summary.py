from __future__ import annotations

import pytest

from ragkit.errors import RagkitError
from ragkit.evaluate.cases import Case, Evidence
from ragkit.evaluate.record import Judgement, PlaceRow, Record
from ragkit.evaluate.suite import Suite
from ragkit.evaluate.summary import summarise


def record(
    number: int, f1: float = 1.0, *, answerable: bool = True, refused: bool = False, score: float | None = 0.5
) -> Record:
    evidence = (Evidence(document=f"{number}.md"),) if answerable else ()
    case = Case(id=f"q{number}", question="?", evidence=evidence, answerable=answerable)
    judged = () if refused else (Judgement(judge="llm.groundedness", score=score, reason=""),)
    metrics = {"f1": f1} if answerable else {}
    return Record(case=case, metrics=metrics, refused=refused, judgements=judged, cost_usd=0.001)


def suite(**gate: object) -> Suite:
    data = [{"path": "q.jsonl"}]
    return Suite.model_validate({"name": "s", "data": data, "gates": [gate] if gate else []})


def test_refusals_are_counted_over_those_questions_that_they_are_right_or_wrong_for() -> None:
    records = [
        record(1),
        record(2, 0.0, refused=True),
        record(3, answerable=False, refused=True),
        record(4, answerable=False),
    ]
    figures = summarise(records, suite()).figures
    shares = {name: (figures[name].mean, figures[name].questions) for name in figures if "refus" in name}
    assert shares == {"false_refusals": (0.5, 2), "refusal_recall": (0.5, 2), "refusal_precision": (0.5, 2)}


def test_a_judgement_that_failed_is_counted_and_no_zero() -> None:
    summary = summarise([record(1, score=1.0), record(2, score=None), record(3, score=None)], suite())
    assert (summary.figures["llm.groundedness"].mean, summary.figures["llm.groundedness"].questions) == (1.0, 1)
    assert summary.failed_judgements == {"llm.groundedness": 2}


def test_a_question_that_failed_has_no_figures_and_is_counted() -> None:
    failed = Record(case=Case(id="q", question="?"), error="no server", outcome="failed")
    summary = summarise([record(1), failed], suite())
    assert (summary.questions, summary.failed, summary.figures["f1"].questions) == (2, 1, 1)
    assert summary.cost_usd == pytest.approx(0.001)


@pytest.mark.parametrize(
    ("bound", "count", "verdict"),
    [(0.5, 60, "pass"), (0.99, 60, "not shown"), (1.1, 60, "fail"), (0.9, 4, "not shown")],
)
def test_a_gate_passes_by_its_lower_bound_and_fails_by_its_mean(bound: float, count: int, verdict: str) -> None:
    """All questions are right, which few questions do not show."""
    (result,) = summarise([record(n) for n in range(count)], suite(metric="f1", at_least=bound)).gates
    assert result.verdict == verdict


def test_a_gate_on_a_metric_that_no_question_has_fails() -> None:
    """It may be misspelt; nothing was shown to be good enough."""
    summary = summarise([record(1)], suite(metric="f2", at_most=0.5))
    assert [result.verdict for result in summary.gates] == ["fail"]
    assert not summary.passed


def test_one_value_says_nothing_of_how_values_vary() -> None:
    (result,) = summarise([record(1, 0.4)], suite(metric="f1", at_least=0.35)).gates
    assert result.verdict == "not shown"


def test_a_system_that_fails_on_questions_does_not_pass_by_the_others() -> None:
    failed = [Record(case=Case(id=f"x{n}", question="?"), error="no server", outcome="failed") for n in range(8)]
    few = [record(n) for n in range(60)]
    strict = summarise([*few, *failed], suite(metric="f1", at_least=0.5))
    assert [(result.gate.metric, result.verdict) for result in strict.gates] == [("f1", "pass"), ("failed", "fail")]
    assert not strict.passed
    patient = suite(metric="f1", at_least=0.5).model_copy(update={"max_failed": 0.2})
    assert summarise([*few, *failed], patient).passed
    assert "failed" not in summarise(few, suite()).figures


def test_questions_about_one_document_count_together_however_their_labels_are_written() -> None:
    place = PlaceRow(document="guides/a.md", reached="prompt", ranks={})
    records = [
        record(n).model_copy(update={"places": (place,), "metrics": {"contained": float(n % 2)}}) for n in range(6)
    ]
    assert summarise(records, suite()).figures["contained"].clusters == 1


def of_one_document(values: list[float], metric: str) -> list[Record]:
    evidence = (Evidence(document="a.md"),)
    return [
        Record(case=Case(id=f"q{n}", question="?", evidence=evidence), metrics={metric: value})
        for n, value in enumerate(values)
    ]


def test_questions_about_one_document_keep_their_mean_and_show_nothing_more() -> None:
    records = of_one_document([1.0, 1.0, 1.0, 0.0, 0.0], "contained")
    (low,) = summarise(records, suite(metric="contained", at_least=0.1)).gates
    (high,) = summarise(records, suite(metric="contained", at_least=0.9)).gates
    assert low.figure is not None
    assert (low.figure.mean, low.figure.interval) == (pytest.approx(0.6), "-")
    assert (low.verdict, high.verdict) == ("not shown", "fail")


def test_a_mean_over_few_documents_has_no_narrow_interval() -> None:
    (one,) = summarise(of_one_document([0.3, 0.4], "f1"), suite(metric="f1", at_least=0.2)).gates
    (two,) = summarise([record(1, 0.5), record(2, 0.6)], suite(metric="f1", at_least=0.45)).gates
    assert (one.verdict, two.verdict) == ("not shown", "not shown")


def test_a_suite_says_which_segments_are_reported() -> None:
    records = [
        each.model_copy(update={"case": each.case.model_copy(update={"segment": name})})
        for each, name in zip([record(1), record(2), record(3)], ("easy", "hard", "odd"), strict=True)
    ]
    assert list(summarise(records, suite()).segments) == ["easy", "hard", "odd"]
    some = suite(metric="f1", at_least=0.1, segment="odd").model_copy(update={"segments": ["easy"]})
    assert list(summarise(records, some).segments) == ["easy", "odd"]


def test_without_records_there_is_no_summary() -> None:
    with pytest.raises(RagkitError, match="no answered question"):
        summarise([], suite())
