"""Why a chunk is, or is not, among the results: its place at every stage, and what would have brought it in.

Nothing is guessed: ranks come from searching deeper than retrieval does, and each change was tried by running
the same stages with it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING, Literal

from ragkit.config.schema import Bm25, Filter, FilterScalar, Retrieval
from ragkit.errors import ConfigError
from ragkit.retrieve.blend import blended
from ragkit.retrieve.feedback import SecondSearch, by_meaning, by_words
from ragkit.retrieve.fusion import Fused
from ragkit.retrieve.lists import (
    by_bm25,
    by_splade,
    embed_query,
    kept_by_fusion,
    kept_by_rerank,
    search,
    search_splade,
)
from ragkit.retrieve.mmr import diversified
from ragkit.retrieve.neighbours import exchange
from ragkit.retrieve.query_transforms import Query, Rewriter
from ragkit.retrieve.what_if import DEEPEST, Change, DeepLists, changes
from ragkit.store import Hit, StoreReader
from ragkit.store.bm25 import Bm25Encoder
from ragkit.store.filters import fields_of, matches
from ragkit.types import Chunk, Stage

if TYPE_CHECKING:
    from ragkit.embed import Embedder
    from ragkit.rerank import Reranker

_WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True, slots=True)
class Standing:
    """The chunk at one stage: `rank` among `ranked` chunks (None: not among them), of which `kept` go on.

    `used` is False for a retriever that the strategy leaves out.
    """

    stage: Stage
    rank: int | None
    score: float | None
    ranked: int
    kept: int
    used: bool = True

    @property
    def passed(self) -> bool:
        return self.used and self.rank is not None and self.rank <= self.kept


@dataclass(frozen=True, slots=True)
class Word:
    """A word of the question: in the chunk, missing from it, or ignored by BM25 (a stop word)."""

    text: str
    state: Literal["matched", "missing", "ignored"]


@dataclass(frozen=True, slots=True)
class Why:
    """The explanation. `rank` is the chunk's place in the results, None when it is not there.

    With `dropped_by`, the standings and the changes are those without these filters.
    """

    question: str
    chunk: Chunk
    rank: int | None
    top_k: int
    standings: tuple[Standing, ...]
    words: tuple[Word, ...]
    dropped_by: tuple[Filter, ...]
    changes: tuple[Change, ...]
    searched_again: tuple[Stage, ...] = ()
    """Stages whose ranks are those of a second search (`retrieval.feedback`)."""


def why(
    question: str,
    document_id: str,
    store: StoreReader,
    embedder: Embedder,
    retrieval: Retrieval,
    reranker: Reranker | None = None,
    filters: Sequence[Filter] = (),
    chunk_id: str | None = None,
    rewriter: Rewriter | None = None,
) -> Why:
    """Explain the place of a chunk, by default of the document's chunk that comes nearest to the results.

    Raises ConfigError for an empty question, a document without chunks and a chunk that it does not have.
    """
    if not question.strip():
        raise ConfigError("the question is empty")
    conditions = [*retrieval.filters, *filters]
    chunks = store.chunks_of(document_id)
    if chunk_id is not None:
        chunks = [chunk for chunk in chunks if chunk.id == chunk_id]
    if not chunks:
        raise ConfigError(
            "the document has no chunks" if chunk_id is None else f"the document has no chunk {chunk_id}",
            mend="see: ragkit inspect NAME",
        )
    chunks, dropped_by = _least_dropped(chunks, conditions)
    met = [condition for condition in conditions if condition not in dropped_by]
    queries = rewriter.rewrite(question).queries if rewriter and retrieval.transforms else (Query(question),)
    lists = _deep_lists(queries, store, embedder, retrieval, met)
    chunk = _nearest(chunks, lists, retrieval)
    rerank = None if reranker is None else _Reranking(question, store, reranker)
    standings = _standings(chunk.id, lists, retrieval, rerank)
    last = standings[-1]
    return Why(
        question=question,
        chunk=chunk,
        rank=last.rank if last.passed and not dropped_by else None,
        top_k=last.kept,
        standings=tuple(standings),
        words=words_of(queries[0].text, chunk, retrieval.bm25),
        dropped_by=tuple(dropped_by),
        changes=tuple(changes(chunk.id, lists, retrieval, rerank)),
        searched_again=_searched_again(retrieval),
    )


def _searched_again(retrieval: Retrieval) -> tuple[Stage, ...]:
    stages: tuple[tuple[Stage, bool], ...] = (("dense", by_meaning(retrieval)), ("sparse", by_words(retrieval)))
    return tuple(stage for stage, again in stages if again)


def _deep_lists(
    queries: Sequence[Query], store: StoreReader, embedder: Embedder, retrieval: Retrieval, met: Sequence[Filter]
) -> DeepLists:
    """All that retrieval would have before it, and the stages after fusion, over the same index and filters."""
    limit = max(DEEPEST, retrieval.candidates)
    vectors = [embed_query(query, embedder) for query in queries]
    again = SecondSearch([query.text for query in queries], vectors, store, met, limit)
    fed: dict[str, tuple[list[Hit] | None, list[Hit] | None]] = {}

    def feed_back(ranked: Fused, settings: Retrieval) -> tuple[list[Hit] | None, list[Hit] | None]:
        read = max(settings.feedback.documents, settings.feedback.rocchio_documents)
        key = repr((ranked[:read], settings.feedback, settings.strategy))
        if key not in fed:
            fed[key] = again(ranked, settings)
        return fed[key]

    def smooth(ranked: Fused, settings: Retrieval) -> Fused:
        return exchange(ranked, store, settings.neighbours) if settings.neighbours.method == "smooth" else ranked

    def diversify(ranked: Fused, settings: Retrieval) -> Fused:
        vectors_of = store.vectors([chunk_id for chunk_id, _ in ranked])
        return diversified(ranked, vectors_of, settings.diversity.weight)

    found = search(queries, vectors, store, limit, met, by_words=True)
    if retrieval.sparse != "bm25":
        found = replace(found, splade=search_splade(queries, store, limit, met))
    return DeepLists(found, feed_back, smooth, diversify)


def words_of(question: str, chunk: Chunk, bm25: Bm25) -> tuple[Word, ...]:
    """Each distinct word of the question, and whether BM25 finds it in the chunk."""
    encoder = Bm25Encoder(bm25)
    present = encoder.terms(chunk.indexed_text).keys()
    words: dict[str, Word] = {}
    for text in _WORD.findall(question):
        terms = encoder.terms(text).keys()
        state = "ignored" if not terms else "matched" if terms & present else "missing"
        words.setdefault(text.casefold(), Word(text, state))
    return tuple(words.values())


def describe(condition: Filter) -> str:
    """A filter as `--filter` writes it.

    >>> describe(Filter(field="page_number", gte=3)), describe(Filter(field="folder", any=["a", "b"]))
    ('page_number>=3', 'folder=a,b')
    """
    for joined, parts in ((" and ", condition.and_), (" or ", condition.or_)):
        if parts is not None:
            return f"({joined.join(describe(part) for part in parts)})"
    if condition.not_ is not None:
        inner = describe(condition.not_)
        if condition.not_.eq is not None or condition.not_.any is not None:
            return inner.replace("=", "!=", 1)
        return f"not ({inner})" if " and " in inner else f"not {inner}"
    if condition.any is not None:
        # A value that may be meant as a number or as text stands there twice.
        return f"{condition.field}={','.join(dict.fromkeys(_written(value) for value in condition.any))}"
    signs = {"=": "eq", ">": "gt", ">=": "gte", "<": "lt", "<=": "lte"}
    values = {sign: getattr(condition, name) for sign, name in signs.items()}
    parts = [f"{condition.field}{sign}{_written(value)}" for sign, value in values.items() if value is not None]
    return " and ".join(parts)


def _written(value: FilterScalar) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return value.isoformat() if isinstance(value, date) else str(value)


def _dropping(chunk: Chunk, conditions: Sequence[Filter]) -> list[Filter]:
    fields = fields_of(chunk)
    return [condition for condition in conditions if not matches(condition, fields)]


def _least_dropped(chunks: list[Chunk], conditions: Sequence[Filter]) -> tuple[list[Chunk], list[Filter]]:
    """The chunks that the fewest filters drop, and these filters; with none, the chunks that meet all."""
    drops = [_dropping(chunk, conditions) for chunk in chunks]
    fewest = min(drops, key=len)
    return [chunk for chunk, dropping in zip(chunks, drops, strict=True) if dropping == fewest], fewest


def _nearest(chunks: Sequence[Chunk], lists: DeepLists, retrieval: Retrieval) -> Chunk:
    """The chunk that comes nearest to the results: by its fused rank, else by its best rank in any list."""
    fused = _ranks([chunk_id for chunk_id, _ in lists.fused(retrieval)])
    every = lists.dense(retrieval), lists.sparse(retrieval), lists.splade(retrieval)
    ranks = [_ranks([hit.chunk_id for hit in hits]) for hits in every]
    nowhere = 10 * DEEPEST

    def distance(chunk: Chunk) -> tuple[int, int]:
        best = min(each.get(chunk.id, nowhere) for each in ranks)
        return fused.get(chunk.id, nowhere), best

    return min(chunks, key=distance)


def _ranks(chunk_ids: Sequence[str]) -> dict[str, int]:
    return {chunk_id: rank for rank, chunk_id in enumerate(chunk_ids, start=1)}


def _standings(chunk_id: str, lists: DeepLists, retrieval: Retrieval, rerank: _Reranking | None) -> list[Standing]:
    """Every stage in its order, down to the last that runs."""
    fused, strategy = lists.fused(retrieval), retrieval.strategy
    sparse, dense = ([(hit.chunk_id, hit.score) for hit in hits(retrieval)] for hits in (lists.sparse, lists.dense))
    joined = lists.found.joined(retrieval)
    kept_dense, kept_sparse, kept_splade = (max(len(hits), retrieval.candidates) for hits in joined)
    if by_meaning(retrieval):
        kept_dense = retrieval.candidates
    if by_words(retrieval):
        kept_sparse = retrieval.candidates
    kept = kept_by_fusion(retrieval, reranks=rerank is not None)
    standings = [
        _standing("sparse", chunk_id, sparse, kept_sparse, used=by_bm25(retrieval)),
        _standing("dense", chunk_id, dense, kept_dense, used=strategy != "sparse"),
        _standing("fused", chunk_id, fused, kept),
    ]
    if retrieval.sparse != "bm25":
        splade = [(hit.chunk_id, hit.score) for hit in lists.splade(retrieval)]
        standings.insert(1, _standing("splade", chunk_id, splade, kept_splade, used=by_splade(retrieval)))
    last = fused[:kept]
    if rerank is not None:
        last = rerank(last, retrieval)
        standings.append(_standing("reranked", chunk_id, last, kept_by_rerank(retrieval)))
    if retrieval.diversity.method == "mmr":
        last = last[: kept_by_rerank(retrieval)] if rerank is not None else last
        order = lists.diversify(last[: retrieval.diversity.candidates], retrieval)
        standings.append(_standing("diversified", chunk_id, order, retrieval.top_k))
    return standings


def _standing(
    stage: Stage, chunk_id: str, ranked: Sequence[tuple[str, float]], kept: int, used: bool = True
) -> Standing:
    for rank, (found, score) in enumerate(ranked, start=1):
        if found == chunk_id:
            return Standing(stage, rank, score, len(ranked), kept, used)
    return Standing(stage, None, None, len(ranked), kept, used)


class _Reranking:
    """The reranker over chunk ids; no chunk is scored twice, for it is slow."""

    def __init__(self, question: str, store: StoreReader, reranker: Reranker) -> None:
        self._question = question
        self._store = store
        self._reranker = reranker
        self._known: dict[str, float] = {}

    def __call__(self, ranked: Fused, retrieval: Retrieval) -> Fused:
        """The chunks in the reranker's order, as retrieval has it; equal scores keep theirs."""
        chunks = self._store.chunks([chunk_id for chunk_id, _ in ranked if chunk_id not in self._known])
        scores = self._reranker.scores(self._question, [chunk.indexed_text for chunk in chunks.values()])
        self._known |= dict(zip(chunks, scores, strict=True))
        own = [self._known[chunk_id] for chunk_id, _ in ranked]
        both = blended([score for _, score in ranked], own, retrieval.reranking.weight)
        pairs = [(chunk_id, score) for (chunk_id, _), score in zip(ranked, both, strict=True)]
        return sorted(pairs, key=lambda item: -item[1])
