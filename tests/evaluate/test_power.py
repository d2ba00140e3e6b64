"""Power is what simulations and enumeration find, the smallest difference is where it is reached."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.evaluate.power import before_asking, power, share_power, smallest_difference, smallest_share_difference
from ragkit.evaluate.statistics import effective_size, mcnemar_test, mean_intervals

RUNS = 1000


def test_power_of_the_literature() -> None:
    # G*Power 3.1, paired t-test, two-sided 5%: power at d = 0.5 with 34 pairs; 199 pairs for 0.8 at d = 0.2.
    assert power(0.5, 1.0, 34) == pytest.approx(0.8078, abs=1e-4)
    assert smallest_difference(1.0, 199) == pytest.approx(0.2, abs=5e-4)


def test_the_smallest_difference_is_found_as_often_as_its_power_says() -> None:
    random = np.random.default_rng(6)
    smallest = smallest_difference(0.25, 60)
    columns = {str(run): random.normal(smallest, 0.25, 60).tolist() for run in range(RUNS)}
    found = [interval.excludes_zero for interval in mean_intervals(columns, resamples=2000).values()]
    assert 0.76 <= np.mean(found) <= 0.84


def test_the_smallest_difference_of_clustered_queries_is_found_as_often_as_its_power_says() -> None:
    random = np.random.default_rng(7)
    member = np.repeat(np.arange(30), 7)

    def differences(mean: float) -> list[float]:
        return (mean + random.normal(0, 0.15, 30)[member] + random.normal(0, 0.2, member.size)).tolist()

    # The design effect of 7 queries that owe 0.0225 / 0.0625 of their variance to the document, from many runs.
    sizes = [effective_size(differences(0.0), member.tolist()) for _ in range(200)]
    assert 1 / np.mean([1 / size for size in sizes]) == pytest.approx(210 / (1 + 6 * 0.36), rel=0.05)
    smallest = smallest_difference(0.25, 210 / (1 + 6 * 0.36), clusters=30)
    columns = {str(run): differences(smallest) for run in range(RUNS)}
    intervals = mean_intervals(columns, clusters=member.tolist(), resamples=2000).values()
    assert 0.76 <= np.mean([interval.excludes_zero for interval in intervals]) <= 0.84


@given(st.floats(0.01, 100), st.integers(2, 20_000), st.floats(0.5, 0.99), st.floats(0.6, 0.99))
def test_power_is_reached_at_the_smallest_difference(sd: float, n: int, level: float, wanted: float) -> None:
    smallest = smallest_difference(sd, n, level=level, power=wanted)
    assert power(smallest, sd, n, level=level) == pytest.approx(wanted, abs=1e-6)
    assert power(-smallest, sd, n, level=level) == power(smallest, sd, n, level=level)
    assert power(0.0, sd, n, level=level) == pytest.approx(1 - level, abs=1e-6)
    assert smallest_difference(sd, 2 * n, level=level, power=wanted) < smallest
    assert smallest_difference(2 * sd, n, level=level, power=wanted) == pytest.approx(2 * smallest)


def test_a_huge_difference_is_always_shown() -> None:
    assert power(1e6, 1.0, 10_000) == 1.0


def test_fewer_clusters_show_less() -> None:
    assert smallest_difference(0.3, 100, clusters=10) > smallest_difference(0.3, 100, clusters=50)


@pytest.mark.parametrize(("gain", "loss"), [(0.3, 0.05), (0.2, 0.2), (0.5, 0.0)])
def test_share_power_is_that_of_every_outcome(gain: float, loss: float) -> None:
    n, shown = 12, 0.0
    for gained, lost in itertools.product(range(n + 1), repeat=2):
        if gained + lost <= n:
            first = [0] * gained + [1] * lost + [1] * (n - gained - lost)
            second = [1] * gained + [0] * lost + [1] * (n - gained - lost)
            ways = math.comb(n, gained) * math.comb(n - gained, lost)
            chance = ways * gain**gained * loss**lost * (1 - gain - loss) ** (n - gained - lost)
            shown += chance * (mcnemar_test(first, second).p <= 0.05)
    assert share_power(gain - loss, gain + loss, n) == pytest.approx(shown)


@pytest.mark.integration  # simulates for seconds
@given(st.floats(0.05, 1), st.integers(1, 1000), st.floats(0.3, 0.95))
def test_share_power_is_reached_at_the_smallest_difference(disagreement: float, n: int, wanted: float) -> None:
    smallest = smallest_share_difference(disagreement, n, power=wanted)
    if smallest == math.inf:
        assert share_power(disagreement, disagreement, n) < wanted
    else:
        assert 0 < smallest <= disagreement
        assert share_power(smallest, disagreement, n) == pytest.approx(wanted, abs=1e-6)


def test_what_can_be_shown_beforehand_is_by_documents_and_infinite_for_few() -> None:
    assert before_asking(400) < before_asking(100) < 0.2
    assert before_asking(5) == before_asking(1) == before_asking(0) == float("inf")


def test_a_set_that_can_show_nothing_says_so() -> None:
    # Five queries that all change the same way have p = 0.0625.
    assert smallest_share_difference(1.0, 5) == math.inf
    assert smallest_share_difference(1.0, 6) < 1


def test_queries_that_agree_are_worth_fewer() -> None:
    random = np.random.default_rng(2)
    clusters = [number // 4 for number in range(400)]
    assert 300 < effective_size(random.random(400).tolist(), clusters) <= 400
    assert effective_size(np.repeat(random.random(100), 4).tolist(), clusters) == pytest.approx(100, abs=1)
    assert effective_size([0.5] * 400, clusters) == 100


@given(st.lists(st.floats(0, 1), min_size=2, max_size=30), st.data())
def test_an_effective_size_is_at_most_the_size(values: list[float], data: st.DataObject) -> None:
    clusters = [0, 1, *data.draw(st.lists(st.integers(0, 4), min_size=len(values) - 2, max_size=len(values) - 2))]
    size = effective_size(values, clusters)
    assert 0 < size <= len(values)
    assert size == effective_size(values, [f"document {cluster}" for cluster in clusters])


@pytest.mark.parametrize(
    "refused",
    [
        lambda: power(0.1, 0.0, 10),
        lambda: power(0.1, 1.0, 1),
        lambda: power(0.1, 1.0, 10, clusters=1),
        lambda: power(math.nan, 1.0, 10),
        lambda: power(0.1, math.inf, 10),
        lambda: power(0.1, 1.0, 10, level=1.0),
        lambda: smallest_difference(1.0, 10, power=0.01),
        lambda: smallest_difference(1.0, 10, power=1.0),
        lambda: share_power(0.3, 0.2, 10),
        lambda: share_power(0.1, 0.2, 0),
        lambda: share_power(0.1, 1.2, 10),
        lambda: smallest_share_difference(0.0, 10),
        lambda: smallest_share_difference(0.2, 10, power=1.0),
        lambda: effective_size([1.0, 0.0], ["a", "a"]),
        lambda: effective_size([], []),
    ],
)
def test_refuses_what_has_no_power(refused: Callable[[], float]) -> None:
    with pytest.raises(ValueError, match=r"must|cannot|at least|between"):
        refused()
