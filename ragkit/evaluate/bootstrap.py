"""Percentile bootstrap intervals for means over queries, paired differences, and clustered queries.

Source: Efron and Tibshirani 1993, "An Introduction to the Bootstrap", chapters 13 (percentile interval) and
8.6 (resampling whole groups); Sakai 2006, "Evaluating evaluation metrics based on the bootstrap" (paired, by
query).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

RESAMPLES = 10_000
_DRAWS_AT_ONCE = 2_000_000  # bounds the memory of a step: indices and gathered values, 32 bytes a draw


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean and the bounds of its interval."""

    mean: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        return self.low > 0 or self.high < 0


def mean_interval(
    values: Sequence[float],
    *,
    clusters: Sequence[Hashable] | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """Mean of `values` (one for each query) and its percentile bootstrap interval.

    With `clusters` (as long as `values`: the document or article a query was written for) whole clusters are
    drawn instead of queries. Queries of one document succeed and fail together; drawing them singly would
    give an interval that is too narrow. One query or one cluster gives an interval of width 0 that says
    nothing. With fewer than about 20 the interval is too narrow.

    Raises ValueError if there are no values, lengths differ, a value is not finite, or an option is out of
    range.

    >>> mean_interval([1.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0])
    Interval(mean=0.75, low=0.375, high=1.0)
    """
    import numpy as np

    if not 0 < level < 1 or resamples < 1:
        raise ValueError("level must lie between 0 and 1, resamples must be at least 1")
    data = np.asarray(values, dtype=np.float64)
    if data.ndim != 1 or data.size == 0 or not np.isfinite(data).all():
        raise ValueError("values must be a list of finite numbers that is not empty")
    if clusters is None:
        sums, counts = data, np.ones(data.size)
    else:
        if len(clusters) != data.size:
            raise ValueError(f"{data.size} values but {len(clusters)} clusters")
        numbers: dict[Hashable, int] = {}
        member = np.asarray([numbers.setdefault(cluster, len(numbers)) for cluster in clusters], dtype=np.intp)
        sums, counts = np.bincount(member, weights=data), np.bincount(member).astype(np.float64)

    random = np.random.default_rng(seed)
    step = max(1, _DRAWS_AT_ONCE // sums.size)
    drawn = np.empty(resamples)
    for start in range(0, resamples, step):
        stop = min(start + step, resamples)
        picks = random.integers(0, sums.size, size=(stop - start, sums.size))
        drawn[start:stop] = sums[picks].sum(axis=1) / counts[picks].sum(axis=1)
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(data.mean()), float(low), float(high))


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
    if len(first) != len(second):
        raise ValueError(f"{len(first)} values cannot be paired with {len(second)}")
    differences = [after - before for before, after in zip(first, second, strict=True)]
    return mean_interval(differences, clusters=clusters, resamples=resamples, seed=seed, level=level)
