"""Question to ranked chunks: (rewrite) - embed - search - fuse - (feedback, neighbours) - fetch - rerank - (diversify).

What stands in brackets is a switch of `retrieval:` that is off by default.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ragkit.config.schema import Filter, Retrieval
from ragkit.embed import Embedder
from ragkit.errors import ConfigError
from ragkit.observe.stages import Ended, Ranked, tell
from ragkit.rerank import Reranker
from ragkit.retrieve import feedback
from ragkit.retrieve.blend import blended
from ragkit.retrieve.fusion import Fused
from ragkit.retrieve.lists import (
    by_bm25,
    by_splade,
    embed_query,
    enough,
    kept_by_fusion,
    kept_by_rerank,
    ranking,
    search,
    search_splade,
)
from ragkit.retrieve.mmr import diversified
from ragkit.retrieve.neighbours import exchange
from ragkit.retrieve.query_transforms import Query, Rewriter, Rewritten
from ragkit.store import Hit, StoreReader
from ragkit.types import ScoredChunk, Stage, StageScore, Usage

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Retrieved:
    """Ranked chunks, and milliseconds by stage (`embed` is the model's share, `splade` holds the sparse model's, the
    others are ragkit's).

    `ranked` has for each stage that ran the ids of all chunks that it ranked, best first. `queries` are what was really
    searched, the question's own wording first; `usage` is what a language model took for them, None if none was asked.
    """

    results: list[ScoredChunk]
    timings_ms: dict[str, float] = field(default_factory=dict[str, float])
    ranked: dict[Stage, tuple[str, ...]] = field(default_factory=dict[Stage, tuple[str, ...]])
    queries: tuple[Query, ...] = ()
    usage: Usage | None = None

    @property
    def embedded(self) -> tuple[str, ...]:
        """The texts that were embedded for a search by meaning: each query's own, and the passage imagined for it."""
        return tuple(text for query in self.queries for text in (query.text, query.imagined) if text)


def retrieve(
    question: str,
    store: StoreReader,
    embedder: Embedder,
    retrieval: Retrieval,
    reranker: Reranker | None = None,
    filters: Sequence[Filter] = (),
    rewriter: Rewriter | None = None,
    *,
    whole: bool = True,
) -> Retrieved:
    """The best `retrieval.top_k` chunks for a question, best first, under the config's filters and `filters`.

    Without a reranker the order is that of fusion. An empty question finds nothing. `rewriter` does the
    `retrieval.transforms`. Without `whole` the lists in `ranked` may end where nothing behind can come into the
    results. Raises ConfigError for `filters` that are none, and for transforms without a rewriter.
    """
    _check(filters, retrieval, rewriter)
    timings: dict[str, float] = {}
    if not question.strip():
        return Retrieved([], timings)
    conditions = [*retrieval.filters, *filters]
    rewritten = Rewritten((Query(question),))
    if rewriter is not None and retrieval.transforms:
        with _timed(timings, "rewrite"):
            rewritten = rewriter.rewrite(question)
    queries = rewritten.queries
    vectors: list[NDArray[np.float32] | None] = [None] * len(queries)
    if retrieval.strategy != "sparse":
        with _timed(timings, "embed"):
            vectors = [embed_query(query, embedder) for query in queries]
    limit = retrieval.candidates if whole else enough(retrieval, reranks=reranker is not None)
    with _timed(timings, "search"):
        by_words = by_bm25(retrieval)
        found = search(queries, vectors, store, limit, conditions, by_words=by_words)
    if by_splade(retrieval):
        with _timed(timings, "splade"):
            found = replace(found, splade=search_splade(queries, store, limit, conditions))
    with _timed(timings, "fuse"):
        dense, sparse, splade = found.joined(retrieval)
        ranked = ranking(dense, sparse, retrieval, splade)
    if feedback.by_words(retrieval) or feedback.by_meaning(retrieval):
        with _timed(timings, "feedback"):
            texts, known = [query.text for query in queries], [vector for vector in vectors if vector is not None]
            again = feedback.SecondSearch(texts, known, store, conditions, retrieval.candidates)(ranked, retrieval)
            dense, sparse = again[0] or dense, again[1] or sparse
            ranked = ranking(dense, sparse, retrieval, splade)
    if retrieval.neighbours.method == "smooth":
        with _timed(timings, "neighbours"):
            ranked = exchange(ranked, store, retrieval.neighbours)
    stages: dict[Stage, tuple[str, ...]] = {"fused": tuple(chunk_id for chunk_id, _ in ranked)}
    lists: tuple[tuple[Stage, list[Hit]], ...] = (("dense", dense), ("sparse", sparse), ("splade", splade))
    stages |= {stage: tuple(hit.chunk_id for hit in hits) for stage, hits in lists if hits}
    with _timed(timings, "fetch"):
        results = _scored_chunks(ranked[: kept_by_fusion(retrieval, reranks=reranker is not None)], lists, store)
    tell(Ranked("retrieved", results))
    if reranker is not None:
        with _timed(timings, "rerank"):
            results = _reranked(question, results, reranker, retrieval)
        tell(Ranked("reranked", results))
        stages["reranked"] = tuple(result.chunk.id for result in results)
    if retrieval.diversity.method == "mmr":
        with _timed(timings, "diversify"):
            results = _diversified(results, store, retrieval)
        stages["diversified"] = tuple(result.chunk.id for result in results)
    return Retrieved(results[: retrieval.top_k], timings, stages, queries, rewritten.usage)


def _check(filters: Sequence[Filter], retrieval: Retrieval, rewriter: Rewriter | None) -> None:
    if retrieval.transforms and rewriter is None:
        raise ConfigError(
            "retrieval.transforms are set, and nobody does them", mend="search through Ragkit, or give a rewriter"
        )
    if not isinstance(filters, (list, tuple)) or not all(isinstance(part, Filter) for part in filters):  # pyright: ignore[reportUnnecessaryIsInstance] - callers may be untyped
        raise ConfigError(
            f"filters are no list of ragkit.Filter: {filters!r:.60}",
            mend='write filters=[Filter(field="page_number", gte=3)]',
        )


def _scored_chunks(ranked: Fused, lists: Sequence[tuple[Stage, list[Hit]]], store: StoreReader) -> list[ScoredChunk]:
    chunks = store.chunks([chunk_id for chunk_id, _ in ranked])
    stages: dict[str, dict[Stage, StageScore]] = {chunk_id: {} for chunk_id, _ in ranked}
    for stage, hits in lists:
        for rank, hit in enumerate(hits, start=1):
            if hit.chunk_id in stages:
                stages[hit.chunk_id][stage] = StageScore(rank, hit.score)
    results: list[ScoredChunk] = []
    for rank, (chunk_id, score) in enumerate(ranked, start=1):
        stages[chunk_id]["fused"] = StageScore(rank, score)
        if chunk_id in chunks:
            results.append(ScoredChunk(chunks[chunk_id], score, stages[chunk_id]))
    return results


def _reranked(question: str, results: list[ScoredChunk], reranker: Reranker, retrieval: Retrieval) -> list[ScoredChunk]:
    """The first `reranking.candidates` in the order of the reranker, or of its scores blended with those they have; the
    rest is dropped, as its scores do not compare."""
    head = results[: retrieval.reranking.candidates]
    own = reranker.scores(question, [result.chunk.indexed_text for result in head])
    scores = blended([result.score for result in head], own, retrieval.reranking.weight)
    order = sorted(range(len(head)), key=lambda index: (-scores[index], index))
    reranked = [
        ScoredChunk(
            head[index].chunk,
            scores[index],
            {**head[index].stages, "reranked": StageScore(rank, scores[index])},
        )
        for rank, index in enumerate(order, start=1)
    ]
    return reranked[: kept_by_rerank(retrieval)]


def _diversified(results: list[ScoredChunk], store: StoreReader, retrieval: Retrieval) -> list[ScoredChunk]:
    """The first `diversity.candidates` in the order of their relevance and novelty; the rest is dropped."""
    head = {result.chunk.id: result for result in results[: retrieval.diversity.candidates]}
    scored = [(result.chunk.id, result.score) for result in head.values()]
    order = diversified(scored, store.vectors(list(head)), retrieval.diversity.weight)
    return [
        ScoredChunk(head[chunk_id].chunk, score, {**head[chunk_id].stages, "diversified": StageScore(rank, score)})
        for rank, (chunk_id, score) in enumerate(order, start=1)
    ]


@contextmanager
def _timed(timings: dict[str, float], stage: str):
    began = time.perf_counter()
    yield
    timings[stage] = (time.perf_counter() - began) * 1e3
    tell(Ended(stage, timings[stage]))
