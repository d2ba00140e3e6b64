"""Which change of settings would bring a chunk into the results: each one is tried before it is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from ragkit.config.schema import Retrieval
from ragkit.retrieve.feedback import by_meaning, by_words
from ragkit.retrieve.fusion import Fused, join
from ragkit.retrieve.lists import Lists, by_bm25, by_splade, kept_by_rerank, ranking
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

Rerank = Callable[[Fused, Retrieval], Fused]
"""A ranking to the reranker's order and scores."""

FeedBack = Callable[[Fused, Retrieval], tuple[list[Hit] | None, list[Hit] | None]]
"""A ranking to what is found by meaning and by words with its first chunks, deeper than retrieval looks; None for what
is not searched again."""

Smooth = Callable[[Fused, Retrieval], Fused]
"""A ranking to that after neighbours have exchanged scores, or as it is where they do not."""

Diversify = Callable[[Fused, Retrieval], Fused]
"""A ranking to the order in which like chunks go down."""


@dataclass(frozen=True, slots=True)
class DeepLists:
    """What each retriever finds for each query, best first, far deeper than retrieval looks, and the stages that
    `retrieval` may have switched on: they are left out while it has them off."""

    found: Lists
    feed_back: FeedBack
    smooth: Smooth
    diversify: Diversify

    def splade(self, retrieval: Retrieval) -> list[Hit]:
        """The list of SPLADE with these settings, followed by what stands further down."""
        deep = join(self.found.splade, retrieval.fusion) if self.found.splade else []
        return _followed(self.found.joined(retrieval)[2], deep)

    def dense(self, retrieval: Retrieval) -> list[Hit]:
        """The dense list with these settings, followed by what stands further down."""
        return self._lists(retrieval)[0]

    def sparse(self, retrieval: Retrieval) -> list[Hit]:
        """The sparse list with these settings, followed by what stands further down."""
        return self._lists(retrieval)[1]

    def _lists(self, retrieval: Retrieval) -> tuple[list[Hit], list[Hit]]:
        dense, sparse, splade = self.found.joined(retrieval)
        again = self.feed_back(ranking(dense, sparse, retrieval, splade), retrieval)
        return (
            again[0] or _followed(dense, join(self.found.dense, retrieval.fusion)),
            again[1] or _followed(sparse, join(self.found.sparse, retrieval.fusion)),
        )

    def fused(self, retrieval: Retrieval) -> Fused:
        """What retrieval has after fusion, feedback and neighbours with these settings, best first."""
        dense, sparse, splade = self.found.joined(retrieval)
        if by_meaning(retrieval):
            dense = self.dense(retrieval)[: retrieval.candidates]
        if by_words(retrieval):
            sparse = self.sparse(retrieval)[: retrieval.candidates]
        return self.smooth(ranking(dense, sparse, retrieval, splade), retrieval)

    def results(self, ranked: Fused, retrieval: Retrieval) -> list[str]:
        """What is left of the ranking of the stage before."""
        if retrieval.diversity.method == "mmr":
            ranked = self.diversify(ranked[: retrieval.diversity.candidates], retrieval)
        return [chunk_id for chunk_id, _ in ranked[: retrieval.top_k]]

    def first_found(self, chunk_id: str, retrieval: Retrieval) -> int | None:
        """The best of the chunk's ranks in the lists that the strategy uses: so many candidates bring it in."""
        dense = (self.dense(retrieval),) if by_meaning(retrieval) else self.found.dense
        sparse = (self.sparse(retrieval),) if by_words(retrieval) else self.found.sparse
        used = (
            *(dense if retrieval.strategy != "sparse" else ()),
            *(sparse if by_bm25(retrieval) else ()),
            *(self.found.splade if by_splade(retrieval) else ()),
        )
        ranks = [rank_in([hit.chunk_id for hit in hits], chunk_id) for hits in used]
        return min((place for place in ranks if place is not None), default=None)


def _followed(first: list[Hit], deep: list[Hit]) -> list[Hit]:
    if len(deep) == len(first):
        return first
    there = {hit.chunk_id for hit in first}
    return [*first, *(hit for hit in deep if hit.chunk_id not in there)]


@dataclass(frozen=True, slots=True)
class Change:
    """Settings by dotted key that bring the chunk to `rank` in the results; `reranker` False: without it."""

    settings: dict[str, object]
    rank: int
    reranker: bool = True


def rank_in(chunk_ids: Sequence[str], chunk_id: str) -> int | None:
    """Counted from 1; None when it is not there."""
    return chunk_ids.index(chunk_id) + 1 if chunk_id in chunk_ids else None


def changes(chunk_id: str, lists: DeepLists, retrieval: Retrieval, rerank: Rerank | None) -> list[Change]:
    """What brings the chunk into the results; nothing if it is there already."""
    if _outcome(chunk_id, lists, retrieval, rerank) is not None:
        return []
    tried = [
        _deeper(chunk_id, lists, retrieval, rerank),
        *_other_strategies(chunk_id, lists, retrieval, rerank),
        _other_sparse(chunk_id, lists, retrieval, rerank),
        _other_fusion(chunk_id, lists, retrieval, rerank),
    ]
    if rerank is not None:
        rank = _outcome(chunk_id, lists, retrieval, None)
        tried.append(None if rank is None else Change({}, rank, reranker=False))
    return [change for change in tried if change is not None]


def _outcome(chunk_id: str, lists: DeepLists, retrieval: Retrieval, rerank: Rerank | None) -> int | None:
    """The chunk's rank in the results with these settings, None when it is not among them."""
    order = lists.fused(retrieval)
    if rerank is not None:
        head = order[: retrieval.reranking.candidates]
        if chunk_id not in [found for found, _ in head]:
            return None
        order = rerank(head, retrieval)[: kept_by_rerank(retrieval)]
    return rank_in(lists.results(order, retrieval), chunk_id)


def _deeper(chunk_id: str, lists: DeepLists, retrieval: Retrieval, rerank: Rerank | None) -> Change | None:
    """Raise the limits that the chunk lies beyond, each just far enough."""
    settings: dict[str, object] = {}
    found = lists.first_found(chunk_id, retrieval)
    if found is None:
        return None
    if found > retrieval.candidates:
        settings["retrieval.candidates"] = found
        retrieval = retrieval.model_copy(update={"candidates": found})
    fused = lists.fused(retrieval)
    order = [found_id for found_id, _ in fused]
    if chunk_id not in order:  # with another depth feedback may find other terms
        return None
    place = order.index(chunk_id) + 1
    if rerank is not None:
        if place > retrieval.reranking.candidates:
            if place > _MOST_RERANKED:
                return None
            settings["retrieval.reranking.candidates"] = place
        head = fused[: max(place, retrieval.reranking.candidates)]
        order = [found_id for found_id, _ in rerank(head, retrieval)]
        place = order.index(chunk_id) + 1
        if retrieval.reranking.top_n and place > retrieval.reranking.top_n:
            settings["retrieval.reranking.top_n"] = place
    if retrieval.diversity.method == "mmr":
        return _deep_enough(chunk_id, lists, retrieval, rerank, settings)
    if place > retrieval.top_k:
        settings["retrieval.top_k"] = place
    return Change(settings, place) if settings and place <= 1000 else None


def _deep_enough(
    chunk_id: str, lists: DeepLists, retrieval: Retrieval, rerank: Rerank | None, settings: dict[str, object]
) -> Change | None:
    """The same where like chunks go down: each further chunk may move it, so the change is tried as a whole."""
    reranking = retrieval.reranking.model_copy(
        update={
            name: settings[key]
            for name in ("candidates", "top_n")
            if (key := f"retrieval.reranking.{name}") in settings
        }
    )
    wide = retrieval.model_copy(update={"reranking": reranking, "top_k": 1000})
    rank_then = _outcome(chunk_id, lists, wide, rerank)
    if rank_then is None:
        return None
    if rank_then > retrieval.top_k:
        settings["retrieval.top_k"] = rank_then
    kept = wide.model_copy(update={"top_k": max(rank_then, retrieval.top_k)})
    return Change(settings, rank_then) if settings and _outcome(chunk_id, lists, kept, rerank) == rank_then else None


def _other_strategies(chunk_id: str, lists: DeepLists, retrieval: Retrieval, rerank: Rerank | None) -> Iterator[Change]:
    for strategy in ("hybrid", "sparse", "dense"):
        if strategy != retrieval.strategy:
            rank = _outcome(chunk_id, lists, retrieval.model_copy(update={"strategy": strategy}), rerank)
            if rank is not None:
                yield Change({"retrieval.strategy": strategy}, rank)


def _other_sparse(chunk_id: str, lists: DeepLists, retrieval: Retrieval, rerank: Rerank | None) -> Change | None:
    """With BM25 beside SPLADE, or without: the index holds what either needs."""
    if not by_splade(retrieval):
        return None
    sparse = "both" if retrieval.sparse == "splade" else "splade"
    if sparse == "splade" and retrieval.feedback.method in ("rm3", "both"):
        return None  # RM3 searches with BM25's terms, and the config says so
    rank = _outcome(chunk_id, lists, retrieval.model_copy(update={"sparse": sparse}), rerank)
    return None if rank is None else Change({"retrieval.sparse": sparse}, rank)


def _other_fusion(chunk_id: str, lists: DeepLists, retrieval: Retrieval, rerank: Rerank | None) -> Change | None:
    """The fusion that brings the chunk furthest up."""
    best: Change | None = None
    for update in _FUSIONS if retrieval.strategy == "hybrid" else ():
        fusion = retrieval.fusion.model_copy(update=update)
        rank = _outcome(chunk_id, lists, retrieval.model_copy(update={"fusion": fusion}), rerank)
        if rank is not None and (best is None or rank < best.rank):
            best = Change({f"retrieval.fusion.{key}": value for key, value in update.items()}, rank)
    return best
