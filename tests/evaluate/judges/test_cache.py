"""Verdicts that are kept: replayed byte for byte, without asking again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.errors import RagkitError
from ragkit.evaluate.cases import Case
from ragkit.evaluate.judges import Exhibit, Measure
from ragkit.evaluate.judges.cache import JudgementCache, key_of
from ragkit.evaluate.judges.judging import verdict
from ragkit.evaluate.record import Judgement, Record
from ragkit.evaluate.runs import Runs


class Dictated:
    """A judge that says what it is told, next in line, and counts how often it is asked."""

    name = "dictated"
    version = "1"
    measures: tuple[Measure, ...] = (Measure("dictated.a"), Measure("dictated.b"))

    def __init__(self, *scores: tuple[float | None, float | None], reason: str = "") -> None:
        self.scores, self.reason, self.calls = list(scores), reason, 0

    def judge(self, exhibit: Exhibit) -> Sequence[Judgement]:
        scores = self.scores[min(self.calls, len(self.scores) - 1)]
        self.calls += 1
        pairs = zip(self.measures, scores, strict=True)
        return [Judgement(judge=measure.name, score=score, reason=self.reason) for measure, score in pairs]


EXHIBIT = Exhibit("How long?", "10 hours.", ("It lasts 10 hours.",))
SCORES = st.none() | st.floats(0, 1)


def written(judgements: Sequence[Judgement]) -> list[str]:
    return [judgement.model_dump_json() for judgement in judgements]


@pytest.mark.integration  # opens a database for each example
@given(st.tuples(SCORES, SCORES), st.text())
def test_a_replay_is_the_same_bytes_and_asks_nobody(
    tmp_path_factory: pytest.TempPathFactory, scores: tuple[float | None, float | None], reason: str
) -> None:
    path, judge = tmp_path_factory.mktemp("cache") / "runs.sqlite", Dictated(scores, reason=reason)
    with JudgementCache(path) as cache:
        first = verdict(judge, EXHIBIT, cache)
    with JudgementCache(path) as cache:
        again = verdict(judge, EXHIBIT, cache)
    assert judge.calls == 1
    assert written(again) == written(first)
    assert [each.score for each in again] == list(scores)


@pytest.mark.parametrize(
    "other",
    [
        Exhibit("How long?", "10 hours!", ("It lasts 10 hours.",)),
        Exhibit("How long?", "10 hours.", ("It lasts 10 hours.", "")),
        Exhibit("How long?", "10 hours.", ("It lasts 10 hours.",), ("10",)),
    ],
)
def test_whatever_a_judge_sees_is_in_the_key(other: Exhibit) -> None:
    assert key_of(Dictated(), other) != key_of(Dictated(), EXHIBIT)


def test_another_version_or_other_measures_are_asked_anew() -> None:
    newer, fewer = Dictated(), Dictated()
    newer.version, fewer.measures = "2", fewer.measures[:1]
    assert len({key_of(judge, EXHIBIT) for judge in (Dictated(), newer, fewer)}) == 3


def test_a_failure_is_kept_until_it_is_asked_for_again_and_scores_stay(tmp_path: Path) -> None:
    judge = Dictated((0.25, None), (0.75, None), (0.5, 1.0))
    with JudgementCache(tmp_path / "runs.sqlite") as cache:
        for _ in range(2):
            assert [each.score for each in verdict(judge, EXHIBIT, cache)] == [0.25, None]
        assert judge.calls == 1
        assert [each.score for each in verdict(judge, EXHIBIT, cache, retry_failed=True)] == [0.25, None]
        assert [each.score for each in verdict(judge, EXHIBIT, cache, retry_failed=True)] == [0.25, 1.0]
        assert [each.score for each in verdict(judge, EXHIBIT, cache, retry_failed=True)] == [0.25, 1.0]
        assert judge.calls == 3


def test_it_lives_in_the_file_of_the_runs(tmp_path: Path) -> None:
    path = tmp_path / "evaluation.sqlite"
    with Runs(path, create=True) as runs, JudgementCache(path) as cache:
        run = runs.begin(
            suite="s", config_hash="c", data_hash="d", index_hash="i", seed=0, questions=1, details={"suite": {}}
        )
        verdict(Dictated((1.0, 1.0)), EXHIBIT, cache)
        runs.add(run.id, 0, Record(case=Case(id="q", question="?")))
        assert runs.done(run.id) == {0}
        assert cache.get(key_of(Dictated(), EXHIBIT)) is not None


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no database at all, but long enough to be looked at by SQLite")
    with pytest.raises(RagkitError, match=r"notes\.txt cannot keep judgements"):
        JudgementCache(tmp_path / "notes.txt")
