"""Question to ranked chunks: embed - search - fuse - fetch - rerank."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from ragkit.config.schema import Filter, Retrieval
from ragkit.embed import Embedder
from ragkit.errors import ConfigError
from ragkit.rerank import Reranker
from ragkit.retrieve.fusion import Fused, fuse
from ragkit.store import Hit, StoreReader
from ragkit.types import ScoredChunk, Stage, StageScore


@dataclass(frozen=True, slots=True)
class Retrieved:
    """Ranked chunks, and milliseconds by stage (`embed` is the model's share, the others are ragkit's).

    `ranked` has for each stage that ran the ids of all chunks that it ranked, best first.
    """

    results: list[ScoredChunk]
    timings_ms: dict[str, float] = field(default_factory=dict[str, float])
    ranked: dict[Stage, tuple[str, ...]] = field(default_factory=dict[Stage, tuple[str, ...]])


def retrieve(
    question: str,
    store: StoreReader,
    embedder: Embedder,
    retrieval: Retrieval,
    reranker: Reranker | None = None,
    filters: Sequence[Filter] = (),
) -> Retrieved:
    """The best `retrieval.top_k` chunks for a question, best first, under the config's filters and `filters`.

    Without a reranker the order is that of fusion. An empty question finds nothing. Raises ConfigError for `filters`
    that are none.
    """
    _check(filters)
    timings: dict[str, float] = {}
    if not question.strip():
        return Retrieved([], timings)
    with _timed(timings, "embed"):
        vector = embedder.embed_question(question) if retrieval.strategy != "sparse" else None
    with _timed(timings, "search"):
        text = question if retrieval.strategy != "dense" else None
        dense, sparse = store.search(retrieval.candidates, vector, text, [*retrieval.filters, *filters])
    with _timed(timings, "fuse"):
        ranked = _ranked(dense, sparse, retrieval)
    stages: dict[Stage, tuple[str, ...]] = {"fused": tuple(chunk_id for chunk_id, _ in ranked)}
    lists: tuple[tuple[Stage, list[Hit]], ...] = (("dense", dense), ("sparse", sparse))
    stages |= {stage: tuple(hit.chunk_id for hit in hits) for stage, hits in lists if hits}
    depth = retrieval.top_k if reranker is None else max(retrieval.top_k, retrieval.reranking.candidates)
    with _timed(timings, "fetch"):
        results = _scored_chunks(ranked[:depth], dense, sparse, store)
    if reranker is not None:
        with _timed(timings, "rerank"):
            results = _reranked(question, results, reranker, retrieval)
        stages["reranked"] = tuple(result.chunk.id for result in results)
    return Retrieved(results[: retrieval.top_k], timings, stages)


def _check(filters: Sequence[Filter]) -> None:
    if not isinstance(filters, (list, tuple)) or not all(isinstance(part, Filter) for part in filters):  # pyright: ignore[reportUnnecessaryIsInstance] - callers may be untyped
        raise ConfigError(
            f"filters are no list of ragkit.Filter: {filters!r:.60}",
            mend='write filters=[Filter(field="page_number", gte=3)]',
        )


def _ranked(dense: list[Hit], sparse: list[Hit], retrieval: Retrieval) -> Fused:
    if retrieval.strategy == "hybrid":
        return fuse(dense, sparse, retrieval.fusion)
    return [(hit.chunk_id, hit.score) for hit in (dense or sparse)]


def _scored_chunks(ranked: Fused, dense: list[Hit], sparse: list[Hit], store: StoreReader) -> list[ScoredChunk]:
    chunks = store.chunks([chunk_id for chunk_id, _ in ranked])
    stages: dict[str, dict[Stage, StageScore]] = {chunk_id: {} for chunk_id, _ in ranked}
    lists: tuple[tuple[Stage, list[Hit]], ...] = (("dense", dense), ("sparse", sparse))
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
    """The first `reranking.candidates` in the reranker's order; the rest is dropped, as its scores do not compare."""
    head = results[: retrieval.reranking.candidates]
    scores = reranker.scores(question, [result.chunk.indexed_text for result in head])
    order = sorted(range(len(head)), key=lambda index: (-scores[index], index))
    reranked = [
        ScoredChunk(
            head[index].chunk,
            scores[index],
            {**head[index].stages, "reranked": StageScore(rank, scores[index])},
        )
        for rank, index in enumerate(order, start=1)
    ]
    return reranked[: retrieval.reranking.top_n or retrieval.top_k]


@contextmanager
def _timed(timings: dict[str, float], stage: str):
    began = time.perf_counter()
    yield
    timings[stage] = (time.perf_counter() - began) * 1e3
