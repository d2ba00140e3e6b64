"""Intervals hold what they promise: coverage by simulation, pairing, clusters, bounded memory."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from ragkit.evaluate import bootstrap
from ragkit.evaluate.bootstrap import mean_interval, paired_difference


def test_covers_the_true_mean_as_often_as_it_says() -> None:
    # Values like those of a ranking measure: bounded, skewed, many zeros. Their true mean is 0.6 * 0.75.
    random = np.random.default_rng(7)
    hits = 0
    for run in range(300):
        values = random.binomial(1, 0.6, 80) * random.beta(3, 1, 80)
        interval = mean_interval(values.tolist(), resamples=1000, seed=run)
        hits += interval.low <= 0.45 <= interval.high
    assert 0.92 <= hits / 300 <= 0.98


def test_clusters_restore_the_coverage_that_dependent_queries_lose() -> None:
    random = np.random.default_rng(11)
    clusters = np.repeat(np.arange(50), 8).tolist()
    hits = {"clusters": 0, "single": 0}
    for run in range(300):
        values = np.repeat(random.normal(0, 1, 50), 8) + random.normal(0, 0.5, 400)
        by_cluster = mean_interval(values.tolist(), clusters=clusters, resamples=1000, seed=run)
        single = mean_interval(values.tolist(), resamples=1000, seed=run)
        hits["clusters"] += by_cluster.low <= 0 <= by_cluster.high
        hits["single"] += single.low <= 0 <= single.high
    assert 0.92 <= hits["clusters"] / 300 <= 0.98
    assert hits["single"] / 300 < 0.7, "without clusters the interval pretends to know more than it does"


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


def test_same_seed_same_interval_whatever_the_step(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(5).random(30).tolist()
    whole = mean_interval(values, seed=1)
    assert mean_interval(values, seed=1) == whole
    assert mean_interval(values, seed=2) != whole
    monkeypatch.setattr(bootstrap, "_DRAWS_AT_ONCE", 100)
    assert mean_interval(values, seed=1) == whole


def test_clusters_of_one_query_are_like_no_clusters() -> None:
    values = [0.1, 0.9, 0.4, 0.7, 0.3]
    assert mean_interval(values, clusters=list("abcde")) == mean_interval(values)


def test_clusters_of_different_size_keep_the_mean_over_queries() -> None:
    interval = mean_interval([1.0, 1.0, 1.0, 0.0], clusters=["a", "a", "a", "b"])
    assert (interval.mean, interval.low, interval.high) == (0.75, 0.0, 1.0)


def test_pairing_finds_a_small_steady_gain_in_a_large_spread() -> None:
    random = np.random.default_rng(9)
    first = random.random(100)
    second = first + 0.02 + random.normal(0, 0.01, 100)
    difference = paired_difference(first.tolist(), second.tolist())
    assert difference.excludes_zero
    assert difference.low < 0.02 < difference.high
    assert mean_interval(first.tolist()).high > mean_interval(second.tolist()).low, "alone, they overlap"


def test_direction_of_the_difference() -> None:
    worse = paired_difference([0.9, 0.8, 0.7], [0.1, 0.1, 0.1])
    assert worse.mean < 0
    assert worse.excludes_zero
    assert not paired_difference([0.5, 0.6], [0.5, 0.6]).excludes_zero


def test_memory_stays_bounded() -> None:
    tracemalloc.start()
    mean_interval([0.5, 0.25] * 25_000, resamples=1000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100e6, "1,000 resamples of 50,000 queries at once would take 800 MB"


@pytest.mark.parametrize(
    ("values", "clusters"),
    [([], None), ([float("nan")], None), ([float("inf"), 1.0], None), ([1.0, 0.0], ["a"])],
)
def test_refuses_what_has_no_mean(values: list[float], clusters: list[str] | None) -> None:
    with pytest.raises(ValueError, match=r"values must be|clusters"):
        mean_interval(values, clusters=clusters)


@pytest.mark.parametrize("options", [{"level": 1.0}, {"level": 0.0}, {"resamples": 0}])
def test_refuses_options_out_of_range(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="level must lie"):
        mean_interval([1.0], **options)  # pyright: ignore[reportArgumentType]


def test_refuses_pairs_of_different_length() -> None:
    with pytest.raises(ValueError, match="2 values cannot be paired with 1"):
        paired_difference([0.1, 0.2], [0.1])
