"""Where the topic turns, from the vectors of the sentences."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.ingest.topics import gap_depths, topic_breaks


def rows(*topics: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """One unit vector a sentence: sentences of one topic have the same."""
    return np.eye(max(topics) + 1, dtype=np.float32)[list(topics)]


@pytest.mark.parametrize("window", [1, 2, 3, 10])
@pytest.mark.parametrize("turn", [3, 4, 6])
def test_the_deepest_gap_is_where_the_topic_turns(window: int, turn: int) -> None:
    depths = gap_depths(rows(*[0] * turn, *[1] * (10 - turn)), window)
    assert int(depths.argmax()) == turn
    assert np.flatnonzero(topic_breaks(depths, 80)).tolist() == [turn]


def test_each_of_several_turns_is_a_break() -> None:
    depths = gap_depths(rows(*[0] * 5, *[1] * 5, *[2] * 5), window=3)
    assert np.flatnonzero(topic_breaks(depths, 80)).tolist() == [5, 10]


def test_one_topic_has_no_break() -> None:
    assert not topic_breaks(gap_depths(rows(*[0] * 20), window=3), 80).any()


@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_text_too_short_to_turn_has_no_break(count: int) -> None:
    depths = gap_depths(np.eye(3, dtype=np.float32)[:count], window=3)
    assert len(depths) == count
    assert not topic_breaks(depths, 50).any()


@given(
    st.lists(st.lists(st.floats(-1, 1, width=32), min_size=4, max_size=4), max_size=40),
    st.integers(1, 5),
    st.floats(1, 99),
)
def test_depths_stay_in_range_and_breaks_are_no_neighbours(
    vectors: list[list[float]], window: int, percentile: float
) -> None:
    """Zero vectors (sentences without a known token) included."""
    depths = gap_depths(np.asarray(vectors, dtype=np.float32).reshape(-1, 4), window)
    assert np.isfinite(depths).all()
    assert ((depths >= -1e-5) & (depths <= 4 + 1e-5)).all()
    breaks = np.flatnonzero(topic_breaks(depths, percentile))
    assert 0 not in breaks.tolist()
    assert (np.diff(breaks) > 1).all()


def test_a_higher_percentile_never_gives_more_breaks() -> None:
    vectors = np.random.default_rng(0).normal(size=(200, 16)).astype(np.float32)
    depths = gap_depths(vectors, 3)
    counts = [int(topic_breaks(depths, percentile).sum()) for percentile in (10, 50, 80, 95, 99)]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > counts[-1] > 0
