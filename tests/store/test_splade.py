"""The SPLADE vector of chunks, kept by every backend alike: written, searched, changed and deleted with the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from ragkit.config.schema import Filter
from ragkit.store import Hit, StoreWriter
from ragkit.types import Chunk
from tests.store.letters import letters

pytestmark = [
    pytest.mark.filterwarnings("ignore:Payload indexes have no effect:UserWarning"),
    pytest.mark.filterwarnings("ignore:Local mode:UserWarning"),
]

OpenStore = Callable[[], StoreWriter]
MakeChunk = Callable[..., Chunk]
SameRanking = Callable[[Sequence[Hit], Sequence[Hit], int], None]
AVERAGE = 6.0


@pytest.fixture
def corpus(make_chunk: MakeChunk) -> list[Chunk]:
    """60 chunks of 6 documents; every tenth has no letter, so no token."""
    choose = np.random.default_rng(3)
    words = ["amber", "birch", "cedar", "ember", "fjord", "heath", "inlet", "ledge", "ocean", "quay"]
    texts = [" ".join(choose.choice(words, choose.integers(1, 6))) for _ in range(60)]
    return [
        make_chunk(n, "1234" if n % 10 == 9 else text, f"d{n % 6}", metadata={"page_number": n % 4})
        for n, text in enumerate(texts)
    ]


def dense(count: int) -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(size=(count, 8)).astype(np.float32)


def filled(store: StoreWriter, chunks: Sequence[Chunk]) -> None:
    store.upsert(chunks, dense(len(chunks)), AVERAGE, [letters(chunk.indexed_text) for chunk in chunks])
    store.finish()


def products(chunks: Sequence[Chunk], question: str) -> list[Hit]:
    """Brute force: the sum over tokens of weight times weight."""
    asked = dict(letters(question).T.tolist())
    scored = [
        (chunk.id, sum(asked.get(token, 0.0) * weight for token, weight in letters(chunk.indexed_text).T.tolist()))
        for chunk in chunks
    ]
    hits = [Hit(chunk_id, score) for chunk_id, score in scored if score > 0]
    return sorted(hits, key=lambda hit: -hit.score)


def test_search_ranks_by_the_product_of_weights(
    open_splade_store: OpenStore, corpus: list[Chunk], assert_same_ranking: SameRanking
) -> None:
    store = open_splade_store()
    filled(store, corpus)

    for question in ("amber", "fjord fjord quay", "zz"):
        assert_same_ranking(store.search_splade(10, question), products(corpus, question), 10)
    assert store.search_splade(10, "77") == []
    paged = [Filter(field="page_number", eq=2)]
    wanted = [chunk for chunk in corpus if chunk.metadata["page_number"] == 2]
    assert_same_ranking(store.search_splade(60, "ocean", paged), products(wanted, "ocean"), 60)


def test_vectors_come_back_as_they_were_written(open_splade_store: OpenStore, corpus: list[Chunk]) -> None:
    store = open_splade_store()
    filled(store, corpus)

    found = store.splade_of("d3")

    own = {c.id: letters(c.indexed_text) for c in corpus if c.document_id == "d3" and letters(c.indexed_text).size}
    assert {key: dict(row.T.tolist()) for key, row in found.items()} == {
        key: dict(row.T.tolist()) for key, row in own.items()
    }
    assert store.count(vector="splade") == 54
    assert store.count(vector="dense") == 60


def test_a_flat_vector_is_the_same_vector(open_splade_store: OpenStore, make_chunk: MakeChunk) -> None:
    store = open_splade_store()
    chunk = make_chunk(1, "amber")
    store.upsert([chunk], dense(1), AVERAGE, [letters("amber").ravel()])

    assert [hit.chunk_id for hit in store.search_splade(5, "b")] == [chunk.id]


def test_writing_again_replaces_and_deleting_takes_out(open_splade_store: OpenStore, make_chunk: MakeChunk) -> None:
    store = open_splade_store()
    filled(store, [make_chunk(1, "amber"), make_chunk(2, "amber", "other")])
    filled(store, [make_chunk(1, "1234")])
    assert [hit.chunk_id for hit in store.search_splade(5, "amber")] == [make_chunk(2, "").id]

    store.delete_documents(["other"])
    store.finish()
    assert store.search_splade(5, "amber") == []
    assert store.count(vector="splade") == 0


def test_other_weights_of_bm25_leave_it_as_it_is(
    open_splade_store: OpenStore, corpus: list[Chunk], assert_same_ranking: SameRanking
) -> None:
    store = open_splade_store()
    filled(store, corpus)
    store.reweigh(3.0)
    store.finish()

    assert_same_ranking(store.search_splade(60, "amber quay"), products(corpus, "amber quay"), 60)


def test_it_is_there_after_opening_again(open_splade_store: OpenStore, corpus: list[Chunk]) -> None:
    filled(open_splade_store(), corpus)
    before = open_splade_store().search_splade(60, "amber quay")

    assert before == open_splade_store().search_splade(60, "amber quay")
    assert len(before) == len(products(corpus, "amber quay"))


def test_a_store_without_it_finds_nothing_by_it(open_store: OpenStore, corpus: list[Chunk]) -> None:
    store = open_store()
    assert store.search_splade(5, "amber") == []
    store.upsert(corpus, dense(len(corpus)), AVERAGE)
    store.finish()

    assert store.search_splade(5, "amber") == []
    assert store.splade_of("d3") == {}
    assert store.count(vector="splade") == 0
