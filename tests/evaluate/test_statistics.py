"""Intervals and tests hold what they promise: by simulation, by hand and beside scipy.

In a simulation each run is a column of one call: a column's interval is what it would be alone.
"""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from ragkit.evaluate.statistics import (
    FEW,
    Interval,
    expanded_percentiles,
    holm,
    mcnemar_test,
    mean_interval,
    mean_intervals,
    paired_difference,
    percentile_interval,
    permutation_test,
    rare_event_bound,
    share_interval,
)
from ragkit.evaluate.statistics import clustered_share as share_of

RUNS = 1000
Draw = Callable[[np.random.Generator], NDArray[np.float64]]
SCIPY: Any = stats
VALUES = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30)
SHARES = st.lists(st.floats(0, 1), min_size=1, max_size=30)
P_VALUES = st.dictionaries(st.text(max_size=3), st.floats(0, 1), max_size=20)

THIRTY_DOCUMENTS = np.repeat(np.arange(30), 7)
UNEVEN_DOCUMENTS = np.repeat(np.arange(30), np.random.default_rng(0).integers(1, 14, 30))
FEW_DECIDE = np.repeat(np.arange(30), [20] * 5 + [2] * 25)


def share(of: int, true: float) -> Draw:
    return lambda random: (random.random(of) < true).astype(float)


def ranking(of: int) -> Draw:
    """Values like those of a ranking measure: bounded, skewed, many zeros. Their true mean is 0.45."""
    return lambda random: random.binomial(1, 0.6, of) * random.beta(3, 1, of)


def clustered_share(member: NDArray[np.intp], right: float, wrong: float) -> Draw:
    """Each document is as easy as a beta variable with the true mean right / (right + wrong)."""
    documents = int(member.max()) + 1
    return lambda random: (random.random(member.size) < random.beta(right, wrong, documents)[member]).astype(float)


def clustered_values(member: NDArray[np.intp]) -> Draw:
    """Half of a value comes from its document. The true mean is 0.6."""
    documents = int(member.max()) + 1
    return lambda random: 0.5 * random.beta(1.4, 0.6, documents)[member] + 0.5 * random.random(member.size)


def simulated(draw: Draw, member: NDArray[np.intp] | None = None, seed: int = 2026) -> list[Interval]:
    random = np.random.default_rng(seed)
    columns = {str(run): draw(random).tolist() for run in range(RUNS)}
    clusters = None if member is None else member.tolist()
    return list(mean_intervals(columns, clusters=clusters, resamples=2000).values())


def covered(intervals: list[Interval], truth: float) -> float:
    return sum(interval.low <= truth <= interval.high for interval in intervals) / len(intervals)


@pytest.mark.parametrize(
    ("draw", "truth", "member"),
    [
        (share(60, 0.8), 0.8, None),
        (share(60, 0.9), 0.9, None),
        (share(200, 0.9), 0.9, None),
        (ranking(60), 0.45, None),
        (ranking(200), 0.45, None),
        (clustered_share(THIRTY_DOCUMENTS[::3], 2, 2), 0.5, THIRTY_DOCUMENTS[::3]),
        (clustered_share(THIRTY_DOCUMENTS, 2, 2), 0.5, THIRTY_DOCUMENTS),
        (clustered_share(THIRTY_DOCUMENTS, 1.6, 0.4), 0.8, THIRTY_DOCUMENTS),
        (clustered_share(UNEVEN_DOCUMENTS, 2, 2), 0.5, UNEVEN_DOCUMENTS),
        (clustered_share(FEW_DECIDE, 2, 2), 0.5, FEW_DECIDE),
        (clustered_values(THIRTY_DOCUMENTS[::3]), 0.6, THIRTY_DOCUMENTS[::3]),
        (clustered_values(THIRTY_DOCUMENTS), 0.6, THIRTY_DOCUMENTS),
        (clustered_values(UNEVEN_DOCUMENTS), 0.6, UNEVEN_DOCUMENTS),
    ],
    ids=[
        "share of 60", "high share of 60", "share of 200", "values of 60", "values of 200",
        "shares of 70 in documents", "shares of 210 in documents", "high shares in documents",
        "shares in uneven documents", "shares where few documents decide",
        "values of 70 in documents", "values of 210 in documents", "values in uneven documents",
    ],
)  # fmt: skip
def test_a_95_percent_interval_covers_the_truth_in_93_to_97_of_100_runs(
    draw: Draw, truth: float, member: NDArray[np.intp] | None
) -> None:
    assert 0.93 <= covered(simulated(draw, member), truth) <= 0.97


@pytest.mark.parametrize("member", [None, THIRTY_DOCUMENTS], ids=["single", "in documents"])
@pytest.mark.parametrize("size", [60, 210])
def test_a_95_percent_interval_of_a_difference_covers_it(size: int, member: NDArray[np.intp] | None) -> None:
    member = None if member is None else member[:: 210 // size]
    queries = np.arange(size) if member is None else member

    def draw(random: np.random.Generator) -> NDArray[np.float64]:
        # How hard a query is goes to both systems; how much the second gains depends on the document.
        hard = random.normal(0, 1, queries.size)
        first = hard + random.normal(0, 0.3, queries.size)
        second = hard + random.normal(0, 0.3, queries.size) + 0.1 + random.normal(0, 0.2, queries.size)[queries]
        return second - first

    assert 0.93 <= covered(simulated(draw, member), 0.1) <= 0.97


@pytest.mark.integration  # simulates for seconds
def test_a_share_interval_covers_the_truth_in_93_to_97_of_100_runs() -> None:
    random = np.random.default_rng(5)
    for total, true in ((60, 0.5), (60, 0.9), (200, 0.6), (200, 0.9)):
        hits = random.binomial(total, true, RUNS).tolist()
        assert 0.93 <= covered([share_interval(count, total) for count in hits], true) <= 0.97


@pytest.mark.parametrize(
    ("true", "documents", "least", "most", "alike"),
    [
        (0.95, 98, 4, 4, 2),
        (0.95, 100, 1, 7, 2),
        (0.9, 40, 1, 7, 2),
        (0.8, 60, 1, 7, 2),
        (0.5, 98, 1, 19, 2),
        (0.5, 30, 1, 7, 0.5),
        (0.7, 20, 1, 7, 2),
    ],
)
def test_an_interval_of_a_clustered_share_covers_it_near_1_too(
    true: float, documents: int, least: int, most: int, alike: float
) -> None:
    """Where a bootstrap covers 91 to 94 of 100, its lower bound being too high."""
    random = np.random.default_rng(7)
    intervals: list[Interval] = []
    for _ in range(RUNS):
        sizes = random.integers(least, most + 1, documents)
        member = np.repeat(np.arange(documents), sizes)
        chance = random.beta(alike * true, alike * (1 - true), documents)[member]
        values = (random.random(member.size) < chance).astype(float)
        intervals.append(share_of(values.tolist(), member.tolist()))
    assert 0.93 <= covered(intervals, true) <= 0.97
    assert sum(interval.low > true for interval in intervals) / RUNS <= 0.05


def test_a_clustered_share_of_single_questions_is_about_wilson_s() -> None:
    values = [1.0] * 27 + [0.0] * 3
    single, plain = share_of(values, range(30)), share_interval(27, 30)
    assert (single.low, single.high) == pytest.approx((plain.low, plain.high), abs=0.02)
    assert share_of([1.0] * 6, ["a", "a", "b", "b", "c", "c"]) == share_interval(3, 3)
    with pytest.raises(ValueError, match="0 or 1"):
        share_of([0.5, 1.0], ["a", "b"])


@pytest.mark.integration  # simulates for seconds
def test_a_rare_event_bound_is_too_low_in_at_most_5_of_100_samples() -> None:
    # Summed over every sample there can be, so without chance.
    for total, true in ((30, 0.1), (200, 0.02), (1000, 0.001)):
        chances = SCIPY.binom.pmf(np.arange(total + 1), total, true)
        low = [rare_event_bound(events, total) < true for events in range(total + 1)]
        assert float(chances[low].sum()) <= 0.05


def test_without_clusters_the_interval_pretends_to_know_more_than_it_does() -> None:
    member = np.repeat(np.arange(50), 8)
    intervals = simulated(lambda random: random.normal(0, 1, 50)[member] + random.normal(0, 0.5, 400))
    assert covered(intervals, 0.0) < 0.7


@pytest.mark.parametrize("member", [None, UNEVEN_DOCUMENTS], ids=["single", "in documents"])
@pytest.mark.parametrize("shares", [False, True], ids=["values", "shares"])
def test_a_system_against_itself_raises_false_alarms_in_at_most_6_of_100_runs(
    shares: bool, member: NDArray[np.intp] | None
) -> None:
    documents = np.arange(60) if member is None else member
    clusters = None if member is None else member.tolist()
    random = np.random.default_rng(4)
    pairs: list[tuple[list[float], list[float]]] = []
    for _ in range(RUNS):
        # Two runs of one system err alike where the document is hard and each by itself beyond that.
        ease = random.beta(1.6, 0.4, documents.size)[documents]
        noise = random.normal(0, 0.2, (2, documents.max() + 1))[:, documents]
        twice = random.random((2, documents.size))
        values = (twice < ease).astype(float) if shares else ease + noise + twice
        pairs.append((values[0].tolist(), values[1].tolist()))
    differences = {str(n): (np.asarray(b) - np.asarray(a)).tolist() for n, (a, b) in enumerate(pairs)}
    intervals = mean_intervals(differences, clusters=clusters, resamples=2000).values()
    tests = [permutation_test(a, b, clusters=clusters, resamples=999, seed=n) for n, (a, b) in enumerate(pairs)]
    alarms = {
        "bootstrap": sum(interval.excludes_zero for interval in intervals),
        "permutation": sum(test.p <= 0.05 for test in tests),
    }
    if shares and member is None:
        alarms["mcnemar"] = sum(mcnemar_test(a, b).p <= 0.05 for a, b in pairs)
    assert max(alarms.values()) <= 0.06 * RUNS, alarms
    assert alarms["permutation"] >= 0.02 * RUNS, "a test that never rejects is none"


def test_the_bounds_lie_where_the_t_interval_has_them() -> None:
    # Bootstrap means of n normal values scatter with the standard deviation that divides by n.
    drawn = SCIPY.norm.ppf((np.arange(200_000) + 0.5) / 200_000)
    for draws_of in (5, 30):
        low, high = expanded_percentiles(drawn, draws_of=draws_of, level=0.95)
        reach = float(SCIPY.t.ppf(0.975, draws_of - 1)) * np.sqrt(draws_of / (draws_of - 1))
        assert (low, high) == pytest.approx((-reach, reach), rel=0.01)


def test_agrees_with_the_normal_interval_where_that_is_right() -> None:
    values = np.random.default_rng(3).normal(0.4, 0.2, 1000)
    interval = mean_interval(values.tolist())
    error = 1.959964 * values.std() / np.sqrt(values.size)
    assert interval.mean == pytest.approx(values.mean())
    assert interval.low == pytest.approx(values.mean() - error, abs=0.0006)
    assert interval.high == pytest.approx(values.mean() + error, abs=0.0006)


def test_narrower_level_gives_narrower_interval() -> None:
    values = [0.0, 1.0] * 50
    wide, narrow = mean_interval(values), mean_interval(values, level=0.5)
    assert wide.low < narrow.low < narrow.high < wide.high


def test_same_seed_same_interval() -> None:
    values = np.random.default_rng(5).random(30).tolist()
    assert mean_interval(values, seed=1) == mean_interval(values, seed=1)
    assert mean_interval(values, seed=1) != mean_interval(values, seed=2)


@pytest.mark.parametrize("size", [7, 1200, 70_000])
def test_a_measure_has_the_interval_that_it_has_alone(size: int) -> None:
    random = np.random.default_rng(8)
    columns = {name: random.random(size).tolist() for name in "abc"}
    for clusters in (None, [number // 3 for number in range(size)]):
        together = mean_intervals(columns, clusters=clusters, resamples=20, seed=3)
        assert list(together) == list(columns)
        for name, values in columns.items():
            assert together[name] == mean_interval(values, clusters=clusters, resamples=20, seed=3)


@given(VALUES, st.integers(1, 5))
def test_bounds_are_in_order_and_within_the_values(values: list[float], per_cluster: int) -> None:
    clusters = [number // per_cluster for number in range(len(values))]
    interval = mean_interval(values, clusters=clusters, resamples=200)
    assert interval.low <= interval.mean <= interval.high
    if len(set(clusters)) >= FEW:
        assert min(values) <= interval.low
        assert interval.high <= max(values)


@pytest.mark.parametrize("clusters", [2, 3, 5])
def test_few_clusters_are_covered_too(clusters: int) -> None:
    random, covered = np.random.default_rng(clusters), 0
    for _ in range(500):
        sizes = random.integers(1, 12, clusters)
        means = np.repeat(random.normal(0.5, 0.1, clusters), sizes)
        values = np.clip(random.normal(means, 0.1), 0, 1).tolist()
        found = mean_interval(values, clusters=np.repeat(np.arange(clusters), sizes).tolist())
        covered += found.low <= 0.5 <= found.high
    assert covered / 500 >= 0.9


def test_one_document_shows_next_to_nothing() -> None:
    whole = mean_interval([0.25, 0.5, 0.75], clusters=["a"] * 3)
    assert whole == Interval(0.5, 0.0, 1.0)
    found = share_of([1.0, 1.0, 0.0], ["a"] * 3)
    assert found.mean == pytest.approx(2 / 3)
    assert found.low < 0.1
    assert found.high > 0.95


@given(SHARES, st.sampled_from([-3.0, 0.5, 10.0]), st.floats(-5, 5))
def test_an_interval_moves_with_its_values(values: list[float], scale: float, shift: float) -> None:
    values = [*values, *values, 0.0, 0.2, 0.4, 0.6, 0.8, 1.0]  # few values are known to lie within 0 and 1
    before = mean_interval(values, resamples=200)
    after = mean_interval([scale * value + shift for value in values], resamples=200)
    bounds = sorted((scale * before.low + shift, scale * before.high + shift))
    assert [after.low, after.high] == pytest.approx(bounds, abs=1e-9)


def test_clusters_of_one_query_are_like_no_clusters() -> None:
    values = [0.1, 0.9, 0.4, 0.7, 0.3]
    assert mean_interval(values, clusters=list("abcde")) == mean_interval(values)


def test_clusters_of_different_size_keep_the_mean_over_queries() -> None:
    interval = mean_interval([1.0, 1.0, 1.0, 0.0], clusters=["a", "a", "a", "b"])
    assert (interval.mean, interval.low, interval.high) == (0.75, 0.0, 1.0)


@pytest.mark.parametrize("values", [[0.1], [0.1] * 7, [-2 / 3] * 11])
def test_equal_values_have_an_interval_without_width(values: list[float]) -> None:
    assert mean_interval(values, resamples=50) == Interval(values[0], values[0], values[0])


def test_pairing_finds_a_small_steady_gain_in_a_large_spread() -> None:
    random = np.random.default_rng(9)
    first = random.random(100)
    second = first + 0.02 + random.normal(0, 0.01, 100)
    difference = paired_difference(first.tolist(), second.tolist())
    assert difference.excludes_zero
    assert difference.low < 0.02 < difference.high
    assert permutation_test(first.tolist(), second.tolist()).p < 0.001
    assert mean_interval(first.tolist()).high > mean_interval(second.tolist()).low, "alone, they overlap"


def test_direction_of_the_difference() -> None:
    worse = paired_difference([0.9, 0.8, 0.7], [0.1, 0.1, 0.1])
    assert worse.mean < 0
    assert worse.excludes_zero
    assert not paired_difference([0.5, 0.6], [0.5, 0.6]).excludes_zero


def test_memory_stays_bounded() -> None:
    tracemalloc.start()
    mean_interval([0.5, 0.25] * 25_000, resamples=1000)
    permutation_test([0.5, 0.25] * 25_000, [0.25, 0.5] * 25_000, resamples=100)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 50e6, "1,000 resamples of 50,000 queries at once would take 400 MB"


def test_neither_numpy_nor_scipy_is_imported_before_a_figure_is_asked_for() -> None:
    program = (
        "import sys, ragkit.evaluate.statistics, ragkit.evaluate.power, ragkit.evaluate.agreement\n"
        "sys.exit('numpy' in sys.modules or 'scipy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize(
    ("values", "clusters"),
    [([], None), ([float("nan")], None), ([float("inf"), 1.0], None), ([1.0, 0.0], ["a"])],
)
def test_refuses_what_has_no_mean(values: list[float], clusters: list[str] | None) -> None:
    with pytest.raises(ValueError, match=r"values must be|clusters"):
        mean_interval(values, clusters=clusters)
    with pytest.raises(ValueError, match=r"values must be|clusters"):
        permutation_test(values, values, clusters=clusters)


@pytest.mark.parametrize("options", [{"level": 1.0}, {"level": 0.0}, {"resamples": 0}])
def test_refuses_options_out_of_range(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="level must lie"):
        mean_interval([1.0], **options)  # pyright: ignore[reportArgumentType]


def test_refuses_measures_of_different_queries() -> None:
    with pytest.raises(ValueError, match="as many values"):
        mean_intervals({"a": [1.0], "b": [1.0, 0.0]})
    with pytest.raises(ValueError, match="no measure"):
        mean_intervals({})


@pytest.mark.parametrize("refusing", [paired_difference, permutation_test, mcnemar_test])
def test_refuses_pairs_of_different_length(refusing: Callable[[list[float], list[float]], object]) -> None:
    with pytest.raises(ValueError, match="2 values cannot be paired with 1"):
        refusing([0.0, 1.0], [0.0])


@pytest.mark.parametrize(
    ("hits", "total", "low", "high", "most"),
    [
        # Newcombe 1998, Statistics in Medicine 17, table I: method 3 (score), upper bound of method 5 (exact).
        (81, 263, 0.2553, 0.3662, 0.3676),
        (15, 148, 0.0624, 0.1605, 0.1617),
        (0, 20, 0.0, 0.1611, 0.1684),
        (1, 29, 0.0061, 0.1718, 0.1776),
    ],
)
def test_shares_of_the_literature(hits: int, total: int, low: float, high: float, most: float) -> None:
    found = share_interval(hits, total)
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)
    # The upper of two bounds at 95% is the only one at 97.5%.
    assert rare_event_bound(hits, total, level=0.975) == pytest.approx(most, abs=5e-5)


@given(st.integers(1, 500), st.data(), st.floats(0.5, 0.999))
def test_intervals_of_a_share_hold_the_share(total: int, data: st.DataObject, level: float) -> None:
    hits = data.draw(st.integers(0, total))
    found = share_interval(hits, total, level=level)
    assert 0.0 <= found.low <= found.mean == hits / total <= found.high <= 1.0
    assert hits / total <= rare_event_bound(hits, total, level=level) <= 1.0
    others = share_interval(total - hits, total, level=level)
    assert (1 - others.high, 1 - others.low) == pytest.approx((found.low, found.high), abs=1e-9)
    # Wilson's formula, written out.
    z = float(SCIPY.norm.ppf((1 + level) / 2))
    middle = (hits + z * z / 2) / (total + z * z)
    half = z / (total + z * z) * np.sqrt(hits * (total - hits) / total + z * z / 4)
    assert (found.low, found.high) == pytest.approx((middle - half, middle + half), abs=1e-9)


@pytest.mark.parametrize("refusing", [share_interval, rare_event_bound])
def test_refuses_what_is_no_share(refusing: Callable[..., object]) -> None:
    for hits, total in ((1, 0), (-1, 5), (6, 5)):
        with pytest.raises(ValueError, match="is no share"):
            refusing(hits, total)
    with pytest.raises(ValueError, match="level must lie"):
        refusing(1, 2, level=1.0)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=30))
def test_a_permutation_test_does_not_care_which_system_is_first(pairs: list[tuple[float, float]]) -> None:
    first, second = [one for one, _ in pairs], [other for _, other in pairs]
    found, turned = (permutation_test(a, b, resamples=200) for a, b in ((first, second), (second, first)))
    assert 0.0 < found.p <= 1.0
    assert (found.p, found.difference) == (turned.p, -turned.difference)
    assert permutation_test(first, first, resamples=200).p == 1.0


def mean_difference(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    return float((second - first).mean())


@pytest.mark.parametrize("size", [4, 12])
def test_the_exact_permutation_test_is_that_of_scipy(size: int) -> None:
    random = np.random.default_rng(size)
    for _ in range(5):
        first, second = random.integers(0, 5, (2, size)) / 4
        expected = SCIPY.permutation_test(
            (first, second), mean_difference, permutation_type="samples", n_resamples=np.inf
        )
        found = permutation_test(first.tolist(), second.tolist())
        assert found.exact
        assert found.p == pytest.approx(expected.pvalue, abs=1e-12)


def test_a_permutation_test_over_random_signs_is_near_the_exact_one() -> None:
    random = np.random.default_rng(1)
    first, second = random.random(12).tolist(), (random.random(12) + 0.2).tolist()
    exact, near = permutation_test(first, second), permutation_test(first, second, resamples=4000)
    assert (exact.exact, near.exact) == (True, False)
    assert near.p == pytest.approx(exact.p, abs=0.03)
    assert near != permutation_test(first, second, resamples=4000, seed=1)
    # No p-value is lower than the draws can tell.
    assert permutation_test([0.0] * 40, [1.0] * 40, resamples=999).p == 1 / 1000


def test_signs_of_a_cluster_change_together() -> None:
    assert permutation_test([0.0] * 5, [1.0] * 5).p == 2 / 2**5
    assert permutation_test([0.0] * 5, [1.0] * 5, clusters=list("aaabb")).p == 2 / 2**2
    assert permutation_test([0.0] * 6, [1.0] * 3 + [-1.0] * 3, clusters=list("abcabc")).p == 1.0


def test_mcnemar_counts_what_changed() -> None:
    found = mcnemar_test([False] * 8 + [True] * 3, [True] * 8 + [False] + [True] * 2)
    assert (found.gained, found.lost) == (8, 1)
    assert found.p == pytest.approx(2 * (1 + 9) / 2**9)
    assert mcnemar_test([True] * 9, [True] * 9).p == 1.0
    with pytest.raises(ValueError, match="0 or 1"):
        mcnemar_test([0.5], [1.0])


@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=12))
def test_mcnemar_is_the_permutation_test_of_shares(pairs: list[tuple[bool, bool]]) -> None:
    first, second = [one for one, _ in pairs], [other for _, other in pairs]
    if pairs:
        assert mcnemar_test(first, second).p == pytest.approx(permutation_test(first, second).p)
    assert mcnemar_test(first, second).p == mcnemar_test(second, first).p


@given(P_VALUES)
def test_holm_keeps_the_order_and_only_raises(p_values: dict[str, float]) -> None:
    adjusted = holm(p_values)
    assert list(adjusted) == list(p_values)
    assert all(p <= adjusted[name] <= min(1.0, p * len(p_values)) for name, p in p_values.items())
    ordered = [adjusted[name] for name in sorted(p_values, key=p_values.__getitem__)]
    assert ordered == sorted(ordered)


def test_holm_by_hand() -> None:
    # Holm's own procedure: the smallest against 0.05 / 4, the next against 0.05 / 3 and so on, until one fails.
    adjusted = holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005})
    assert adjusted == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06, "d": 0.02})
    for wrong in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="between 0 and 1"):
            holm({"a": wrong})


def test_holm_keeps_families_from_false_alarms() -> None:
    families = np.random.default_rng(1).random((RUNS, 10))
    alarms = [min(holm({str(n): p for n, p in enumerate(family.tolist())}).values()) <= 0.05 for family in families]
    assert np.mean(alarms) <= 0.06
    assert np.mean(families.min(axis=1) <= 0.05) > 0.3


@pytest.mark.parametrize("size", [72, 100, 400])
def test_the_interval_of_a_percentile_covers_it_whatever_the_distribution(size: int) -> None:
    random, truth = np.random.default_rng(size), float(np.exp(1.6448536269514722))
    covered = 0
    for _ in range(2000):
        low, high = percentile_interval(random.lognormal(0, 1, size).tolist(), 95)
        assert high is not None
        covered += low <= truth <= high
    assert covered / 2000 >= 0.94


def test_few_values_have_no_upper_bound_of_a_high_percentile() -> None:
    assert percentile_interval([float(n) for n in range(71)], 95)[1] is None
    with pytest.raises(ValueError, match="finite numbers that is not empty"):
        percentile_interval([], 95)
    with pytest.raises(ValueError, match="between 0 and 100"):
        percentile_interval([1.0], 100)
