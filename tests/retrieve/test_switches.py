"""The switches of retrieval over a real store: off they change nothing, on they keep what always holds."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ragkit.config.schema import Bm25, Filter, Retrieval, Transform
from ragkit.errors import ConfigError
from ragkit.retrieve.query_transforms import Rewriter
from ragkit.retrieve.retriever import Retrieved, retrieve
from ragkit.retrieve.why import why
from ragkit.store.qdrant_edge import EdgeStore
from ragkit.types import Chunk, Usage

WORDS = ["amber", "light", "pump", "pressure", "valve", "probe", "range", "mean time between failures (MTBF)"]
TRANSFORMS: list[Transform] = ["spelling", "acronyms", "multi_query", "decompose", "hyde"]
CHUNKS = 40
ON: dict[str, Any] = {
    "transforms": TRANSFORMS,
    "feedback": {"method": "both", "documents": 4, "terms": 5, "rocchio_documents": 2},
    "neighbours": {"method": "smooth", "k": 3, "among": 15},
    "diversity": {"method": "mmr", "candidates": 12},
    "reranking": {"weight": 0.3},
}


class Hashing:
    """An embedder whose vectors follow from the letters of a text: like texts have like vectors."""

    def embed_question(self, text: str) -> NDArray[np.float32]:
        counts = np.asarray([1 + text.lower().count(letter) for letter in "aeioulmnprstv"], dtype=np.float32)
        return np.asarray(counts / np.linalg.norm(counts), dtype=np.float32)

    def embed_passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return np.stack([self.embed_question(text) for text in texts])

    embed_questions = embed_passages


def imagine(request: str, most: int) -> tuple[str, Usage]:
    return "an imagined pump", Usage(5, 3)


class Last:
    """A reranker that likes long texts."""

    def scores(self, question: str, texts: Sequence[str]) -> list[float]:
        return [float(len(text)) for text in texts]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> EdgeStore:
    chunks: list[Chunk] = []
    random = Random(7)
    for number in range(CHUNKS):
        # Of different lengths, for the engine takes any of those that score alike at the end of a list.
        text = " ".join(random.choices(WORDS, k=3 + number % 5)) + " grey" * number
        name = f"{'ab'[number % 2]}.md"
        metadata = {"source_document": name, "page_number": number}
        identity = f"00000000-0000-0000-0000-{number:012d}"
        chunks.append(Chunk(identity, name[0], text, 100 * number, 100 * number + len(text), 5, metadata))
    store = EdgeStore(tmp_path_factory.mktemp("switches") / "shard", Bm25())
    store.upsert(chunks, Hashing().embed_passages([chunk.text for chunk in chunks]), 5.0)
    store.finish()
    return store


def found(
    store: EdgeStore, question: str, given: dict[str, Any], filters: Sequence[Filter] = (), **more: Any
) -> Retrieved:
    retrieval = Retrieval.model_validate(given)
    written = Rewriter(retrieval.transforms, Bm25(), store.iter_chunks, imagine)
    return retrieve(question, store, Hashing(), retrieval, filters=filters, rewriter=written, **more)


def ids(retrieved: Retrieved) -> list[str]:
    return [result.chunk.id for result in retrieved.results]


questions = st.lists(st.sampled_from([*WORDS, "MTBF", "presure", "compare", "and", "what"]), min_size=1, max_size=6)


@settings(max_examples=25)
@given(words=questions, strategy=st.sampled_from(["dense", "hybrid"]))
def test_switches_that_change_nothing_give_the_results_of_those_that_are_off(
    store: EdgeStore, words: list[str], strategy: str
) -> None:
    question = " ".join(words)
    off = found(store, question, {"strategy": strategy})
    idle = {
        "feedback": {"method": "both", "weight": 1.0, "rocchio_weight": 1.0},
        "diversity": {"method": "mmr", "weight": 1.0},
    }
    on = found(store, question, {"strategy": strategy, **idle})
    # Ranks of equal scores may differ by rounding; the scores must not.
    before = {result.chunk.id: result.stages["fused"].score for result in off.results}
    after = {result.chunk.id: result.stages["fused"].score for result in on.results}
    assert sorted(after.values()) == pytest.approx(sorted(before.values()), abs=1e-5)


@settings(max_examples=40)
@given(
    words=questions,
    least=st.integers(0, CHUNKS),
    strategy=st.sampled_from(["dense", "sparse", "hybrid"]),
    on=st.sets(st.sampled_from(sorted(ON))),
    reranks=st.booleans(),
    fusion=st.sampled_from(["rrf", "dbsf", "weighted"]),
)
def test_filters_hold_for_every_result_whatever_is_switched_on(
    store: EdgeStore, words: list[str], least: int, strategy: str, on: set[str], reranks: bool, fusion: str
) -> None:
    filters = [Filter(field="page_number", gte=least), Filter(field="source_document", eq="a.md")]
    given = {"strategy": strategy, "fusion": {"method": fusion}, "top_k": 7, **{key: ON[key] for key in on}}
    retrieved = found(store, " ".join(words), given, filters, reranker=Last() if reranks else None)
    assert all((result.chunk.page_number or 0) >= least for result in retrieved.results)
    assert {result.chunk.source_document for result in retrieved.results} <= {"a.md"}
    assert len(set(ids(retrieved))) == len(retrieved.results) <= 7
    scores = [result.score for result in retrieved.results]
    assert scores == sorted(scores, reverse=True)


@settings(max_examples=40)
@given(
    words=questions,
    strategy=st.sampled_from(["dense", "sparse", "hybrid"]),
    on=st.sets(st.sampled_from(sorted(ON))),
    reranks=st.booleans(),
)
def test_lists_that_are_not_wanted_whole_give_the_same_results(
    store: EdgeStore, words: list[str], strategy: str, on: set[str], reranks: bool
) -> None:
    given = {"strategy": strategy, "top_k": 7, **{key: ON[key] for key in on}}
    more: dict[str, Any] = {"reranker": Last() if reranks else None}
    whole, short = (found(store, " ".join(words), given, whole=whole, **more) for whole in (True, False))
    # The engine takes any of those that score alike at the end of a list.
    scores = [[result.score for result in retrieved.results] for retrieved in (whole, short)]
    assert scores[1] == pytest.approx(scores[0])
    if strategy != "hybrid" and not on and not reranks:
        assert all(len(ranked) <= 7 for ranked in short.ranked.values())


def test_feedback_finds_by_words_that_the_question_does_not_have(store: EdgeStore) -> None:
    question = {"strategy": "sparse", "top_k": CHUNKS}
    alone = found(store, "valve", question)
    fed = found(store, "valve", {**question, "feedback": ON["feedback"]})
    assert set(ids(alone)) < set(ids(fed))


@pytest.mark.parametrize(("strategy", "method"), [("dense", "rm3"), ("sparse", "rocchio")])
def test_feedback_of_a_kind_that_the_strategy_does_not_search_by_changes_nothing(
    store: EdgeStore, strategy: str, method: str
) -> None:
    question = {"strategy": strategy, "top_k": CHUNKS}
    fed = found(store, "valve", {**question, "feedback": {"method": method}})
    assert ids(fed) == ids(found(store, "valve", question))
    assert "feedback" not in fed.timings_ms


def test_why_says_which_lists_are_those_of_a_second_search(store: EdgeStore) -> None:
    for method, again in (("none", ()), ("rm3", ("sparse",)), ("rocchio", ("dense",)), ("both", ("dense", "sparse"))):
        retrieval = Retrieval.model_validate({"feedback": {"method": method}})
        identity = "00000000-0000-0000-0000-000000000000"
        assert why("valve", "a", store, Hashing(), retrieval, chunk_id=identity).searched_again == again


def test_feedback_by_meaning_brings_a_question_nearer_to_what_was_found(store: EdgeStore) -> None:
    question = {"strategy": "dense", "top_k": CHUNKS, "candidates": CHUNKS}
    alone = found(store, "valve", question)
    fed = found(
        store, "valve", {**question, "feedback": {"method": "rocchio", "rocchio_documents": 1, "rocchio_weight": 0.2}}
    )
    assert ids(fed)[0] == ids(alone)[0]
    assert fed.results[0].score > alone.results[0].score


@pytest.mark.parametrize(("on", "reranks"), list(product([*([key] for key in ON), list(ON)], [False, True])), ids=str)
def test_why_says_the_rank_that_retrieval_gives(store: EdgeStore, on: list[str], reranks: bool) -> None:
    question = "what presure has the pump and what is the MTBF"
    given = {"top_k": 4, "candidates": 15, **{key: ON[key] for key in on}}
    reranker = Last() if reranks else None
    results = ids(found(store, question, given, reranker=reranker))
    retrieval = Retrieval.model_validate(given)
    written = Rewriter(retrieval.transforms, Bm25(), store.iter_chunks, imagine)
    for number in range(CHUNKS):
        identity = f"00000000-0000-0000-0000-{number:012d}"
        said = why(
            question, "ab"[number % 2], store, Hashing(), retrieval, reranker, chunk_id=identity, rewriter=written
        )
        assert said.rank == (results.index(identity) + 1 if identity in results else None)
        for change in said.changes:
            assert change.rank >= 1


def test_what_was_searched_is_told(store: EdgeStore) -> None:
    retrieved = found(store, "what presure", {"transforms": ["spelling", "hyde"]})
    assert [(query.text, query.imagined) for query in retrieved.queries] == [("what pressure", "an imagined pump")]


def test_transforms_without_anybody_to_do_them_are_refused(store: EdgeStore) -> None:
    with pytest.raises(ConfigError, match="transforms"):
        retrieve("pump", store, Hashing(), Retrieval(transforms=["acronyms"]))
