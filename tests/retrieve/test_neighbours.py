"""Neighbour evidence: chunks like good ones rise a little, and nothing else changes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ragkit.config.schema import Neighbours
from ragkit.retrieve.neighbours import smoothed

Vectors = dict[str, NDArray[np.float32]]


def on(k: int = 1, weight: float = 0.5) -> Neighbours:
    return Neighbours(method="smooth", k=k, weight=weight)


def vector(*values: float) -> NDArray[np.float32]:
    return np.array(values, dtype=np.float32)


VECTORS: Vectors = {"a": vector(1, 0), "like a": vector(1, 0.1), "b": vector(0, 1)}
RANKED = [("a", 1.0), ("b", 0.6), ("like a", 0.5)]
APART = {"a": "1", "b": "2", "like a": "3"}


def test_a_chunk_like_a_better_one_rises_past_one_that_is_like_none() -> None:
    assert [chunk_id for chunk_id, _ in smoothed(RANKED, VECTORS, APART, on())] == ["a", "like a", "b"]


def test_chunks_of_one_document_do_not_lift_one_another() -> None:
    together = {"a": "1", "b": "2", "like a": "1"}
    [_, second, _] = smoothed(RANKED, VECTORS, together, on())
    assert second[0] == "b"


def test_a_nearer_neighbour_counts_for_more() -> None:
    vectors = {"x": vector(1, 0), "near": vector(1, 0.1), "far": vector(1, 1)}
    documents = {"x": "1", "near": "2", "far": "3"}
    towards_near = dict(smoothed([("near", 1.0), ("x", 0.5), ("far", 0.0)], vectors, documents, on(k=2)))
    towards_far = dict(smoothed([("far", 1.0), ("x", 0.5), ("near", 0.0)], vectors, documents, on(k=2)))
    assert towards_near["x"] == pytest.approx(0.25 + 0.5 * 1 / (1 + np.exp((np.sqrt(0.5) - 1 / np.sqrt(1.01)) / 0.1)))
    assert towards_far["x"] < 0.5 < towards_near["x"]


@pytest.mark.parametrize("ranked", [[], [("a", 1.0)], [("a", 1.0), ("unknown", 0.5)]])
def test_without_a_neighbour_nothing_changes(ranked: list[tuple[str, float]]) -> None:
    assert smoothed(ranked, VECTORS, APART, on()) == ranked


names = st.lists(st.sampled_from([f"c{number}" for number in range(12)]), unique=True, max_size=12)


@given(names, st.integers(0, 1000), st.integers(1, 12), st.floats(0, 1))
def test_it_is_a_reordering_within_the_range_of_the_scores(
    identities: list[str], seed: int, k: int, weight: float
) -> None:
    random = np.random.default_rng(seed)
    scores = np.sort(random.random(len(identities)))[::-1]
    ranked = [(identity, float(score)) for identity, score in zip(identities, scores, strict=True)]
    vectors = {identity: random.standard_normal(4).astype(np.float32) for identity in identities[::2]}
    documents = {identity: str(number % 3) for number, identity in enumerate(identities)}
    after = smoothed(ranked, vectors, documents, on(k, weight))
    assert sorted(chunk_id for chunk_id, _ in after) == sorted(identities)
    moved = [score for _, score in after]
    assert moved == sorted(moved, reverse=True)
    assert all(scores[-1] <= score <= scores[0] for score in moved)
    if weight == 0:
        assert [chunk_id for chunk_id, _ in after] == identities
