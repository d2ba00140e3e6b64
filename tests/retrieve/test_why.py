"""Why a chunk is in the results or not: over a real embedded store with vectors chosen by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ragkit.config.schema import Bm25, Filter, Retrieval
from ragkit.errors import ConfigError
from ragkit.retrieve.retriever import retrieve
from ragkit.retrieve.why import Why, describe, why
from ragkit.store.filters import parse_filter
from ragkit.store.qdrant_edge import EdgeStore
from ragkit.types import Chunk

QUESTION = "how long is the amber light on"
CHUNKS = 12


def chunk_id(number: int) -> str:
    return f"00000000-0000-0000-0000-{number:012d}"


class Compass:
    """An embedder for which every question points along the first axis."""

    def embed_passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
        raise AssertionError("nothing is indexed here")

    def embed_question(self, text: str) -> NDArray[np.float32]:
        return np.asarray([1.0, 0.0], dtype=np.float32)

    def embed_questions(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return np.stack([self.embed_question(text) for text in texts])


class Backwards:
    """A reranker that likes what comes last: the score is the number in the chunk's text."""

    def __init__(self) -> None:
        self.scored = 0

    def scores(self, question: str, texts: Sequence[str]) -> list[float]:
        self.scored += len(texts)
        return [float(text.split()[1]) for text in texts]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> EdgeStore:
    """Chunk n turns away from the question by n steps; BM25 finds 8, 9 and 10, in that order.

    Document a has the even chunks, document b the odd ones; the page of a chunk is its number.
    """
    chunks = corpus()
    angles = [0.1 * number for number in range(CHUNKS)]
    vectors = np.asarray([(math.cos(angle), math.sin(angle)) for angle in angles], dtype=np.float32)
    store = EdgeStore(tmp_path_factory.mktemp("why") / "shard", Bm25())
    store.upsert(chunks, vectors, 6.0)
    store.finish()
    return store


def corpus() -> list[Chunk]:
    chunks: list[Chunk] = []
    for number in range(CHUNKS):
        words = "amber light " * max(0, 11 - number) if 8 <= number <= 10 else "plain grey words"
        text = f"chunk {number} {words}".strip()
        name = "ab"[number % 2]
        metadata = {"source_document": f"{name}.md", "page_number": number}
        chunks.append(Chunk(chunk_id(number), name, text, 100 * number, 100 * number + len(text), 5, metadata))
    return chunks


def settings(**given: Any) -> Retrieval:
    return Retrieval.model_validate({"fusion": {"method": "rrf"}, **given})


def explain(store: EdgeStore, number: int, retrieval: Retrieval, **given: Any) -> Why:
    name = "ab"[number % 2]
    return why(QUESTION, name, store, Compass(), retrieval, chunk_id=chunk_id(number), **given)


def ranks(found: Why) -> dict[str, int | None]:
    return {standing.stage: standing.rank for standing in found.standings}


@pytest.mark.parametrize("method", ["rrf", "dbsf", "weighted"])
@pytest.mark.parametrize("strategy", ["dense", "sparse", "hybrid"])
def test_it_agrees_with_retrieval_on_every_chunk(store: EdgeStore, strategy: str, method: str) -> None:
    retrieval = settings(strategy=strategy, top_k=4, candidates=5, fusion={"method": method})
    results = retrieve(QUESTION, store, Compass(), retrieval).results
    order = [result.chunk.id for result in results]
    for number in range(CHUNKS):
        found = explain(store, number, retrieval)
        expected = order.index(chunk_id(number)) + 1 if chunk_id(number) in order else None
        assert found.rank == expected


@pytest.mark.parametrize("method", ["rrf", "dbsf", "weighted"])
@pytest.mark.parametrize("sparse", ["splade", "both"])
@pytest.mark.parametrize("strategy", ["dense", "sparse", "hybrid"])
def test_it_agrees_with_retrieval_where_splade_searches_too(
    tmp_path_factory: pytest.TempPathFactory, strategy: str, sparse: str, method: str
) -> None:
    store = splade_store(tmp_path_factory.mktemp("splade"))
    given = {"strategy": strategy, "sparse": sparse, "fusion": {"method": method}}
    retrieval = settings(top_k=4, candidates=5, **given)
    results = retrieve(QUESTION, store, Compass(), retrieval).results
    order = [result.chunk.id for result in results]
    for number in range(CHUNKS):
        found = explain(store, number, retrieval)
        assert found.rank == (order.index(chunk_id(number)) + 1 if chunk_id(number) in order else None)
        by_stage = {standing.stage: standing for standing in found.standings}
        assert by_stage["splade"].used == (strategy != "dense")
        assert by_stage["sparse"].used == (strategy != "dense" and sparse == "both")
        for change in found.changes:
            changed = merged(given | {"top_k": 4, "candidates": 5}, change.settings)
            now = [result.chunk.id for result in retrieve(QUESTION, store, Compass(), settings(**changed)).results]
            assert now.index(chunk_id(number)) + 1 == change.rank
    store.close()


def merged(given: dict[str, Any], changes: dict[str, object]) -> dict[str, Any]:
    """The settings with those of a change, whose keys are dotted."""
    found = dict(given)
    for key, value in changes.items():
        head, _, rest = key.removeprefix("retrieval.").partition(".")
        found[head] = {**found[head], rest: value} if rest else value
    return found


def splade_store(folder: Path) -> EdgeStore:
    """The chunks of `store`, in which SPLADE finds those from 6 on, the last one best."""
    store = EdgeStore(folder / "shard", Bm25(), lambda text: np.asarray([[1.0], [2.0]], dtype=np.float32))
    chunks = corpus()
    angles = [0.1 * number for number in range(CHUNKS)]
    vectors = np.asarray([(math.cos(angle), math.sin(angle)) for angle in angles], dtype=np.float32)
    rows = [np.asarray([[1.0], [n]] if n >= 6 else [[], []], dtype=np.float32) for n in range(CHUNKS)]
    store.upsert(chunks, vectors, 6.0, rows)
    store.finish()
    return store


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_it_agrees_with_retrieval_after_reranking(store: EdgeStore, weight: float) -> None:
    retrieval = settings(top_k=3, candidates=12, reranking={"candidates": 6, "top_n": 2, "weight": weight})
    results = retrieve(QUESTION, store, Compass(), retrieval, Backwards()).results
    order = [result.chunk.id for result in results]
    assert len(order) == 2
    for number in range(CHUNKS):
        found = explain(store, number, retrieval, reranker=Backwards())
        expected = order.index(chunk_id(number)) + 1 if chunk_id(number) in order else None
        assert found.rank == expected


@pytest.mark.parametrize("strategy", ["dense", "sparse", "hybrid"])
@pytest.mark.parametrize(("reranked", "weight"), [(False, 1.0), (True, 1.0), (True, 0.4)])
def test_every_change_that_it_names_brings_the_chunk_to_the_rank_it_says(
    store: EdgeStore, strategy: str, reranked: bool, weight: float
) -> None:
    told = 0
    for number in range(CHUNKS):
        reranking = {"candidates": 3, "top_n": 1, "weight": weight}
        given = {"strategy": strategy, "top_k": 2, "candidates": 3, "reranking": reranking}
        found = explain(store, number, settings(**given), reranker=Backwards() if reranked else None)
        for change in found.changes:
            retrieval = settings(**given)
            for key, value in change.settings.items():
                retrieval = changed(retrieval, key.split(".")[1:], value)
            reranker = Backwards() if reranked and change.reranker else None
            results = retrieve(QUESTION, store, Compass(), retrieval, reranker).results
            assert results[change.rank - 1].chunk.id == chunk_id(number), change
            told += 1
    assert told


def changed(retrieval: Retrieval, path: list[str], value: object) -> Retrieval:
    plain = retrieval.model_dump()
    part = plain
    for step in path[:-1]:
        part = part[step]
    part[path[-1]] = value
    return Retrieval.model_validate(plain)


def test_a_rank_outside_the_candidates_is_found_all_the_same(store: EdgeStore) -> None:
    found = explain(store, 11, settings(candidates=5, top_k=3))
    assert ranks(found) == {"sparse": None, "dense": 12, "fused": None}
    sparse, dense, fused = found.standings
    assert (dense.ranked, dense.kept, dense.passed) == (12, 5, False)
    assert sparse.ranked == 3
    assert not fused.passed
    assert found.changes[0].settings == {"retrieval.candidates": 12, "retrieval.top_k": 12}


def test_a_retriever_that_the_strategy_leaves_out_is_shown_and_does_not_count(store: EdgeStore) -> None:
    found = explain(store, 10, settings(strategy="dense", top_k=3))
    sparse = found.standings[0]
    assert (sparse.rank, sparse.used, sparse.passed) == (3, False, False)
    assert {"retrieval.strategy": "sparse"} in [change.settings for change in found.changes]


def test_a_filter_that_drops_the_chunk_is_named_and_the_rest_is_told_without_it(store: EdgeStore) -> None:
    filters = [parse_filter("page_number>=5"), parse_filter("source_document=a.md")]
    found = explain(store, 2, settings(filters=filters[:1]), filters=filters[1:])
    assert found.dropped_by == (filters[0],)
    assert found.rank is None
    assert ranks(found)["dense"] == 2  # among the six chunks of a.md


def test_of_a_document_the_chunk_nearest_to_the_results_is_explained(store: EdgeStore) -> None:
    dense = why(QUESTION, "b", store, Compass(), settings(strategy="dense"))
    assert dense.chunk.id == chunk_id(1)
    sparse = why(QUESTION, "b", store, Compass(), settings(strategy="sparse"))
    assert sparse.chunk.id == chunk_id(9)
    # One that meets the filters comes before a better one that does not.
    filtered = why(QUESTION, "b", store, Compass(), settings(filters=[parse_filter("page_number>=6")]))
    assert filtered.dropped_by == ()
    assert filtered.chunk.page_number in (7, 9, 11)
    dense_only = settings(strategy="dense")
    outside = why(QUESTION, "b", store, Compass(), dense_only, filters=[parse_filter("page_number>=50")])
    assert outside.chunk.id == chunk_id(1)
    assert [describe(condition) for condition in outside.dropped_by] == ["page_number>=50"]


def test_words_are_those_of_the_search(store: EdgeStore) -> None:
    states = {word.text: word.state for word in explain(store, 8, settings()).words}
    assert states == {
        "how": "ignored",
        "long": "missing",
        "is": "ignored",
        "the": "ignored",
        "amber": "matched",
        "light": "matched",
        "on": "ignored",
    }


def test_the_reranker_scores_no_chunk_twice(store: EdgeStore) -> None:
    reranker = Backwards()
    explain(store, 0, settings(top_k=1, reranking={"candidates": 5}), reranker=reranker)
    assert reranker.scored <= CHUNKS


def test_what_cannot_be_explained_is_an_error(store: EdgeStore) -> None:
    with pytest.raises(ConfigError, match="question is empty"):
        why("  ", "a", store, Compass(), settings())
    with pytest.raises(ConfigError, match="no chunks"):
        why(QUESTION, "nobody", store, Compass(), settings())
    with pytest.raises(ConfigError, match="has no chunk"):
        why(QUESTION, "a", store, Compass(), settings(), chunk_id=chunk_id(1))


@pytest.mark.parametrize(
    "expression",
    ["a=b", "a=b,c", "a!=b", "a!=b,c", "a>=3", "a<2", "a=2", "a=true", "a>2026-01-01", "a<=2026-01-01T10:00:00"],
)
def test_a_filter_is_described_as_it_is_written(expression: str) -> None:
    condition = parse_filter(expression)
    assert parse_filter(describe(condition)) == condition


def test_a_combined_filter_is_described_by_its_parts() -> None:
    parts = [{"field": "a", "eq": 1}, {"not": {"field": "b", "gt": 2, "lt": 5}}]
    assert describe(Filter.model_validate({"or": parts})) == "(a=1 or not (b>2 and b<5))"
