"""Intervals and tests for measures over queries.

Queries that were written for the same document succeed and fail together. Functions that take `clusters` (for
each query its document or article) treat whole clusters as what was drawn at random, not queries.

Sources: Efron and Tibshirani 1993, "An Introduction to the Bootstrap", chapters 13 (percentile interval) and 8.6
(resampling whole groups); Hesterberg 2015, "What Teachers Should Know About the Bootstrap", The American
Statistician 69 (expanded percentile interval); Sakai 2006, "Evaluating evaluation metrics based on
the bootstrap" (paired, by query). What a set of queries can show at all is in `power`, agreement with people and
judgments corrected by theirs in `agreement`.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RESAMPLES = 10_000
FEW = 6
"""Clusters below which a bootstrap's interval is too narrow, however it is expanded."""
# Draws that are held at once. Few enough for the cache and for one thread of the linear algebra: several threads
# would wait for each other longer than they add, and their rounding would depend on the machine. Another number here
# gives other draws for the same seed.
_BLOCK = 100_000
# Rows of a block at least: a single row is a product of vectors, which is shared by threads much sooner.
_ROWS = 4


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate, most often a mean, and the bounds of its interval."""

    mean: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        return self.low > 0 or self.high < 0


@dataclass(frozen=True, slots=True)
class PermutationTest:
    """Mean of `second - first`, its two-sided p-value, and whether every arrangement was counted."""

    difference: float
    p: float
    exact: bool


@dataclass(frozen=True, slots=True)
class McNemarTest:
    """Queries that only the second system gets right, those that only the first does, two-sided p-value."""

    gained: int
    lost: int
    p: float


def mean_interval(
    values: Sequence[float],
    *,
    clusters: Sequence[Hashable] | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """Mean of `values` (one for each query) and its expanded percentile bootstrap interval.

    With `clusters` (as long as `values`: the document or article a query was written for) whole clusters are
    drawn instead of queries; drawing the queries of one document singly would give an interval that is too
    narrow. Of fewer than `FEW` clusters no bootstrap knows how they vary: there the interval is that of Student's t for
    a ratio of sums over clusters (Cochran 1977, "Sampling Techniques", 6.3), within 0 to 1 or -1 to 1 if all values
    are, and one cluster gives all of that range. Values that are all equal give an interval of width 0 that says
    nothing: for a share that may be 0 or 1 use `share_interval`.

    Raises ValueError if there are no values, lengths differ, a value is not finite, or an option is out of
    range.

    >>> mean_interval([1.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0])
    Interval(mean=0.75, low=0.375, high=1.0)
    """
    return mean_intervals({"": values}, clusters=clusters, resamples=resamples, seed=seed, level=level)[""]


def mean_intervals(
    values: Mapping[str, Sequence[float]],
    *,
    clusters: Sequence[Hashable] | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, Interval]:
    """The `mean_interval` of several measures (name to one value for each query) over the same queries.

    The numbers are those of `mean_interval` with the same seed; the draws are made once for all measures.
    Options and errors are those of `mean_interval`; measures of different length raise ValueError too.

    >>> mean_intervals({"success@1": [1.0, 0.0, 1.0, 1.0], "mrr@10": [1.0, 1.0, 1.0, 1.0]})["mrr@10"]
    Interval(mean=1.0, low=1.0, high=1.0)
    """
    import numpy as np

    check_options(resamples, level)
    if not values:
        raise ValueError("no measure has values")
    columns = {name: finite(column) for name, column in values.items()}
    sizes = {column.size for column in columns.values()}
    if len(sizes) > 1:
        raise ValueError(f"measures over the same queries have as many values, not {sorted(sizes)}")
    groups = numbered(clusters, sizes.pop())
    queries = np.bincount(groups)
    table = [np.bincount(groups, weights=column) for column in columns.values()]
    if queries.size < FEW:
        pairs = zip(columns.items(), table, strict=True)
        return {name: _of_few(column, sums, queries, level) for (name, column), sums in pairs}
    drawn = resampled_sums([*table, queries], resamples=resamples, seed=seed)
    lows, highs = expanded_percentiles(drawn[:-1] / drawn[-1], draws_of=even_clusters(queries), level=level)
    return {
        name: _within_values(column, float(low), float(high))
        for (name, column), low, high in zip(columns.items(), lows, highs, strict=True)
    }


def paired_difference(
    first: Sequence[float],
    second: Sequence[float],
    *,
    clusters: Sequence[Hashable] | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """Mean of `second - first` over the same queries in the same order, and its interval.

    The difference is taken query by query, so how hard a query is cancels out: two systems whose own
    intervals overlap can still differ clearly. Options and errors are those of `mean_interval`.

    >>> paired_difference([0.1, 0.5, 0.9, 0.3], [0.2, 0.6, 1.0, 0.4]).excludes_zero
    True
    """
    return mean_interval(_differences(first, second), clusters=clusters, resamples=resamples, seed=seed, level=level)


def share_interval(hits: int, total: int, *, level: float = 0.95) -> Interval:
    """`hits / total` and its score interval (Wilson 1927, JASA 22), for independent trials.

    Unlike a bootstrap interval it has a width when all or none hit. For trials that come in clusters use
    `clustered_share`. Raises ValueError without trials, if `hits` is not among them, or for a level out of range.

    >>> share = share_interval(27, 30)
    >>> share.mean, round(share.low, 3), round(share.high, 3)
    (0.9, 0.744, 0.965)
    """
    from scipy import stats

    _check_share(hits, total, level)
    found: Any = stats.binomtest(hits, total).proportion_ci(level, method="wilson")
    # The formula's own rounding may step a hair beyond 0, 1 or the share itself.
    share = hits / total
    return Interval(share, max(0.0, min(share, float(found.low))), min(1.0, max(share, float(found.high))))


def clustered_share(values: Sequence[float], clusters: Sequence[Hashable], *, level: float = 0.95) -> Interval:
    """The share of ones among values of 0 and 1 that come in clusters, and its score interval.

    Wilson's interval for as many trials as the `effective_size` of the values, with the quantile of Student's t for
    the number of clusters less one (after Korn and Graubard 1998, Survey Methodology 24, who put the effective size
    and t into the interval of Clopper and Pearson). For shares near 0 or 1 it covers the truth where a bootstrap does
    not. Values that are all alike, or a single cluster, count each cluster once: one document shows next to nothing.

    Raises ValueError for other values and as `effective_size` does.

    >>> found = clustered_share([1.0, 1.0, 1.0, 0.0, 1.0, 1.0], ["a", "a", "b", "c", "d", "e"])
    >>> round(found.mean, 3), round(found.low, 3), round(found.high, 3)
    (0.833, 0.291, 0.984)
    """
    from scipy import special

    data = finite(values)
    if not set(data.tolist()) <= {0.0, 1.0}:
        raise ValueError("a share is of values that are 0 or 1")
    count = int(numbered(clusters, data.size).max()) + 1
    share = float(data.mean())
    if share in (0.0, 1.0):
        return share_interval(round(count * share), count, level=level)
    check_options(1, level)
    size = effective_size(values, clusters) if count > 1 else 1.0
    quantile = float(special.stdtrit(count - 1, (1 + level) / 2) if count > 1 else special.ndtri((1 + level) / 2))
    square = quantile**2
    middle = (share + square / (2 * size)) / (1 + square / size)
    half = quantile * math.sqrt(share * (1 - share) / size + square / (4 * size**2)) / (1 + square / size)
    return Interval(share, max(0.0, min(share, middle - half)), min(1.0, max(share, middle + half)))


def effective_size(values: Sequence[float], clusters: Sequence[Hashable]) -> float:
    """How many independent queries tell as much about the mean as these clustered ones: `n / design effect`.

    The design effect is the variance of the mean over clusters by that over single queries (Kish 1965, "Survey
    Sampling"). It counts as 1 at least, since an estimate below 1 is mostly chance; if all values
    are equal each cluster counts as one query. Take the values from an earlier run, or its differences.

    Raises ValueError as `mean_interval` does, and for fewer than two clusters.

    >>> effective_size([1.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0], ["a", "a", "b", "b", "c", "c", "d", "d"])
    3.4285714285714284
    """
    import numpy as np

    data = finite(values)
    groups = numbered(clusters, data.size)
    count = int(groups.max()) + 1
    if count < 2:
        raise ValueError("effective_size needs at least two clusters")
    spread = float(np.ptp(data))
    if spread == 0:
        return float(count)
    data = (data - data.min()) / spread
    sums = np.bincount(groups, weights=data - data.mean())
    over_clusters = count / (count - 1) * float(np.square(sums).sum()) / data.size**2
    over_queries = float(data.var(ddof=1)) / data.size
    return data.size / max(1.0, over_clusters / over_queries)


def rare_event_bound(events: int, total: int, *, level: float = 0.95) -> float:
    """The rate that events seen `events` times in `total` independent trials do not exceed, at this level.

    One-sided and exact (Clopper and Pearson 1934, Biometrika 26): it is too low in at most `1 - level` of all
    samples, whatever the true rate. Without any event it is about 3 / `total` (the rule of three). Errors are
    those of `share_interval`.

    >>> round(rare_event_bound(0, 100), 4)
    0.0295
    """
    from scipy import stats

    _check_share(events, total, level)
    found: Any = stats.binomtest(events, total, alternative="less").proportion_ci(level, method="exact")
    return float(found.high)


def percentile_interval(values: Sequence[float], percent: float, *, level: float = 0.95) -> tuple[float, float | None]:
    """The bounds of a percentile by order statistics, whatever the distribution of the values, which are independent.

    The number of values below the true percentile is binomial; its own bounds say which of the sorted values are
    bounds of the percentile (David and Nagaraja 2003, "Order Statistics", 7.1). Without an upper bound it is None: that
    of the 95th percentile takes 72 values. Without a lower one it is the least value.

    Raises ValueError without values, for one that is not finite, or if percent or level are out of range.

    >>> percentile_interval(range(1, 101), 95)
    (90.0, 100.0)
    >>> percentile_interval(range(1, 51), 95)
    (44.0, None)
    """
    from scipy import stats

    check_options(1, level)
    if not 0 < percent < 100:
        raise ValueError("a percentile lies between 0 and 100")
    found = sorted(finite(values).tolist())
    tail = (1 - level) / 2
    below: Any = stats.binom(len(found), percent / 100)
    # Ranks from 1: the value of rank r is above the percentile if fewer than r values are below it.
    lower = max(1, int(below.ppf(tail)))
    upper = int(below.ppf(1 - tail)) + 1
    return found[lower - 1], found[upper - 1] if upper <= len(found) else None


def permutation_test(
    first: Sequence[float],
    second: Sequence[float],
    *,
    clusters: Sequence[Hashable] | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> PermutationTest:
    """Could the mean difference of two systems be chance? Swaps them query by query (cluster by cluster).

    If the systems do not differ, each difference may as well have the other sign. `p` is the share of sign
    arrangements whose mean difference is as far from 0 as the one seen or farther: over all arrangements if
    they are no more than `resamples`, else over random ones, the one seen counted among them (Fisher 1935;
    Phipson and Smyth 2010, "Permutation p-values should never be zero"). With `clusters` the signs of a
    cluster change together; with fewer than 6 queries or clusters `p` cannot fall below 0.05.

    Raises ValueError if there are no values, lengths differ, a value is not finite or `resamples` is below 1.

    >>> permutation_test([0.1, 0.2, 0.4, 0.3, 0.1, 0.0], [0.2, 0.4, 0.5, 0.6, 0.5, 0.5]).p
    0.03125
    """
    import numpy as np

    check_options(resamples)
    differences = finite(_differences(first, second))
    sums = np.bincount(numbered(clusters, differences.size), weights=differences)
    sums = sums[sums != 0].astype(np.float64)
    # Arrangements that tie with the one seen must count however their sums are rounded.
    edge = abs(float(sums.sum())) - 1e-12 * float(np.abs(sums).sum())
    exact = 2**sums.size <= resamples
    if exact:
        arranged = np.zeros(1)
        for value in sums:
            arranged = np.concatenate([arranged - value, arranged + value])
        p = float((np.abs(arranged) >= edge).mean())
    else:
        p = (_as_far(sums, edge, resamples, seed) + 1) / (resamples + 1)
    return PermutationTest(float(differences.mean()), p, exact)


def mcnemar_test(first: Sequence[bool | float], second: Sequence[bool | float]) -> McNemarTest:
    """Do two systems get different shares of the same independent queries right? Values are 0 or 1.

    Only queries that one system gets right and the other wrong count; without a difference each kind is as
    likely, which the exact binomial test looks at (McNemar 1947, Psychometrika 12). For queries that come in
    clusters use `permutation_test`. Raises ValueError if lengths differ or a value is neither 0 nor 1.

    >>> mcnemar_test([1, 0, 0, 0, 0, 0, 0, 1], [0, 1, 1, 1, 1, 1, 1, 1])
    McNemarTest(gained=6, lost=1, p=0.125)
    """
    from scipy import stats

    differences = _differences(first, second)
    if any(value not in (0, 1) for value in (*first, *second)):
        raise ValueError("values must be 0 or 1")
    gained, lost = differences.count(1), differences.count(-1)
    if gained == lost == 0:
        return McNemarTest(0, 0, 1.0)
    found: Any = stats.binomtest(gained, gained + lost)
    return McNemarTest(gained, lost, min(1.0, float(found.pvalue)))


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """P-values of a family of tests, adjusted: to call those below 0.05 clear errs in 5% of families at most.

    A family is all the tests from which one would pick out a good result: every measure, every strategy.
    Holm 1979, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6;
    it holds however the tests depend on each other. Raises ValueError if a value does not lie in 0 to 1.

    >>> holm({"ndcg@10": 0.01, "mrr@10": 0.04, "recall@10": 0.03})
    {'ndcg@10': 0.03, 'mrr@10': 0.06, 'recall@10': 0.06}
    """
    if not all(0 <= p <= 1 for p in p_values.values()):
        raise ValueError("p-values lie between 0 and 1")
    adjusted: dict[str, float] = {}
    least = 0.0
    for rank, name in enumerate(sorted(p_values, key=p_values.__getitem__)):
        least = max(least, min(1.0, (len(p_values) - rank) * p_values[name]))
        adjusted[name] = least
    return {name: adjusted[name] for name in p_values}


def check_options(resamples: int, level: float = 0.95) -> None:
    """Raises ValueError if an option that the bootstrap functions share is out of range."""
    if not 0 < level < 1 or resamples < 1:
        raise ValueError("level must lie between 0 and 1, resamples must be at least 1")


def finite(values: Sequence[float]) -> NDArray[np.float64]:
    """`values` as an array. Raises ValueError if there are none, they are nested or one is not finite."""
    import numpy as np

    data = np.asarray(values, dtype=np.float64)
    if data.ndim != 1 or data.size == 0 or not np.isfinite(data).all():
        raise ValueError("values must be a list of finite numbers that is not empty")
    return data


def numbered(clusters: Sequence[Hashable] | None, size: int) -> NDArray[np.intp]:
    """Number of the cluster of each of `size` queries, from 0 in order of appearance; without clusters its own.

    Raises ValueError if there are not `size` clusters.
    """
    import numpy as np

    if clusters is None:
        return np.arange(size)
    if len(clusters) != size:
        raise ValueError(f"{size} values but {len(clusters)} clusters")
    numbers: dict[Hashable, int] = {}
    return np.asarray([numbers.setdefault(cluster, len(numbers)) for cluster in clusters], dtype=np.intp)


def resampled_sums(columns: Sequence[NDArray[Any]], *, resamples: int, seed: int) -> NDArray[np.float64]:
    """Sum of every column over each of `resamples` draws, with replacement, of as many clusters as there are.

    A column holds one number for each cluster. The result has the shape (columns, resamples); all columns share
    the draws, and which other columns there are does not change the sums of one.
    """
    import numpy as np

    size = len(columns[0])
    columns = [np.ascontiguousarray(column, dtype=np.float64) for column in columns]
    random = np.random.default_rng(seed)
    step = max(_ROWS, _BLOCK // size)
    drawn = np.empty((len(columns), resamples))
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        picks = random.integers(0, size, size=(rows, size), dtype=np.uint16 if size <= 2**16 else np.uint32)
        times = np.empty((rows, size))
        for row, picked in enumerate(picks):
            times[row] = np.bincount(picked, minlength=size)
        for place, column in enumerate(columns):
            drawn[place, start : start + rows] = times @ column
    return drawn


def even_clusters(sizes: NDArray[Any]) -> float:
    """How many clusters of equal size tell as much as these: (sum of sizes) squared by the sum of squared sizes.

    As many as there are if they are even; few if a few large ones decide (Kish 1965, "Survey Sampling", on
    unequal weights). Bounds expanded for the mere number of uneven clusters are too narrow.
    """
    import numpy as np

    return float(sizes.sum()) ** 2 / float(np.square(sizes, dtype=np.float64).sum())


def expanded_percentiles(drawn: NDArray[np.float64], *, draws_of: float, level: float) -> NDArray[np.float64]:
    """Lower and upper bounds from bootstrap estimates (last axis), drawn from `draws_of` clusters of even size.

    The plain percentiles are too narrow by the factor that divides by n instead of n - 1 and by the normal
    instead of the t quantile; the expanded ones lie as far out as makes up for both (Hesterberg 2015).
    """
    import numpy as np
    from scipy import special

    tail = (1 - level) / 2
    if draws_of > 1:
        reach = special.stdtrit(draws_of - 1, 1 - tail) * math.sqrt(draws_of / (draws_of - 1))
        tail = float(special.ndtr(-reach))
    return np.quantile(drawn, [tail, 1 - tail], axis=-1)


def _within_values(column: NDArray[np.float64], low: float, high: float) -> Interval:
    """A mean lies within its values and its interval; rounding can put it a hair beyond if all are equal."""
    least, most = float(column.min()), float(column.max())
    mean = min(max(float(column.mean()), least), most)
    return Interval(mean, max(least, min(low, mean)), min(most, max(high, mean)))


def _of_few(column: NDArray[Any], sums: NDArray[Any], queries: NDArray[Any], level: float) -> Interval:
    """The mean of clustered values and its t interval; see `mean_interval`."""
    import numpy as np
    from scipy import special

    least, most = float(column.min()), float(column.max())
    mean = min(max(float(column.mean()), least), most)
    if least == most:
        return Interval(mean, mean, mean)
    bounds = next(((low, 1.0) for low in (0.0, -1.0) if low <= least and most <= 1), None)
    count = int(queries.size)
    if count == 1:
        return Interval(mean, *(bounds or (least, most)))
    floor, ceiling = bounds or (-math.inf, math.inf)
    apart = np.square(sums - mean * queries).sum() * count / (count - 1)
    half = float(special.stdtrit(count - 1, (1 + level) / 2)) * math.sqrt(float(apart)) / column.size
    return Interval(mean, max(floor, mean - half), min(ceiling, mean + half))


def _differences(first: Sequence[float], second: Sequence[float]) -> list[float]:
    if len(first) != len(second):
        raise ValueError(f"{len(first)} values cannot be paired with {len(second)}")
    return [after - before for before, after in zip(first, second, strict=True)]


def _as_far(sums: NDArray[np.float64], edge: float, resamples: int, seed: int) -> int:
    """How many of `resamples` random sign arrangements have a sum of at least `edge`."""
    import numpy as np

    random = np.random.default_rng(seed)
    step = max(_ROWS, _BLOCK // sums.size)
    total = float(sums.sum())
    far = 0
    for start in range(0, resamples, step):
        turned = random.integers(0, 2, size=(min(step, resamples - start), sums.size), dtype=np.uint8)
        far += int((np.abs(total - 2 * (turned.astype(np.float64) @ sums)) >= edge).sum())
    return far


def _check_share(hits: int, total: int, level: float) -> None:
    if total < 1 or not 0 <= hits <= total:
        raise ValueError(f"{hits} of {total} is no share")
    check_options(1, level)
