from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

from ragkit.evaluate.cases import Case, Evidence
from ragkit.evaluate.page.report import calibration_points, page, risk_coverage
from ragkit.evaluate.record import Judgement, Outcome, PassageRow, PlaceRow, Reached, Record
from ragkit.evaluate.runs import Run
from ragkit.evaluate.suite import Suite
from ragkit.evaluate.summary import summarise

HOSTILE = "</blockquote><script>alert(1)</script><img src=x onerror=alert(1)>"
RUN = Run(
    id="20261125-120000-abcd",
    suite="s",
    began="2026-11-25T12:00:00+00:00",
    ended="2026-11-25T12:01:00+00:00",
    config_hash="c",
    data_hash="d",
    index_hash="i",
    seed=0,
    questions=2,
    details={"versions": {"ragkit": "1"}, "config": {"retrieval": {"top_k": 10}}},
)


def record(number: int, outcome: Outcome, confidence: float, reached: Reached = "prompt", **changes: Any) -> Record:
    case = Case(
        id=f"q{number}",
        question=f"Question {number}? {HOSTILE}",
        answers=("x",),
        evidence=(Evidence(document="a.md"),),
        segment="one" if number % 2 else "two",
    )
    passage = PassageRow(
        chunk_id="c",
        document=HOSTILE,
        page=1,
        section=None,
        text=HOSTILE,
        score=1.0,
        ranks={"dense": 1},
        in_prompt=True,
        labelled=True,
    )
    values: dict[str, Any] = {
        "text": HOSTILE,
        "places": (PlaceRow(document="a.md", reached=reached, ranks={"dense": 1}),),
        "passages": (passage,),
        "metrics": {"f1": confidence},
        "timings_ms": {"embed": 1.0, "total": 10.0 * number},
        "cost_usd": 0.0,
        **changes,
    }
    return Record(case=case, outcome=outcome, confidence=confidence, **values)


RECORDS = [
    record(1, "right", 0.9),
    record(2, "not retrieved", 0.2, "chunked"),
    record(3, "refused though there", 0.4, refused=True),
    record(4, "in the prompt yet wrong", 0.7),
]
SUITE = Suite.model_validate(
    {"name": "s", "data": [{"path": "q.jsonl"}], "metrics": ["f1"], "gates": [{"metric": "f1", "at_least": 0.99}]}
)


def rendered() -> str:
    return page(RUN, RECORDS, summarise(RECORDS, SUITE), SUITE.metrics)


class Tags(HTMLParser):
    """Collects tags and checks that they are closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.attributes: set[str] = set()
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag not in ("meta", "rect", "line", "circle", "polyline"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_one_file_that_loads_nothing_and_runs_nothing() -> None:
    text = rendered()
    tags = Tags(text)
    assert not tags.open
    assert not {"script", "img", "link", "iframe"} & set(tags.seen)
    assert not {"src", "href", "onclick", "onerror", "onload"} & tags.attributes
    assert "url(" not in text
    assert "default-src 'none'" in text


def test_texts_of_documents_and_answers_are_escaped() -> None:
    text = rendered()
    assert "<script>" not in text
    assert "&lt;script&gt;" in text


def test_the_page_tells_verdict_losses_segments_and_each_lost_question() -> None:
    text = rendered()
    for told in (
        "1 fail",
        "not retrieved",
        "refused though there",
        "by segment",
        "Calibration",
        "p95 ms",
        "Question 2?",
    ):
        assert told in text, told
    assert "q1: right" not in text


def test_the_same_records_give_the_same_bytes() -> None:
    assert rendered() == rendered()


def test_calibration_compares_confidence_with_the_places_that_were_found() -> None:
    points = calibration_points(
        [record(n, "right", 0.9) for n in range(8)] + [record(9, "not retrieved", 0.91, "chunked")]
    )
    (point,) = points
    assert round(point.x, 2) == 0.90
    assert point.y == 8 / 9


def test_calibration_leaves_out_questions_of_which_nobody_knows_where_the_answer_stands() -> None:
    unplaced = [record(n, "right", 0.9, places=()) for n in range(3)]
    assert calibration_points(unplaced) == []
    nowhere = record(9, "refused rightly", 0.1, places=())
    unanswerable = nowhere.model_copy(update={"case": Case(id="u", question="?", answerable=False)})
    (point,) = calibration_points([*unplaced, unanswerable])
    assert point.y == 0.0
    text = page(RUN, [*RECORDS, *unplaced], summarise([*RECORDS, *unplaced], SUITE), SUITE.metrics)
    assert "(4 questions; 3 without a labelled place left out)" in text


def test_the_page_tells_judges_failures_leaks_notes_and_the_part() -> None:
    judged = (
        Judgement(judge="lexical.support", score=0.5),
        Judgement(judge="llm.groundedness", score=None, reason="no reply"),
    )
    records = [each.model_copy(update={"judgements": judged}) for each in RECORDS]
    leaks = [{"kind": "like question", "test": f"q{n}", "other": HOSTILE, "detail": ""} for n in range(7)]
    details = {**RUN.details, "part": "tuning", "notes": [f"a note {HOSTILE}"], "leaks": leaks}
    text = page(replace(RUN, details=details), records, summarise(records, SUITE), [*SUITE.metrics, "f11"])
    for told in (
        "What judges scored",
        "lexical.support</span><b>0.500</b><span>-, 4 questions",
        "llm.groundedness: 4 judgements failed",
        "4 questions (tuning part)",
        "note: a note",
        "leak: like question: question q4",
        "7 leaks in all",
        "no question has the metric f11; did you mean f1?",
    ):
        assert told in text, told
    assert "question q5" not in text
    assert not Tags(text).open
    assert "<script>" not in text


def test_risk_rises_with_coverage_when_the_confidence_is_good() -> None:
    points = risk_coverage(RECORDS)
    assert [(point.x, point.y) for point in points] == [(0.25, 0.0), (0.5, 0.5), (0.75, 2 / 3)]
