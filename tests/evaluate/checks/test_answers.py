"""Checks on records that are written by hand."""

from __future__ import annotations

from ragkit.evaluate.cases import Case, Evidence
from ragkit.evaluate.checks.answers import check_refusals, check_reranking
from ragkit.evaluate.record import PlaceRow, Record
from ragkit.evaluate.suite import Thresholds


def record(number: int, label: str, document: str) -> Record:
    case = Case(id=str(number), question="?", answers=("x",), evidence=(Evidence(document=label),))
    place = PlaceRow(document=document, reached="prompt", ranks={})
    return Record(case=case, places=(place,), refused=number % 3 == 0)


def test_a_document_that_labels_call_by_two_names_counts_once() -> None:
    documents = [f"guides/{number // 4}.md" for number in range(24)]
    whole = [record(number, name, name) for number, name in enumerate(documents)]
    short = [record(number, name[7 * (number % 2) :], name) for number, name in enumerate(documents)]
    assert check_refusals(short, Thresholds()).parts == check_refusals(whole, Thresholds()).parts


def reranked(number: int, before: float, after: float) -> Record:
    metrics = {"fused.chunk.precision@3": before, "reranked.chunk.precision@3": after}
    case = Case(id=str(number), question="?", evidence=(Evidence(document=f"{number}.md"),))
    return Record(case=case, metrics=metrics, timings_ms={"rerank": 1.0})


def test_a_gain_by_reranking_is_not_shown_on_few_questions() -> None:
    few = check_reranking([reranked(n, 0.0, 1 / 3) for n in range(2)], Thresholds())
    many = check_reranking([reranked(n, 0.0, (1 + n % 2) / 3) for n in range(60)], Thresholds())
    assert (few.verdict, many.verdict) == ("not shown", "pass")
    assert "it takes 50" in few.note
