"""Records before judges."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from ragkit.config.schema import Embedding
from ragkit.errors import ServiceError
from ragkit.evaluate.cases import Case
from ragkit.evaluate.judges import Exhibit, JudgeSettings, Measure, make_judge
from ragkit.evaluate.judges.cache import JudgementCache, key_of
from ragkit.evaluate.judges.exhibit import exhibit_of
from ragkit.evaluate.judges.judging import judge_all
from ragkit.evaluate.record import Judgement, Record
from tests.evaluate.judges.test_cache import Dictated
from tests.evaluate.judges.test_exhibit import passage

LEXICAL = make_judge(JudgeSettings(kind="lexical"), Embedding())


def record(identity: str, text: str = "It lasts 10 hours.", *, refused: bool = False) -> Record:
    case = Case(id=identity, question="How long?", answers=("10 hours",))
    return Record(case=case, text=text, refused=refused, passages=(passage("The battery lasts 10 hours."),))


def scores(judged: Record) -> dict[str, float | None]:
    return {each.judge: each.score for each in judged.judgements}


def test_every_answer_is_judged_in_order_and_refusals_are_not() -> None:
    told: list[tuple[int, str]] = []
    judged = judge_all(
        [record("a"), record("b", refused=True), record("c", "It lasts 12 hours.")],
        [LEXICAL],
        told=lambda done, each: told.append((done, each.case.id)),
    )
    assert [scores(each) for each in judged] == [
        {"lexical.support": pytest.approx(0.89, abs=0.01), "lexical.correctness": 1.0},
        {},
        {"lexical.support": pytest.approx(0.09, abs=0.01), "lexical.correctness": 0.3},
    ]
    assert told == [(1, "a"), (2, "b"), (3, "c")]


def test_judging_again_replaces_what_the_judge_said_and_keeps_what_others_said() -> None:
    said = (Judgement(judge="llm.correctness", score=0.0), Judgement(judge="lexical.support", score=0.0))
    [judged] = judge_all([record("a").model_copy(update={"judgements": said})], [LEXICAL])
    assert [each.judge for each in judged.judgements] == ["llm.correctness", "lexical.support", "lexical.correctness"]
    assert scores(judged)["lexical.support"] != 0.0


def test_an_answer_without_words_fails_and_nobody_is_asked() -> None:
    judge = Dictated((1.0, 1.0))
    [judged] = judge_all([record("a", " ... ")], [judge])
    assert scores(judged) == {"dictated.a": None, "dictated.b": None}
    assert (judge.calls, judged.judgements[0].reason) == (0, "the answer has no words")


def test_a_failure_keeps_its_reason_and_no_score_stands_for_it() -> None:
    judge = Dictated((1.0, None), (0.0, None), reason="no JSON")
    judged = judge_all([record("a"), record("b", "It lasts 12 hours.")], [judge])
    assert [scores(each) for each in judged] == [
        {"dictated.a": 1.0, "dictated.b": None},
        {"dictated.a": 0.0, "dictated.b": None},
    ]
    assert {each.judgements[1].reason for each in judged} == {"no JSON"}


def test_a_finished_run_is_judged_again_without_a_call(tmp_path: Path) -> None:
    records, judge = [record(str(number), f"It lasts {number} hours.") for number in range(4)], Dictated((1.0, None))
    with JudgementCache(tmp_path / "cache.sqlite") as cache:
        first = judge_all(records, [judge], cache)
        again = judge_all(records, [judge], cache, concurrency=3)
    assert judge.calls == 4
    assert [each.model_dump_json() for each in again] == [each.model_dump_json() for each in first]


class Meeting:
    """Gives its verdict when a second exhibit is before it too."""

    name, version, measures = "meeting", "1", (Measure("meeting.a"),)

    def __init__(self) -> None:
        self.both = threading.Barrier(2, timeout=10)

    def judge(self, exhibit: Exhibit) -> Sequence[Judgement]:
        self.both.wait()
        return [Judgement(judge="meeting.a", score=1.0)]


def test_several_records_are_judged_at_once() -> None:
    assert all(scores(each) for each in judge_all([record("a"), record("b")], [Meeting()], concurrency=2))


class GivesUp:
    """Judges two exhibits, then its server is gone."""

    name, version, measures = "gives_up", "1", (Measure("gives_up.a"),)

    def __init__(self) -> None:
        self.calls, self._lock = 0, threading.Lock()

    def judge(self, exhibit: Exhibit) -> Sequence[Judgement]:
        with self._lock:
            self.calls += 1
            if self.calls > 2:
                raise ServiceError("no server")
        return [Judgement(judge="gives_up.a", score=1.0)]


@pytest.mark.parametrize("concurrency", [1, 2])
def test_a_judge_that_gives_up_ends_the_judging_and_what_was_judged_is_kept(tmp_path: Path, concurrency: int) -> None:
    records = [record(str(number), f"It lasts {number} hours.") for number in range(50)]
    with JudgementCache(tmp_path / "cache.sqlite") as cache:
        judge = GivesUp()
        with pytest.raises(ServiceError):
            judge_all(records, [judge], cache, concurrency=concurrency)
        assert judge.calls <= 2 + concurrency
        exhibits = [exhibit for each in records if (exhibit := exhibit_of(each))]
        assert sum(cache.get(key_of(judge, exhibit)) is not None for exhibit in exhibits) == 2
