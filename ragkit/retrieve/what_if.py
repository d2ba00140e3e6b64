"""Which change of settings would bring a chunk into the results: each one is tried before it is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from ragkit.config.schema import Retrieval
from ragkit.retrieve.fusion import fuse
from ragkit.store import Hit

DEEPEST = 10_000
"""Ranks are looked for this deep: the most `retrieval.candidates` can be."""

_MOST_RERANKED = 200
"""A reranker takes milliseconds a chunk; further down it is not tried."""

_FUSIONS: tuple[dict[str, object], ...] = (
    {"method": "rrf"},
    {"method": "dbsf"},
    *({"method": "weighted", "alpha": alpha} for alpha in (0.5, 0.3, 0.7, 0.1, 0.9)),
)

Rerank = Callable[[Sequence[str]], list[str]]
"""Chunk ids in the reranker's order."""


@dataclass(frozen=True, slots=True)
class DeepLists:
    """What each retriever finds, best first, far deeper than retrieval looks."""

    dense: list[Hit]
    sparse: list[Hit]

    def fused(self, retrieval: Retrieval) -> list[tuple[str, float]]:
        """What retrieval has after fusion with these settings, best first."""
        dense, sparse = self.dense[: retrieval.candidates], self.sparse[: retrieval.candidates]
        if retrieval.strategy == "hybrid":
            return fuse(dense, sparse, retrieval.fusion)
        return [(hit.chunk_id, hit.score) for hit in (dense if retrieval.strategy == "dense" else sparse)]

    def first_found(self, chunk_id: str, retrieval: Retrieval) -> int | None:
        """The better of the chunk's ranks in the lists that the strategy uses."""
        used = {"dense": [self.dense], "sparse": [self.sparse], "hybrid": [self.dense, self.sparse]}
        ranks = [rank_in([hit.chunk_id for hit in hits], chunk_id) for hits in used[retrieval.strategy]]
        return min((rank for rank in ranks if rank is not None), default=None)


@dataclass(frozen=True, slots=True)
class Change:
    """Settings by dotted key that bring the chunk to `rank` in the results; `reranker` False: without it."""

    settings: dict[str, object]
    rank: int
    reranker: bool = True


def rank_in(chunk_ids: Sequence[str], chunk_id: str) -> int | None:
    """Counted from 1; None when it is not there."""
    return chunk_ids.index(chunk_id) + 1 if chunk_id in chunk_ids else None


def kept_by_rerank(retrieval: Retrieval) -> int:
    """How many results a reranker leaves."""
    return min(retrieval.reranking.top_n or retrieval.top_k, retrieval.top_k)


def changes(chunk_id: str, lists: DeepLists, retrieval: Retrieval, rerank: Rerank | None) -> list[Change]:
    """What brings the chunk into the results; nothing if it is there already."""
    if _outcome(chunk_id, lists, retrieval, rerank) is not None:
        return []
    tried = [
        _deeper(chunk_id, lists, retrieval, rerank),
        *_other_strategies(chunk_id, lists, retrieval, rerank),
        _other_fusion(chunk_id, lists, retrieval, rerank),
    ]
    if rerank is not None:
        rank = _outcome(chunk_id, lists, retrieval, None)
        tried.append(None if rank is None else Change({}, rank, reranker=False))
    return [change for change in tried if change is not None]


def _outcome(chunk_id: str, lists: DeepLists, retrieval: Retrieval, rerank: Rerank | None) -> int | None:
    """The chunk's rank in the results with these settings, None when it is not among them."""
    order = [found for found, _ in lists.fused(retrieval)]
    kept = retrieval.top_k
    if rerank is not None:
        head = order[: retrieval.reranking.candidates]
        if chunk_id not in head:
            return None
        order, kept = rerank(head), kept_by_rerank(retrieval)
    return rank_in(order[:kept], chunk_id)


def _deeper(chunk_id: str, lists: DeepLists, retrieval: Retrieval, rerank: Rerank | None) -> Change | None:
    """Raise the limits that the chunk lies beyond, each just far enough."""
    settings: dict[str, object] = {}
    found = lists.first_found(chunk_id, retrieval)
    if found is None:
        return None
    if found > retrieval.candidates:
        settings["retrieval.candidates"] = found
        retrieval = retrieval.model_copy(update={"candidates": found})
    order = [found_id for found_id, _ in lists.fused(retrieval)]
    rank = order.index(chunk_id) + 1
    if rerank is not None:
        if rank > retrieval.reranking.candidates:
            if rank > _MOST_RERANKED:
                return None
            settings["retrieval.reranking.candidates"] = rank
        order = rerank(order[: max(rank, retrieval.reranking.candidates)])
        rank = order.index(chunk_id) + 1
        if retrieval.reranking.top_n and rank > retrieval.reranking.top_n:
            settings["retrieval.reranking.top_n"] = rank
    if rank > retrieval.top_k:
        settings["retrieval.top_k"] = rank
    return Change(settings, rank) if settings and rank <= 1000 else None


def _other_strategies(chunk_id: str, lists: DeepLists, retrieval: Retrieval, rerank: Rerank | None) -> Iterator[Change]:
    for strategy in ("hybrid", "sparse", "dense"):
        if strategy != retrieval.strategy:
            rank = _outcome(chunk_id, lists, retrieval.model_copy(update={"strategy": strategy}), rerank)
            if rank is not None:
                yield Change({"retrieval.strategy": strategy}, rank)


def _other_fusion(chunk_id: str, lists: DeepLists, retrieval: Retrieval, rerank: Rerank | None) -> Change | None:
    """The fusion that brings the chunk furthest up."""
    best: Change | None = None
    for update in _FUSIONS if retrieval.strategy == "hybrid" else ():
        fusion = retrieval.fusion.model_copy(update=update)
        rank = _outcome(chunk_id, lists, retrieval.model_copy(update={"fusion": fusion}), rerank)
        if rank is not None and (best is None or rank < best.rank):
            best = Change({f"retrieval.fusion.{key}": value for key, value in update.items()}, rank)
    return best
