"""RM3: by its formula, and over a real store."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.config.schema import Feedback
from ragkit.retrieve.feedback import expanded

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
