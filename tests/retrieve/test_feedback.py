"""RM3 and Rocchio by their formulas; tests/retrieve/test_switches.py has them over a real store."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.config.schema import Feedback
from ragkit.retrieve.feedback import expanded, moved

RM3 = Feedback(method="rm3")
counts = st.dictionaries(st.integers(0, 20), st.integers(1, 9), min_size=1, max_size=8)
found = st.lists(st.tuples(st.floats(0, 50), counts), max_size=5)
asked = st.dictionaries(st.integers(0, 20), st.just(1.0), min_size=1, max_size=5)


def test_terms_are_weighed_by_the_scores_of_the_chunks_they_stand_in() -> None:
    weights = expanded({1: 1.0}, [(3.0, {2: 1}), (1.0, {3: 1})], RM3)
    assert weights[1] == pytest.approx(0.5)
    assert weights[2] == pytest.approx(0.5 * 3 / 4)
    assert weights[3] == pytest.approx(0.5 * 1 / 4)


def test_a_long_chunk_says_no_more_than_a_short_one() -> None:
    weights = expanded({1: 1.0}, [(1.0, {2: 10, 3: 10}), (1.0, {4: 1, 5: 1})], RM3)
    assert weights[2] == pytest.approx(weights[4])


def test_only_the_likeliest_terms_are_added() -> None:
    weights = expanded({1: 1.0}, [(1.0, {2: 3, 3: 2, 4: 1})], Feedback(method="rm3", terms=2))
    assert set(weights) == {1, 2, 3}


@given(asked=asked, found=found, weight=st.floats(0, 1))
def test_weights_are_shares_of_one_and_no_more_terms_than_asked_for(
    asked: dict[int, float], found: list[tuple[float, dict[int, int]]], weight: float
) -> None:
    weights = expanded(asked, found, Feedback(method="rm3", terms=4, weight=weight))
    assert sum(weights.values()) == pytest.approx(1.0)
    assert all(value > 0 for value in weights.values())
    assert len(weights.keys() - asked.keys()) <= 4


@given(asked=asked, found=found)
def test_with_all_weight_on_the_question_its_terms_stay_alone_and_alike(
    asked: dict[int, float], found: list[tuple[float, dict[int, int]]]
) -> None:
    weights = expanded(asked, found, Feedback(method="rm3", weight=1.0))
    assert weights == pytest.approx({term: 1 / len(asked) for term in asked})


vectors = st.lists(st.floats(-1, 1, width=32), min_size=3, max_size=3).filter(lambda row: sum(map(abs, row)) > 0.1)


@given(
    asked=st.lists(vectors, min_size=1, max_size=2),
    found=st.lists(st.tuples(st.floats(0, 9), vectors), max_size=4),
    weight=st.floats(0, 1),
)
def test_a_moved_question_has_length_one_or_none(
    asked: list[list[float]], found: list[tuple[float, list[float]]], weight: float
) -> None:
    near = [(score, np.asarray(row, dtype=np.float32)) for score, row in found]
    vector = moved([np.asarray(row, dtype=np.float32) for row in asked], near, weight)
    # Vectors against one another may sum to nothing.
    assert np.linalg.norm(vector) == pytest.approx(1.0, abs=1e-3) or np.linalg.norm(vector) < 1e-3


def test_a_question_moves_furthest_towards_the_chunk_with_the_highest_score() -> None:
    asked, one, other = np.eye(3, dtype=np.float32)
    vector = moved([asked], [(3.0, one), (1.0, 5 * other)], 0.5)
    assert vector / vector[0] == pytest.approx([1.0, 0.75, 0.25], abs=1e-6)


def test_with_all_weight_on_the_question_it_stays_where_it_is() -> None:
    asked, one, _ = np.eye(3, dtype=np.float32)
    assert moved([2 * asked], [(1.0, one)], 1.0) == pytest.approx(asked)
