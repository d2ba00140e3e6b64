"""Two lists of scores as one: the share of each is kept whatever its scale."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.retrieve.blend import blended

scores = st.lists(st.tuples(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3)), max_size=12)


@given(pairs=scores)
def test_all_weight_on_one_gives_its_order(pairs: list[tuple[float, float]]) -> None:
    first, own = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    assert blended(first, own, 1.0) == own
    alone = blended(first, own, 0.0)
    for one in range(len(pairs)):
        for other in range(len(pairs)):
            if first[one] > first[other]:
                assert alone[one] >= alone[other]


@given(pairs=scores, weight=st.floats(0, 0.99), factor=st.sampled_from([0.25, 2.0, 1024.0]), shift=st.integers(-64, 64))
def test_the_scale_of_the_scores_does_not_matter(
    pairs: list[tuple[float, float]], weight: float, factor: float, shift: int
) -> None:
    first, own = [float(round(pair[0])) for pair in pairs], [float(round(pair[1])) for pair in pairs]
    before = blended(first, own, weight)
    after = blended([factor * value + shift for value in first], own, weight)
    assert after == pytest.approx(before, abs=1e-6)


def test_it_is_the_weighted_sum_of_standardised_scores() -> None:
    first, own = np.array([3.0, 1.0, 2.0, 9.0]), np.array([0.2, 0.9, 0.4, 0.1])
    expected = 0.3 * (own - own.mean()) / own.std() + 0.7 * (first - first.mean()) / first.std()
    assert blended(list(first), list(own), 0.3) == pytest.approx(list(expected))


def test_scores_that_are_all_alike_leave_the_order_to_the_others() -> None:
    assert blended([1.0, 1.0], [5.0, 7.0], 0.3) == pytest.approx([-0.3, 0.3])
    assert blended([], [], 0.3) == []
