"""A reader's choice of the best place, and the thresholds for wanted shares of false refusals. What a trained one reads
is tested where one is trained: tests/train/test_reader.py."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.config.schema import Generation
from ragkit.errors import ModelError
from ragkit.generate import make_reader
from ragkit.generate.answerability import RATES, WITH_READER, WITHOUT_READER, Calibration, confidence, least_confidence
from ragkit.generate.reader import LONGEST_ANSWER, Reading, best_place
from ragkit.types import Chunk, ScoredChunk, StageScore


def test_the_best_place_is_the_best_of_all_pairs_in_reach() -> None:
    starts, ends = np.asarray([1.0, 0.0, 5.0, -np.inf]), np.asarray([0.5, 3.0, 2.0, 4.0])
    assert best_place(starts, ends) == (5.0 + 4.0 - 1.5, 2, 3)
    far = np.zeros(LONGEST_ANSWER + 3)
    starts, ends = far.copy(), far.copy()
    starts[1], ends[-1] = 3.0, 2.0  # the best two lie too far apart for one answer
    assert best_place(starts, ends)[0] == 3.0


def test_a_config_may_have_none_or_another() -> None:
    assert make_reader(Generation(reader=None)) is None
    with pytest.raises(ModelError, match="cannot load the reader at /nowhere"):
        make_reader(Generation(reader="/nowhere"))


@given(st.floats(min_value=0.001, max_value=0.999), st.floats(min_value=0.001, max_value=0.999))
def test_who_allows_more_false_refusals_refuses_more(one: float, other: float) -> None:
    for model in (WITH_READER, WITHOUT_READER):
        assert model.threshold(min(one, other)) <= model.threshold(max(one, other))


def test_thresholds_of_the_calibrated_rates_are_met_and_a_wanted_confidence_goes_before() -> None:
    model = Calibration((), 0.0, (0.1, 0.2, 0.3, 0.4, 0.5, 0.6))
    assert [model.threshold(rate) for rate in RATES] == list(model.thresholds)
    assert least_confidence(Generation.model_validate({"refusal": {"min_confidence": 0.7}})) == 0.7


def test_confidence_grows_with_how_sure_the_reader_is() -> None:
    text = "The hub weighs 620 g."
    result = ScoredChunk(Chunk("c", "d", text, 0, len(text), 8, {}), 1.0, {"dense": StageScore(1, 0.5)})
    chances = [
        confidence("How heavy is the hub?", [result], [Reading(margin, 0, 3)])
        for margin in (-20.0, -4.0, 0.0, 4.0, 20.0)
    ]
    assert chances == sorted(chances)
    assert chances[1] < chances[3]
