"""The contract of `StoreReader` and `StoreWriter`, kept by every backend alike."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from ragkit.config.schema import Bm25, Filter
from ragkit.errors import StoreError
from ragkit.store import Hit, StoreWriter
from ragkit.store.bm25 import Bm25Encoder
from ragkit.types import Chunk, MetadataValue

pytestmark = [
    pytest.mark.filterwarnings("ignore:Payload indexes have no effect:UserWarning"),
    pytest.mark.filterwarnings("ignore:Local mode:UserWarning"),
]

OpenStore = Callable[[], StoreWriter]
MakeChunk = Callable[..., Chunk]
SameRanking = Callable[[Sequence[Hit], Sequence[Hit], int], None]

WORDS = [
    "amber",
    "birch",
    "cedar",
    "delta",
    "ember",
    "fjord",
    "grove",
    "heath",
    "inlet",
    "jetty",
    "knoll",
    "ledge",
    "marsh",
    "north",
    "ocean",
]
AVERAGE = 6.0


def random_vectors(count: int, dimensions: int = 16, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(count, dimensions)).astype(np.float32)


@pytest.fixture
def corpus(make_chunk: MakeChunk) -> list[Chunk]:
    """200 chunks of 20 documents; every 25th has no term at all."""
    choose = np.random.default_rng(1)
    texts = [" ".join(choose.choice(WORDS, choose.integers(2, 12))) for _ in range(200)]
    return [
        make_chunk(n, "the of and" if n % 25 == 24 else text, f"d{n % 20}", metadata={"page_number": n % 7})
        for n, text in enumerate(texts)
    ]


def filled(store: StoreWriter, chunks: Sequence[Chunk]) -> NDArray[np.float32]:
    vectors = random_vectors(len(chunks))
    store.upsert(chunks, vectors, AVERAGE)
    store.finish()
    return vectors


def cosine_ranking(chunks: Sequence[Chunk], vectors: NDArray[np.float32], asked: NDArray[np.float32]) -> list[Hit]:
    """Brute force."""
    rows = vectors.astype(np.float64)
    scores = rows @ asked / (np.linalg.norm(rows, axis=1) * np.linalg.norm(asked.astype(np.float64)))
    hits = [Hit(chunk.id, float(score)) for chunk, score in zip(chunks, scores, strict=True)]
    return sorted(hits, key=lambda hit: -hit.score)


def bm25_ranking(chunks: Sequence[Chunk], question: str, average: float = AVERAGE) -> list[Hit]:
    """The formula of `ragkit.store.bm25`, word for word."""
    config = Bm25()
    encoder = Bm25Encoder(config)
    counted = [(chunk.id, terms) for chunk in chunks if (terms := encoder.terms(chunk.indexed_text))]
    hits: list[Hit] = []
    for chunk_id, terms in counted:
        score = 0.0
        for term in encoder.terms(question).keys() & terms.keys():
            holding = sum(term in other for _, other in counted)
            idf = math.log(1 + (len(counted) - holding + 0.5) / (holding + 0.5))
            norm = config.k1 * (1 - config.b + config.b * sum(terms.values()) / average)
            score += idf * terms[term] * (config.k1 + 1) / (terms[term] + norm)
        if score:
            hits.append(Hit(chunk_id, score))
    return sorted(hits, key=lambda hit: -hit.score)


def test_a_store_that_nothing_was_written_to_is_empty(open_store: OpenStore) -> None:
    store = open_store()

    assert store.search(5, random_vectors(1)[0], "amber", [Filter(field="page_number", gte=1)]) == ([], [])
    assert store.count() == 0
    assert store.chunks(["00000000-0000-0000-0000-000000000000"]) == {}
    assert store.chunks_of("d0") == []
    assert store.vectors_of("d0") == {}
    assert list(store.iter_chunks()) == []


def test_every_change_of_an_empty_store_is_allowed(open_store: OpenStore) -> None:
    store = open_store()

    store.upsert([], np.zeros((0, 0), dtype=np.float32), AVERAGE)
    store.delete_documents(["d0"], {"d0": ["00000000-0000-0000-0000-000000000000"]})
    store.reweigh(AVERAGE)
    store.finish()

    assert store.count() == 0


def test_chunks_come_back_as_they_were_written(open_store: OpenStore, corpus: list[Chunk]) -> None:
    store = open_store()
    filled(store, corpus)

    assert store.chunks([chunk.id for chunk in corpus]) == {chunk.id: chunk for chunk in corpus}
    assert list(store.iter_chunks()) == sorted(corpus, key=lambda chunk: chunk.id)
    assert store.chunks_of("d3") == [chunk for chunk in corpus if chunk.document_id == "d3"]


def test_ids_that_are_not_there_are_left_out(open_store: OpenStore, corpus: list[Chunk]) -> None:
    store = open_store()
    filled(store, corpus)

    asked = ["00000000-0000-0000-0000-000000000000", corpus[3].id, "not a uuid", ""]
    assert store.chunks(asked) == {corpus[3].id: corpus[3]}


def test_vectors_come_back_with_unit_length(open_store: OpenStore, corpus: list[Chunk]) -> None:
    store = open_store()
    vectors = filled(store, corpus)

    found = store.vectors_of("d3")

    own = {chunk.id: vector for chunk, vector in zip(corpus, vectors, strict=True) if chunk.document_id == "d3"}
    assert found.keys() == own.keys()
    for chunk_id, vector in own.items():
        np.testing.assert_allclose(found[chunk_id], vector / np.linalg.norm(vector), rtol=1e-5, atol=1e-6)
    wanted = [*found][:2]
    again = store.vectors([*wanted, "no such chunk"])
    assert {each: again[each].tolist() for each in wanted} == {each: found[each].tolist() for each in wanted}
    assert again.keys() == set(wanted)


def test_a_chunk_without_a_vector_is_found_by_its_words_until_it_is_written_with_one(
    open_store: OpenStore, make_chunk: MakeChunk, assert_same_ranking: SameRanking
) -> None:
    store = open_store()
    chunks = [make_chunk(number, "amber birch") for number in range(6)]
    vectors = random_vectors(6)
    rows = vectors.copy()
    rows[[0, 3]] = np.nan
    store.upsert(chunks, rows, AVERAGE)
    store.finish()

    asked = random_vectors(1, seed=5)[0]
    have = [chunk for number, chunk in enumerate(chunks) if number not in (0, 3)]
    dense, sparse = store.search(10, asked, "amber")
    assert_same_ranking(dense, cosine_ranking(have, vectors[[1, 2, 4, 5]], asked), 10)
    assert len(sparse) == 6
    assert (store.count(), store.count(vector="dense"), store.count(vector="bm25")) == (6, 4, 6)
    assert store.vectors([chunk.id for chunk in chunks]).keys() == {chunk.id for chunk in have}
    store.upsert([chunks[0], chunks[3]], vectors[[0, 3]], AVERAGE)
    store.finish()
    assert store.count(vector="dense") == 6
    assert_same_ranking(store.search(10, asked)[0], cosine_ranking(chunks, vectors, asked), 10)


def test_writing_twice_is_writing_once(
    open_store: OpenStore, corpus: list[Chunk], assert_same_ranking: SameRanking
) -> None:
    store = open_store()
    filled(store, corpus)
    before = store.search(300, random_vectors(1, seed=5)[0], "amber birch")
    filled(store, corpus)

    assert store.count() == len(corpus)
    after = store.search(300, random_vectors(1, seed=5)[0], "amber birch")
    for one, other in zip(after, before, strict=True):
        assert_same_ranking(one, other, 300)


def test_writing_again_replaces_text_fields_and_vectors(open_store: OpenStore, make_chunk: MakeChunk) -> None:
    store = open_store()
    store.upsert([make_chunk(1, "amber", metadata={"colour": "red", "old": 1})], random_vectors(1), AVERAGE)
    new = make_chunk(1, "birch", metadata={"colour": "blue"})
    store.upsert([new], -random_vectors(1), AVERAGE)
    store.finish()

    assert store.chunks([new.id]) == {new.id: new}
    assert store.count([Filter(field="colour", eq="red")]) == 0
    assert store.count([Filter(field="old", eq=1)]) == 0
    assert store.count([Filter(field="colour", eq="blue")]) == 1
    dense, sparse = store.search(5, random_vectors(1)[0], "amber")
    assert dense[0].score == pytest.approx(-1, abs=1e-5)
    assert sparse == []


def test_a_chunk_that_loses_its_last_term_leaves_sparse_search(open_store: OpenStore, make_chunk: MakeChunk) -> None:
    store = open_store()
    store.upsert([make_chunk(1, "amber"), make_chunk(2, "birch")], random_vectors(2), AVERAGE)
    store.upsert([make_chunk(1, "the")], random_vectors(1), AVERAGE)
    store.finish()

    assert store.search(5, text="amber")[1] == []
    assert store.count(vector="bm25") == 1
    assert store.count(vector="dense") == 2


def test_documents_are_deleted_whole(open_store: OpenStore, corpus: list[Chunk]) -> None:
    store = open_store()
    filled(store, corpus)
    store.delete_documents(["d3", "d4", "unknown"])
    store.finish()

    assert {chunk.id for chunk in store.iter_chunks()} == {
        chunk.id for chunk in corpus if chunk.document_id not in ("d3", "d4")
    }
    for vector in (None, "dense", "bm25"):
        assert store.count(document_id="d3", vector=vector) == 0
    dense, sparse = store.search(300, random_vectors(1)[0], " ".join(WORDS))
    gone = {chunk.id for chunk in corpus if chunk.document_id in ("d3", "d4")}
    assert not gone & {hit.chunk_id for hit in [*dense, *sparse]}


def test_deleting_spares_what_is_kept(open_store: OpenStore, corpus: list[Chunk]) -> None:
    store = open_store()
    filled(store, corpus)
    third, fourth = store.chunks_of("d3"), store.chunks_of("d4")
    keep = {"d3": [third[0].id, third[5].id], "d4": []}
    store.delete_documents(["d3", "d4"], keep)
    store.delete_documents(["d3", "d4"], keep)
    store.finish()

    assert len(fourth) == 10
    assert store.chunks_of("d3") == [third[0], third[5]]
    assert store.chunks_of("d4") == []
    assert store.count() == len(corpus) - 18


def test_counts_are_exact(open_store: OpenStore, corpus: list[Chunk]) -> None:
    store = open_store()
    filled(store, corpus)

    assert store.count() == 200
    assert store.count(document_id="d3") == 10
    assert store.count([Filter(field="page_number", eq=3)]) == sum(n % 7 == 3 for n in range(200))
    assert store.count([Filter(field="page_number", eq=3)], "d3") == sum(n % 7 == 3 for n in range(3, 200, 20))
    assert store.count(vector="dense") == 200
    assert store.count(vector="bm25") == 192


def test_dense_search_is_that_of_brute_force(
    open_store: OpenStore, corpus: list[Chunk], assert_same_ranking: SameRanking
) -> None:
    store = open_store()
    vectors = filled(store, corpus)

    for asked in random_vectors(20, seed=7):
        dense, sparse = store.search(10, vector=asked)
        assert_same_ranking(dense, cosine_ranking(corpus, vectors, asked), 10)
        assert sparse == []


def test_sparse_search_is_that_of_the_formula(
    open_store: OpenStore, corpus: list[Chunk], assert_same_ranking: SameRanking
) -> None:
    store = open_store()
    filled(store, corpus)

    for question in [*WORDS, "amber birch cedar", "Embers, embers and fjords?", "amber amber amber"]:
        dense, sparse = store.search(30, text=question)
        assert_same_ranking(sparse, bm25_ranking(corpus, question), 30)
        assert dense == []


def test_both_searches_in_one_call_are_the_same_as_apart(
    open_store: OpenStore, corpus: list[Chunk], assert_same_ranking: SameRanking
) -> None:
    store = open_store()
    filled(store, corpus)
    asked = random_vectors(1, seed=7)[0]

    dense, sparse = store.search(10, asked, "amber birch")

    assert len(dense) == len(sparse) == 10
    assert_same_ranking(dense, store.search(300, vector=asked)[0], 10)
    assert_same_ranking(sparse, store.search(300, text="amber birch")[1], 10)


@pytest.mark.parametrize("question", ["", "  \n", "the of and", "?!…", "xylophone zeppelin"])
def test_a_question_without_known_terms_finds_nothing_sparse(
    open_store: OpenStore, corpus: list[Chunk], question: str
) -> None:
    store = open_store()
    filled(store, corpus)

    dense, sparse = store.search(5, random_vectors(1)[0], question)

    assert len(dense) == 5
    assert sparse == []


def test_unknown_terms_do_not_change_the_scores_of_known_ones(open_store: OpenStore, corpus: list[Chunk]) -> None:
    store = open_store()
    filled(store, corpus)

    _, with_unknown = store.search(20, text="amber xylophone")

    assert {hit.chunk_id for hit in with_unknown} == {hit.chunk_id for hit in store.search(20, text="amber")[1]}


def test_a_limit_beyond_the_store_gives_all(
    open_store: OpenStore, corpus: list[Chunk], assert_same_ranking: SameRanking
) -> None:
    store = open_store()
    vectors = filled(store, corpus)
    asked = random_vectors(1, seed=7)[0]

    dense, sparse = store.search(1000, asked, "amber")

    assert_same_ranking(dense, cosine_ranking(corpus, vectors, asked), 1000)
    assert_same_ranking(sparse, bm25_ranking(corpus, "amber"), 1000)


def test_the_header_is_searched_too(open_store: OpenStore, make_chunk: MakeChunk) -> None:
    store = open_store()
    chunks = [make_chunk(1, "amber", header="Handbook > Trees"), make_chunk(2, "birch")]
    store.upsert(chunks, random_vectors(2), AVERAGE)
    store.finish()

    assert [hit.chunk_id for hit in store.search(5, text="trees")[1]] == [chunks[0].id]


def test_reweighing_gives_what_writing_with_that_average_gives(
    open_store: OpenStore, corpus: list[Chunk], assert_same_ranking: SameRanking
) -> None:
    store = open_store()
    filled(store, corpus)
    store.reweigh(11.0)
    store.finish()

    assert_same_ranking(store.search(50, text="amber cedar")[1], bm25_ranking(corpus, "amber cedar", 11.0), 50)
    assert store.count(vector="bm25") == 192


def test_filters_hold_for_every_hit_of_both_searches(open_store: OpenStore, corpus: list[Chunk]) -> None:
    store = open_store()
    filled(store, corpus)
    wanted = {chunk.id for n, chunk in enumerate(corpus) if n % 7 == 2 and n % 20 in (1, 2)}

    filters = [Filter(field="page_number", eq=2), Filter(field="source_document", any=["d1.md", "d2.md"])]
    dense, sparse = store.search(300, random_vectors(1)[0], " ".join(WORDS), filters)

    assert wanted
    assert {hit.chunk_id for hit in dense} == wanted
    assert {hit.chunk_id for hit in sparse} == {
        chunk.id for chunk in corpus if chunk.id in wanted and "the of" not in chunk.text
    }


def test_everything_is_there_after_reopening(
    open_store: OpenStore, corpus: list[Chunk], assert_same_ranking: SameRanking
) -> None:
    store = open_store()
    filled(store, corpus)
    store.delete_documents(["d3"])
    store.finish()
    asked = random_vectors(1, seed=7)[0]
    before = store.search(300, asked, "amber birch", [Filter(field="page_number", gte=2)])

    again = open_store()

    after = again.search(300, asked, "amber birch", [Filter(field="page_number", gte=2)])
    for one, other in zip(after, before, strict=True):
        assert_same_ranking(one, other, 300)
    assert list(again.iter_chunks()) == sorted(
        (chunk for chunk in corpus if chunk.document_id != "d3"), key=lambda chunk: chunk.id
    )
    again.upsert(corpus[:5], random_vectors(5), AVERAGE)
    again.finish()
    assert again.count() == len({chunk.id for chunk in corpus if chunk.document_id != "d3"} | {corpus[3].id})


ODD: dict[str, MetadataValue] = {
    'a "quoted" name': "double",
    "it's": "single",
    "dotted.name.x": 1,
    "with blanks  in it": 2.5,
    " ": "blank",
    "": "empty",
    "back\\slash\\": "slash",
    "list[0]": ["a", "b"],
    "new\nline": True,
    "größe 😀 日本": "ü",
    "x" * 2000: "long",
    "document_id": "not the document's",
    "s": "a kind",
    "value": "ünï \"cödé\" 'q' \\ 日本 😀 \n",
}


def test_odd_field_names_and_values_can_be_stored_and_filtered(open_store: OpenStore, make_chunk: MakeChunk) -> None:
    store = open_store()
    text = "Straße 日本語 😀 \u0000 \u200b e\u0301 …"
    chunk = make_chunk(1, text, "dök 😀", metadata=ODD)
    store.upsert([chunk, make_chunk(2, "plain", "other")], random_vectors(2), AVERAGE)
    store.finish()

    assert store.chunks([chunk.id]) == {chunk.id: chunk}
    assert store.chunks_of("dök 😀") == [chunk]
    for name, value in ODD.items():
        for one in value if isinstance(value, list) else [value]:
            condition = Filter(field=name, eq=one)
            assert store.count([condition]) == 1, name
            assert [hit.chunk_id for hit in store.search(5, random_vectors(1)[0], None, [condition])[0]] == [chunk.id]
            assert store.count([Filter(field=name, eq="something else")]) == 0
    assert [hit.chunk_id for hit in store.search(5, text="STRASSE straße")[1]] == [chunk.id]


@pytest.mark.integration  # 150 fields, each with an index of its own, take seconds
def test_more_fields_than_are_indexed_stay_exact(open_store: OpenStore, make_chunk: MakeChunk) -> None:
    store = open_store()
    chunks = [make_chunk(n, "amber", metadata={f"field {n}": n, "shared": n % 2}) for n in range(150)]
    store.upsert(chunks, random_vectors(150), AVERAGE)
    store.finish()

    for n in (0, 70, 149):
        dense, sparse = store.search(5, random_vectors(1)[0], "amber", [Filter(field=f"field {n}", gte=0)])
        assert [hit.chunk_id for hit in dense] == [hit.chunk_id for hit in sparse] == [chunks[n].id]


def test_vectors_of_other_dimensions_are_refused(open_store: OpenStore, corpus: list[Chunk]) -> None:
    store = open_store()
    filled(store, corpus)

    with pytest.raises(StoreError, match="16"):
        store.search(5, vector=random_vectors(1, 8)[0])
    with pytest.raises(StoreError, match="16"):
        store.upsert(corpus[:1], random_vectors(1, 8), AVERAGE)


@pytest.mark.integration
def test_five_thousand_chunks(open_store: OpenStore, make_chunk: MakeChunk, assert_same_ranking: SameRanking) -> None:
    store = open_store()
    choose = np.random.default_rng(3)
    words = [f"word{n}" for n in range(400)]
    texts = [" ".join(row) for row in choose.choice(words, (5000, 8))]
    chunks = [make_chunk(n, text, f"d{n % 100}") for n, text in enumerate(texts)]
    vectors = random_vectors(5000)
    for begin in range(0, 5000, 512):
        store.upsert(chunks[begin : begin + 512], vectors[begin : begin + 512], AVERAGE)
    store.finish()

    assert store.count() == 5000
    assert sum(1 for _ in store.iter_chunks()) == 5000
    asked = random_vectors(1, seed=9)[0]
    dense, sparse = store.search(100, asked, "word1 word2 word3")
    assert_same_ranking(dense, cosine_ranking(chunks, vectors, asked), 100)
    assert_same_ranking(sparse, bm25_ranking(chunks, "word1 word2 word3"), 100)
