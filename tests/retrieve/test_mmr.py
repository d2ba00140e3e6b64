"""Maximal marginal relevance: a permutation, whose values are scores like any other."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ragkit.retrieve.mmr import diversified

Vectors = dict[str, NDArray[np.float32]]


@st.composite
def rankings(draw: st.DrawFn) -> tuple[list[tuple[str, float]], Vectors]:
    names = draw(st.lists(st.sampled_from("abcdefghij"), unique=True, max_size=10))
    scores = sorted((draw(st.floats(-5, 5)) for _ in names), reverse=True)
    coordinates = st.lists(st.floats(-1, 1, width=32), min_size=3, max_size=3)
    vectors = {name: np.asarray(draw(coordinates), dtype=np.float32) for name in names if draw(st.booleans())}
    return list(zip(names, scores, strict=True)), vectors


@given(given=rankings(), weight=st.floats(0, 1))
def test_every_chunk_stays_once_and_values_never_rise(
    given: tuple[list[tuple[str, float]], Vectors], weight: float
) -> None:
    ranked, vectors = given
    order = diversified(ranked, vectors, weight)
    assert sorted(name for name, _ in order) == sorted(name for name, _ in ranked)
    values = [value for _, value in order]
    assert values == sorted(values, reverse=True)


@given(given=rankings())
def test_with_all_weight_on_relevance_the_order_stays(given: tuple[list[tuple[str, float]], Vectors]) -> None:
    ranked, vectors = given
    assert [name for name, _ in diversified(ranked, vectors, 1.0)] == [name for name, _ in ranked]


def test_a_second_copy_goes_behind_what_is_new() -> None:
    vectors = {name: np.asarray(v, dtype=np.float32) for name, v in {"a": (1, 0), "b": (2, 0), "c": (0, 1)}.items()}
    ranked = [("a", 0.9), ("b", 0.89), ("c", 0.4)]
    assert [name for name, _ in diversified(ranked, vectors, 0.5)] == ["a", "c", "b"]
