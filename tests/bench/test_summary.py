"""Medians, spreads, ratios within rounds, and who is said to win."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.bench.summary import Spread, ratios, spread, verdict

VALUES = st.lists(st.floats(0.001, 1e6), min_size=1, max_size=9)


@given(VALUES)
def test_the_median_lies_within_the_spread(values: list[float]) -> None:
    each = spread(values)
    assert each.low <= each.median <= each.high
    assert each.count == len(values)


@given(VALUES, st.floats(0.01, 100))
def test_a_contender_that_takes_so_many_times_as_long_in_each_round_has_that_ratio(
    values: list[float], times: float
) -> None:
    ours = dict(enumerate(values))
    found = ratios(ours, {number: value * times for number, value in ours.items()})
    assert found is not None
    assert found.median == pytest.approx(times)
    assert found.low == pytest.approx(found.high)


def test_a_slow_round_of_the_machine_does_not_move_a_ratio() -> None:
    assert ratios({0: 1.0, 1: 10.0}, {0: 2.0, 1: 20.0}) == Spread(2.0, 2.0, 2.0, 2)


def test_rounds_that_only_one_of_them_has_do_not_count() -> None:
    assert ratios({0: 1.0}, {1: 2.0}) is None
    assert ratios({0: 0.0}, {0: 2.0}) is None


@pytest.mark.parametrize(
    ("ratio", "better", "said"),
    [
        (Spread(0.5, 0.4, 0.9, 5), "lower", "wins"),
        (Spread(0.5, 0.5, 0.5, 1), "lower", "ahead"),  # one round says little
        (Spread(0.9, 0.8, 1.2, 5), "lower", "ahead"),
        (Spread(1.0, 1.0, 1.0, 5), "lower", "level"),
        (Spread(1.1, 0.9, 1.2, 5), "lower", "behind"),
        (Spread(1.5, 1.1, 2.0, 5), "higher", "wins"),
        (Spread(1.1, 0.9, 1.2, 5), "higher", "ahead"),
        (Spread(0.5, 0.4, 0.6, 5), "higher", "behind"),
    ],
)
def test_verdicts(ratio: Spread, better: str, said: str) -> None:
    assert verdict(ratio, "lower" if better == "lower" else "higher") == said
