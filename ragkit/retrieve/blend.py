"""The reranker's scores and those of the first stage as one: a weighted sum of both, each standardised."""

from __future__ import annotations

from collections.abc import Sequence


def blended(first: Sequence[float], own: Sequence[float], weight: float) -> list[float]:
    """One score for each chunk, of the scores that the first stage and the reranker (`own`) gave it.

    ``weight * z(own) + (1 - weight) * z(first)``, where z is the distance from the mean in standard deviations, over
    the chunks given, and 0 where all are equal. A weight of 1 gives the reranker's scores as they are.

    >>> blended([3.0, 2.0, 1.0], [0.1, 0.9, 0.5], 1.0)
    [0.1, 0.9, 0.5]
    >>> [round(score, 2) for score in blended([3.0, 2.0, 1.0], [0.1, 0.9, 0.5], 0.5)]
    [0.0, 0.61, -0.61]
    """
    if weight == 1:
        return list(own)
    pairs = zip(_standardised(own), _standardised(first), strict=True)
    return [weight * mine + (1 - weight) * its for mine, its in pairs]


def _standardised(values: Sequence[float]) -> list[float]:
    from statistics import fmean, pstdev

    spread = pstdev(values) if values else 0.0
    mean = fmean(values) if values else 0.0
    return [(value - mean) / spread if spread > 0 else 0.0 for value in values]
