"""Join lists of hits into one: those of the two retrievers, or those that several queries found by one retriever.

All methods take hits best first and give (chunk id, score) best first, ties by id, so that equal input gives equal
output. Scores are comparable within one list only. Of two lists:

- `rrf`: 0 to 2 / (k + 1); depends on ranks alone.
- `weighted`: 0 to 1; 1 means first in all lists.
- `dbsf`: 0 to 2 for all but outliers.

With SPLADE as a third list rrf and dbsf reach half as much again.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import dist, fsum, sqrt
from operator import itemgetter

from ragkit.config.schema import Fusion
from ragkit.store import Hit

Fused = list[tuple[str, float]]


def fuse(dense: Sequence[Hit], sparse: Sequence[Hit], fusion: Fusion, *further: Sequence[Hit]) -> Fused:
    """All lists as one, by the method of the config; `further` are sparse lists beside the first.

    >>> fuse([Hit("a", 0.9), Hit("b", 0.5)], [Hit("b", 7.0)], Fusion(method="rrf"))[0][0]
    'b'
    """
    if fusion.method == "rrf":
        return reciprocal_rank_fusion(dense, sparse, *further, k=fusion.k)
    if fusion.method == "dbsf":
        return distribution_based_fusion(dense, sparse, *further)
    return weighted_fusion(dense, sparse, fusion.alpha, *further)


def join(lists: Sequence[list[Hit]], fusion: Fusion) -> list[Hit]:
    """What one retriever found for several queries, by the method of the config, every query counting alike.

    A single list stays as it is.

    >>> join([[Hit("a", 0.9), Hit("b", 0.5)], [Hit("b", 0.8)]], Fusion(method="rrf"))[0].chunk_id
    'b'
    """
    if len(lists) == 1:
        return lists[0]
    if fusion.method == "rrf":
        joined = reciprocal_rank_fusion(*lists, k=fusion.k)
    elif fusion.method == "dbsf":
        joined = distribution_based_fusion(*lists)
    else:
        joined = _sum(*((hits, 1 / len(lists), _min_max(hits)) for hits in lists))
    return [Hit(chunk_id, score) for chunk_id, score in joined]


def reciprocal_rank_fusion(*lists: Sequence[Hit], k: int = 60) -> Fused:
    """Sum of 1 / (k + rank): Cormack, Clarke, Buettcher (2009), "Reciprocal Rank Fusion outperforms Condorcet"."""
    scores: dict[str, float] = {}
    for hits in lists:
        for rank, hit in enumerate(hits, start=1):
            scores[hit.chunk_id] = scores.get(hit.chunk_id, 0.0) + 1.0 / (k + rank)
    return _sorted(scores)


def weighted_fusion(dense: Sequence[Hit], sparse: Sequence[Hit], alpha: float = 0.5, *further: Sequence[Hit]) -> Fused:
    """alpha * dense + (1 - alpha) * sparse, each list brought to 0..1 by its own least and greatest score. Several
    sparse lists share (1 - alpha) evenly.

    Bruch, Gai, Ingber (2023), "An Analysis of Fusion Functions for Hybrid Retrieval": a convex combination beats RRF.
    What one list lacks counts there as its least score.
    """
    lists = (sparse, *further)
    share = (1.0 - alpha) / len(lists)
    return _sum((dense, alpha, _min_max(dense)), *((hits, share, _min_max(hits)) for hits in lists))


def distribution_based_fusion(*lists: Sequence[Hit]) -> Fused:
    """Each list scaled so that mean minus and plus three standard deviations become 0 and 1, then summed (Qdrant)."""
    return _sum(*((hits, 1.0, _three_sigma(hits)) for hits in lists))


def _min_max(hits: Sequence[Hit]) -> list[float]:
    low = min((hit.score for hit in hits), default=0.0)
    high = max((hit.score for hit in hits), default=0.0)
    return [(hit.score - low) / (high - low) if high > low else 1.0 for hit in hits]


def _three_sigma(hits: Sequence[Hit]) -> list[float]:
    values = [hit.score for hit in hits]
    if not values or min(values) == max(values):
        return [0.5] * len(values)
    mean = fsum(values) / len(values)
    # Not statistics.pstdev, which counts in fractions: exact, and slow for lists of hundreds at each question.
    deviation = dist(values, [mean] * len(values)) / sqrt(len(values))
    if deviation == 0:  # they differ by less than can be told
        return [0.5] * len(values)
    width = 6 * deviation
    return [(value - mean) / width + 0.5 for value in values]


def _sum(*lists: tuple[Sequence[Hit], float, list[float]]) -> Fused:
    scores: dict[str, float] = {}
    for hits, weight, normalised in lists:
        for (chunk_id, _), value in zip(hits, normalised, strict=True):
            scores[chunk_id] = scores.get(chunk_id, 0.0) + weight * value
    return _sorted(scores)


def _sorted(scores: dict[str, float]) -> Fused:
    # The second keeps the order of the first among equals; the two are quicker than one by a pair of keys.
    return sorted(sorted(scores.items()), key=itemgetter(1), reverse=True)
