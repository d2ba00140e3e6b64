"""The stores' sparse search ranks as `rank_bm25` does, on real text, and goes on doing so through edits."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ragkit.config.schema import Bm25
from ragkit.errors import ConfigError
from ragkit.retrieve.rank_bm25 import RankBm25
from ragkit.store import Hit, StoreWriter
from ragkit.store.bm25 import LANGUAGES, Bm25Encoder, check_language, rounded_average_length
from ragkit.store.qdrant_edge import EdgeStore
from ragkit.types import Chunk

pytestmark = [
    pytest.mark.filterwarnings("ignore:Payload indexes have no effect:UserWarning"),
    pytest.mark.filterwarnings("ignore:Local mode:UserWarning"),
]

EVAL = Path(__file__).parents[2] / "eval"
QUESTIONS = [
    json.loads(line)["question"] for line in (EVAL / "samples_questions.jsonl").read_text(encoding="utf-8").splitlines()
]

MakeChunk = Callable[..., Chunk]
SameRanking = Callable[[Sequence[Hit], Sequence[Hit], int], None]


@pytest.fixture
def corpus(make_chunk: MakeChunk) -> list[Chunk]:
    """The plain-text files of the samples, raw, a chunk a paragraph or table row or tag."""
    chunks: list[Chunk] = []
    for path in sorted((EVAL / "samples").rglob("*")):
        if path.suffix in (".md", ".txt", ".html", ".eml"):
            pieces = re.split(r"\n\s*\n|\n(?=[|<#-])", path.read_text(encoding="utf-8"))
            chunks += [
                make_chunk(len(chunks) + n, piece, path.name, header=path.stem if n % 3 == 0 else "")
                for n, piece in enumerate(pieces)
            ]
    return chunks


def average_of(chunks: Sequence[Chunk]) -> float:
    encoder = Bm25Encoder(Bm25())
    return rounded_average_length(sum(sum(encoder.terms(chunk.indexed_text).values()) for chunk in chunks), len(chunks))


def vectors_for(chunks: Sequence[Chunk]) -> NDArray[np.float32]:
    return np.ones((len(chunks), 4), dtype=np.float32)


def assert_agreement(store: StoreWriter, chunks: Sequence[Chunk], same: SameRanking, average: float) -> None:
    reference = RankBm25(chunks, Bm25(), average)
    answered = 0
    for question in QUESTIONS:
        expected = reference.search(question, len(chunks))
        same(store.search(10, text=question)[1], expected, 10)
        answered += len(expected) >= 10
    assert answered >= 45


def test_the_corpus_is_worth_testing_on(corpus: list[Chunk]) -> None:
    assert len(corpus) >= 300
    assert len(set(QUESTIONS)) >= 60
    encoder = Bm25Encoder(Bm25())
    lengths = [sum(encoder.terms(chunk.indexed_text).values()) for chunk in corpus]
    assert min(lengths) == 0, "a chunk without terms is among them"
    assert max(lengths) > 10 * (sum(lengths) / len(lengths))
    held = Counter(term for chunk in corpus for term in encoder.terms(chunk.indexed_text))
    assert max(held.values()) > 20


@pytest.mark.integration
def test_the_top_ten_are_those_of_rank_bm25_through_edits(
    open_store: Callable[[], StoreWriter], corpus: list[Chunk], assert_same_ranking: SameRanking
) -> None:
    store = open_store()
    average = average_of(corpus)
    store.upsert(corpus, vectors_for(corpus), average)
    store.finish()
    assert_agreement(store, corpus, assert_same_ranking, average)

    documents = sorted({chunk.document_id for chunk in corpus})
    store.delete_documents(documents[::3])
    store.finish()
    left = [chunk for chunk in corpus if chunk.document_id not in documents[::3]]
    assert 0 < len(left) < len(corpus)
    assert_agreement(store, left, assert_same_ranking, average)

    # Every other chunk gets the text of the one before it: terms come and go in place.
    updated = [dataclasses.replace(chunk, text=left[n - 1].text) if n % 2 else chunk for n, chunk in enumerate(left)]
    store.upsert(updated, vectors_for(updated), average)
    store.finish()
    assert_agreement(store, updated, assert_same_ranking, average)

    average = average_of(updated)
    store.reweigh(average)
    store.finish()
    assert_agreement(store, updated, assert_same_ranking, average)
    assert_agreement(open_store(), updated, assert_same_ranking, average)


def test_every_way_to_a_corpus_gives_the_same_scores(
    tmp_path: Path, corpus: list[Chunk], assert_same_ranking: SameRanking
) -> None:
    straight = EdgeStore(tmp_path / "straight", Bm25())
    straight.upsert(corpus[:200], vectors_for(corpus[:200]), 20.0)
    straight.finish()
    winding = EdgeStore(tmp_path / "winding", Bm25())
    for chunk in reversed(corpus):
        other = dataclasses.replace(chunk, text="something else entirely")
        winding.upsert([other], vectors_for([other]), 5.0)
    winding.finish()
    late = {chunk.document_id for chunk in corpus[200:]}
    winding.delete_documents(sorted(late))
    winding.upsert(corpus[:200], vectors_for(corpus[:200]), 9.0)
    winding.reweigh(20.0)
    winding.finish()

    assert straight.count(vector="bm25") == winding.count(vector="bm25")
    for question in QUESTIONS:
        expected = straight.search(200, text=question)[1]
        assert_same_ranking(winding.search(200, text=question)[1], expected, 200)
    straight.close()
    winding.close()


def test_rank_bm25_is_the_written_formula(make_chunk: MakeChunk) -> None:
    chunks = [make_chunk(1, "pump pump valve"), make_chunk(2, "valve"), make_chunk(3, "the")]

    hits = RankBm25(chunks, Bm25(k1=1.2, b=0.75), 2.0).search("pump pump", 10)

    # N = 2, as the third chunk has no term; n = 1; tf = 2; |d| = 3.
    idf = math.log(1 + (2 - 1 + 0.5) / (1 + 0.5))
    assert [hit.chunk_id for hit in hits] == [chunks[0].id]
    assert hits[0].score == pytest.approx(idf * 2 * 2.2 / (2 + 1.2 * (0.25 + 0.75 * 3 / 2)))


def test_a_term_in_every_chunk_still_counts_above_zero(make_chunk: MakeChunk) -> None:
    """Okapi's own idf is negative here, and the floor of the package would be too."""
    chunks = [make_chunk(n, "pump") for n in range(3)]

    hits = RankBm25(chunks, Bm25(), 1.0).search("pump", 10)

    assert [hit.score for hit in hits] == [pytest.approx(math.log(1 + 0.5 / 3.5))] * 3


def test_rank_bm25_breaks_ties_by_id_and_keeps_the_limit(make_chunk: MakeChunk) -> None:
    chunks = [make_chunk(n, "pump") for n in range(9)]

    found = [hit.chunk_id for hit in RankBm25(chunks, Bm25()).search("pump", 4)]

    assert found == sorted(chunk.id for chunk in chunks)[:4]


def test_rank_bm25_of_nothing_finds_nothing(make_chunk: MakeChunk) -> None:
    assert RankBm25([], Bm25()).search("pump", 5) == []
    assert RankBm25([make_chunk(1, "the of")], Bm25()).search("pump", 5) == []
    assert RankBm25([make_chunk(1, "valve")], Bm25()).search("", 5) == []


def test_terms_are_counted_stems_without_stop_words() -> None:
    encoder = Bm25Encoder(Bm25())

    assert sorted(encoder.terms("The pumps, a PUMP and pumping: of the valve").values()) == [1, 3]
    assert encoder.terms("The pumps").keys() == encoder.terms("pumping").keys()
    assert encoder.terms("the of and") == {}


@given(st.lists(st.sampled_from(["pump", "valve", "seal", "the", "of"]), max_size=300))
def test_terms_are_counted_exactly(words: list[str]) -> None:
    counted = Bm25Encoder(Bm25()).terms(" ".join(words))

    expected = Counter(word for word in words if word not in ("the", "of"))
    assert sorted(counted.values()) == sorted(expected.values())


def test_a_language_that_the_tokenizer_does_not_know_is_refused() -> None:
    with pytest.raises(ConfigError, match="klingon"):
        Bm25Encoder(Bm25(language="klingon"))


def test_the_tokenizer_knows_every_language_that_is_listed() -> None:
    for language in LANGUAGES:
        check_language(language)


@given(st.integers(1, 10**9), st.integers(1, 10**6))
def test_the_rounded_average_is_within_one_step_of_the_average(terms: int, chunks: int) -> None:
    assert rounded_average_length(terms, chunks) / (terms / chunks) == pytest.approx(1, abs=0.025)


def test_the_average_of_nothing_is_one() -> None:
    assert rounded_average_length(0, 5) == rounded_average_length(0, 0) == 1.0
