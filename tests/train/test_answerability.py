"""Refusals fitted to the user's questions: chances get nearer to the truth, and noise gives no skill."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit import Ragkit
from ragkit.config.schema import Config, Generation
from ragkit.evaluate.cases import Case, read_jsonl
from ragkit.evaluate.statistics import Interval
from ragkit.generate.answerability import scaled
from ragkit.train.answerability import KINDS, Row, Scale, calibrate, calibration_error, fit, moved, rows_of
from ragkit.train.questions import placed
from tests.train.test_compared import InOrder


def rows(shift: float, *, told_apart: float, documents: int = 60, seed: int = 1) -> list[Row]:
    """Two questions a document, answerable and not; their true log odds are `told_apart` times a normal number, and the
    raw chance is `shift` too low or high."""
    draw = random.Random(seed)
    found: list[Row] = []
    for number in range(2 * documents):
        for kind in KINDS[:2]:
            side = 1 if kind == KINDS[0] else -1
            logit = told_apart * (side + draw.gauss(0, 1)) + shift
            found.append(Row(kind, 1 / (1 + math.exp(-logit)), f"{number // 2}.md"))
    return found


def test_chances_that_are_all_too_low_are_mended_and_fewer_answers_refused() -> None:
    found = calibrate(rows(-3.0, told_apart=1.5), Generation())
    assert found.better
    assert found.why_not() == ""
    assert found.after.error < found.before.error
    assert found.after.squared < found.before.squared
    assert found.brier.high < 0
    refused = KINDS[0]
    assert found.before.refused[refused].mean > 0.3
    assert found.after.refused[refused].mean < 0.12
    assert found.scale.changes[("generation", "refusal", "min_confidence")] == found.scale.threshold
    assert found.counts == {"answerable": 120, "document taken out": 120, "labelled unanswerable": 0}


def test_chances_that_fit_already_are_left_alone() -> None:
    found = calibrate(rows(0.0, told_apart=2.0), Generation())
    assert not found.better
    assert "not shown" in found.why_not()


def test_a_corpus_whose_questions_cannot_be_told_apart_gets_no_skill_from_fitting() -> None:
    draw = random.Random(3)
    noise = [Row(KINDS[n % 2], draw.random(), f"{n // 2}.md") for n in range(200)]
    found = calibrate(noise, Generation())
    caught, refused = found.after.refused[KINDS[1]].mean, found.after.refused[KINDS[0]].mean
    assert caught - refused < 0.1


def test_what_would_refuse_clearly_more_than_is_wished_for_is_not_better() -> None:
    found = calibrate(rows(-3.0, told_apart=1.5), Generation.model_validate({"refusal": {"min_confidence": 0.0}}))
    assert found.better
    often = {**found.after.refused, KINDS[0]: Interval(0.2, 0.1, 0.3)}
    strict = replace(found, after=replace(found.after, refused=often))
    assert not strict.better
    assert strict.why_not() == "it would refuse more answerable questions than is wished for"
    # No more than now is no change for the worse.
    assert replace(strict, before=replace(found.before, refused=often)).better


def test_questions_that_all_look_alike_are_not_refused_for_it() -> None:
    alike = [
        Row(kind, chance, f"{n}.md") for n in range(60) for kind, chance in zip(KINDS[:2], (0.3, 0.2), strict=True)
    ]
    assert calibrate(alike, Generation()).after.refused[KINDS[0]].mean == 0


@given(
    st.lists(st.floats(0.001, 0.999), min_size=2, max_size=20),
    st.floats(0.05, 5.0),
    st.floats(-4.0, 4.0),
)
def test_no_scale_turns_the_order_of_two_questions_round(raw: list[float], slope: float, intercept: float) -> None:
    chances = moved(np.array(sorted(raw)), Scale(slope, intercept, 0.5))
    assert (np.diff(chances) >= 0).all()
    assert ((chances >= 0) & (chances <= 1)).all()


@given(st.floats(0.0, 1.0), st.floats(0.05, 5.0), st.floats(-4.0, 4.0))
def test_the_answer_path_and_the_fit_move_a_chance_alike(raw: float, slope: float, intercept: float) -> None:
    refusal = Generation.model_validate({"refusal": {"slope": slope, "intercept": intercept}}).refusal
    assert scaled(raw, refusal) == pytest.approx(float(moved(np.array([raw]), Scale(slope, intercept, 0))[0]), abs=1e-6)


def test_the_threshold_refuses_the_wished_share_of_the_answerable_questions() -> None:
    data = rows(-1.0, told_apart=1.0)
    raw, labels = np.array([row.raw for row in data]), np.array([float(row.answerable) for row in data])
    fitted = fit(raw, labels, 0.1)
    refused = (moved(raw[labels == 1], fitted) < fitted.threshold).mean()
    assert refused == pytest.approx(0.1, abs=0.01)


def test_the_calibration_error_counts_both_kinds_alike() -> None:
    assert calibration_error(np.array([1.0] * 9), np.array([0.0])) == 0
    assert calibration_error(np.array([0.75] * 9), np.array([0.75])) == pytest.approx(0.25)


def test_where_documents_are_taken_out_a_short_list_is_filled_up_from_below(
    rag: Ragkit, handbook: Path, embedding_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = rag.config.model_dump()
    config["retrieval"]["reranking"] |= {"top_n": 1}
    labelled = placed(read_jsonl(handbook / "questions.jsonl"), rag.snapshot())
    unanswerable = [Case(id=str(n), question=f"Who won the cup in {1950 + n}?", answerable=False) for n in range(2)]
    monkeypatch.setattr(Ragkit, "reranker", InOrder())
    read: list[int] = []

    class Reads:
        def read(self, question: str, passages: list[str]) -> None:
            read.append(len(passages))

    monkeypatch.setattr(Ragkit, "reader", Reads())
    with Ragkit(Config.model_validate(config)) as cut:
        assert len(cut.search(labelled[0].case.question)) == 1
        read.clear()
        found = rows_of(cut, labelled, unanswerable, lambda _, __: None)
    # As in an answer, one passage is read; and another one where those of the labelled document are taken out.
    assert read == [1] * len(found)
    assert [row.kind for row in found[:2]] == list(KINDS[:2])
