"""Checks on records that are written by hand."""

from __future__ import annotations

from ragkit.evaluate.cases import Case, Evidence
from ragkit.evaluate.checks.answers import check_latency, check_refusals, check_reranking
from ragkit.evaluate.record import PassageRow, PlaceRow, Record
from ragkit.evaluate.remarks import remarks
from ragkit.evaluate.runs import Run
from ragkit.evaluate.suite import SHOWN, Suite, Thresholds
from ragkit.evaluate.summary import reranking_gain, summarise


def record(number: int, label: str, document: str) -> Record:
    case = Case(id=str(number), question="?", answers=("x",), evidence=(Evidence(document=label),))
    place = PlaceRow(document=document, reached="prompt", ranks={})
    return Record(case=case, places=(place,), refused=number % 3 == 0)


def test_a_document_that_labels_call_by_two_names_counts_once() -> None:
    documents = [f"guides/{number // 4}.md" for number in range(24)]
    whole = [record(number, name, name) for number, name in enumerate(documents)]
    short = [record(number, name[7 * (number % 2) :], name) for number, name in enumerate(documents)]
    assert check_refusals(short, Thresholds()).parts == check_refusals(whole, Thresholds()).parts


def reranked(number: int, before: float, after: float, left: int = 3) -> Record:
    """A question before and after a reranker that leaves so many passages."""
    fixed = {"document": "a.md", "page": None, "section": None, "text": "", "score": 1.0, "in_prompt": True}
    passages = tuple(
        PassageRow.model_validate(
            {**fixed, "chunk_id": str(n), "ranks": {"fused": n, "reranked": n}, "labelled": False}
        )
        for n in range(1, left + 1)
    )
    metrics = {"fused.chunk.precision@3": before, "reranked.chunk.precision@3": after}
    case = Case(id=str(number), question="?", evidence=(Evidence(document=f"{number}.md"),))
    return Record(case=case, metrics=metrics, passages=passages, timings_ms={"rerank": 1.0})


def test_a_gain_by_reranking_is_not_shown_on_few_questions() -> None:
    few = check_reranking([reranked(n, 0.0, 1 / 3) for n in range(2)], Thresholds())
    many = check_reranking([reranked(n, 0.0, (1 + n % 2) / 3) for n in range(60)], Thresholds())
    assert (few.verdict, many.verdict) == ("not shown", "pass")
    assert "it takes 50" in few.note


def test_a_reranker_that_hurts_is_called_so_with_the_key_that_turns_it_off() -> None:
    records = [reranked(n, (1 + n % 2) / 3, 0.0) for n in range(60)]
    check = check_reranking(records, Thresholds())
    assert check.verdict == "fail"
    assert check.note.startswith(
        "the reranker ranks worse on these documents than none: -0.500 precision@3 (95% interval"
    )
    assert check.note.endswith("60 questions); to turn it off: retrieval.reranking.backend: none")
    summary = summarise(records, Suite.model_validate({"name": "s", "data": [{"path": "q.jsonl"}]}))
    run = Run("r", "s", "", None, "c", "d", "i", 0, 60, {})
    assert check.note in remarks(run, summary, SHOWN)
    for helps in ([reranked(n, 0.0, (1 + n % 2) / 3) for n in range(60)], [reranked(0, 1.0, 0.0)]):
        assert "turn it off" not in check_reranking(helps, Thresholds()).note


def test_what_a_reranker_cuts_off_is_no_loss_of_its_order() -> None:
    cut = [reranked(n, 2 / 3, 1 / 3, left=1) for n in range(60)]
    assert reranking_gain(cut) is None
    assert check_reranking(cut, Thresholds()).verdict != "fail"


def timed(number: int, milliseconds: float, *, is_complex: bool = False) -> Record:
    case = Case(id=f"{number}{is_complex}", question="?", all_needed=is_complex)
    return Record(case=case, timings_ms={"embed": 1.0, "total": milliseconds})


def test_a_percentile_of_few_questions_is_shown_and_decides_nothing() -> None:
    quick = [timed(n, 100.0 + n) for n in range(80)]
    check = check_latency([*quick, *(timed(n, 200.0, is_complex=True) for n in range(3))], Thresholds())
    found = {part.name: part for part in check.parts}
    assert [found[f"interactive, p{percent} in seconds"].value for percent in (50, 95)] == [0.1395, 0.17505]
    assert found["interactive, p95 in seconds"].verdict == "pass"
    assert found["interactive, p95 in seconds"].high == 0.179
    lone = found["complex, p95 in seconds"]
    assert (lone.value, lone.high, lone.questions, lone.verdict) == (0.2, None, 3, "not shown")
    assert check.note.startswith("a p95 has an upper bound from 72 questions on")
    assert {"group": "complex", "stage": "embed", "p50": 1.0, "p95": 1.0, "p99": 1.0} in check.evidence


def test_a_percentile_near_its_bound_is_not_shown_and_beyond_it_fails() -> None:
    slow = [timed(n, 3500.0 if n % 25 == 0 else 100.0) for n in range(100)]
    late = [timed(n, 3500.0 if n % 10 == 0 else 100.0) for n in range(100)]
    first, second = (
        {part.name: part.verdict for part in check_latency(records, Thresholds()).parts} for records in (slow, late)
    )
    assert first["interactive, p95 in seconds"] == "not shown"
    assert second["interactive, p95 in seconds"] == "fail"
