"""Widened passages: the document's own characters, each once, and every hit in one of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.config.schema import Bm25, Filter, Generation
from ragkit.generate.expansion import Evidence, expand
from ragkit.store.qdrant_edge import EdgeStore
from ragkit.types import Chunk, Document, ScoredChunk, Section

SENTENCES = [f"Sentence {number} of the guide." for number in range(30)]
TEXT = "\n\n".join(SENTENCES)
STARTS = [TEXT.index(sentence) for sentence in SENTENCES]
SECTIONS = tuple(Section((f"Part {number}",), STARTS[number]) for number in range(0, 30, 6))
DOCUMENT = Document("d", TEXT, "d.md", "text/plain", "D", "", pages=(0, STARTS[10], STARTS[20]), sections=SECTIONS)


def chunk(number: int, overlap: bool = False) -> Chunk:
    start = STARTS[max(0, number - overlap)]
    end = STARTS[number] + len(SENTENCES[number])
    page = 1 + max(0, number - overlap) // 10
    metadata: dict[str, Any] = {"source_document": "d.md", "page_number": page}
    begun = tuple(page for page in (STARTS[10], STARTS[20]) if start < page < end)
    identity = f"00000000-0000-0000-0000-{number:012d}"
    return Chunk(identity, "d", TEXT[start:end], start, end, 8, metadata, page_starts=begun)


# Every third chunk repeats the sentence before it.
CHUNKS = [chunk(number, overlap=number % 3 == 2) for number in range(30)]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> EdgeStore:
    store = EdgeStore(tmp_path_factory.mktemp("expansion") / "shard", Bm25())
    store.upsert(CHUNKS, np.ones((30, 2), dtype=np.float32), 5.0)
    store.finish()
    return store


def results(numbers: list[int]) -> list[ScoredChunk]:
    return [ScoredChunk(CHUNKS[number], 1.0 - rank / 100, {}) for rank, number in enumerate(numbers)]


def expanded(store: EdgeStore, numbers: list[int], conditions: Sequence[Filter] = (), **settings: Any) -> Evidence:
    generation = Generation.model_validate({"context_tokens": 3000, **settings})
    return expand(results(numbers), generation, store, {"d": DOCUMENT}.get, conditions)


@pytest.mark.parametrize("how", ["window", "parent"])
def test_what_is_added_meets_the_filters(store: EdgeStore, how: str) -> None:
    """Chunks 10 and 11 are on page 2, and chunk 11 begins with the sentence before it."""
    first_page = [Filter(field="page_number", eq=1)]
    free = expanded(store, [9], expand=how, expand_by=2)
    bound = expanded(store, [9], first_page, expand=how, expand_by=2)
    assert free.passages[0].chunk.end > STARTS[10]
    assert bound.passages[0].chunk.end == CHUNKS[9].end
    assert bound.passages[0].chunk.start == free.passages[0].chunk.start


def spans(evidence: Evidence) -> list[tuple[str, str]]:
    """First and last sentence of each passage, by number."""
    words = [passage.chunk.text.split() for passage in evidence.passages]
    return [(text[1], text[-4]) for text in words]


@given(
    numbers=st.lists(st.integers(0, 29), unique=True, max_size=8),
    expand_=st.sampled_from(["none", "window", "parent"]),
    by=st.integers(1, 4),
    tokens=st.sampled_from([128, 200, 3000]),
)
def test_a_passage_is_exactly_the_documents_text_and_no_hit_is_lost(
    store: EdgeStore, numbers: list[int], expand_: str, by: int, tokens: int
) -> None:
    evidence = expanded(store, numbers, expand=expand_, expand_by=by, context_tokens=tokens)
    passages = [passage.chunk for passage in evidence.passages]
    for passage in passages:
        assert TEXT[passage.start : passage.end] == passage.text
        for offset in range(passage.start, passage.end, 7):
            assert passage.page_at(offset) == 1 + sum(offset >= page for page in DOCUMENT.pages[1:])
    read = evidence.chunk_ids(passages)
    assert {CHUNKS[number].id for number in numbers} <= set(read)
    assert len(read) == len(set(read))
    # The first is the best hit's, and passages stand in the order of the best hit of each.
    order = [CHUNKS[number].id for number in numbers]
    assert [order.index(passage.id) for passage in passages] == sorted(order.index(p.id) for p in passages)


def test_off_means_what_was_found(store: EdgeStore) -> None:
    assert expanded(store, [4, 2]).passages == results([4, 2])


def test_a_window_takes_the_chunks_beside_and_stops_at_the_ends(store: EdgeStore) -> None:
    assert spans(expanded(store, [13, 0], expand="window")) == [("12", "14"), ("0", "1")]
    assert spans(expanded(store, [13], expand="window", expand_by=3)) == [("10", "16")]


def test_a_parent_is_the_whole_section(store: EdgeStore) -> None:
    assert spans(expanded(store, [14], expand="parent")) == [("12", "17")]


def test_a_passage_takes_no_more_than_its_share_of_the_prompt(store: EdgeStore) -> None:
    evidence = expanded(store, [14], expand="parent", context_tokens=128, context_chunks=5)
    assert evidence.passages[0].chunk.token_count <= 128 // 5
    assert len(evidence.parts[CHUNKS[14].id]) == 3


def test_passages_that_meet_become_one_in_the_place_of_the_best(store: EdgeStore) -> None:
    evidence = expanded(store, [20, 5, 2], expand="window")
    assert spans(evidence) == [("19", "21"), ("1", "6")]
    assert evidence.passages[1].chunk.id == CHUNKS[5].id


def test_a_passage_that_was_cut_holds_only_the_chunks_that_begin_in_it(store: EdgeStore) -> None:
    evidence = expanded(store, [13], expand="window")
    cut = chunk(12)
    shortened = Chunk(CHUNKS[13].id, "d", cut.text, cut.start, cut.end, 8, cut.metadata)
    assert evidence.chunk_ids([shortened]) == (CHUNKS[12].id,)


def test_a_quote_is_in_the_chunk_that_has_all_of_it(store: EdgeStore) -> None:
    evidence = expanded(store, [13], expand="window")
    for number in (12, 13):
        start = STARTS[number]
        assert evidence.chunk_id_at(CHUNKS[13].id, start, start + 10) == CHUNKS[number].id


def test_a_document_that_changed_meanwhile_is_read_as_it_was_found(store: EdgeStore) -> None:
    changed = Document("d", "x" + TEXT, "d.md", "text/plain", "D", "")
    generation = Generation(expand="window")
    for document in (changed, None):
        assert expand(results([4, 9]), generation, store, {"d": document}.get).passages == results([4, 9])


def test_an_answer_names_the_chunks_of_its_prompt_and_quotes_the_document(tmp_path: Path) -> None:
    from ragkit.config.schema import Config
    from ragkit.system import Ragkit

    (tmp_path / "guide.md").write_text(
        "# Pump\n\n" + "\n\n".join(f"Pump model {n} has a pressure of {n + 3} bar and a valve." for n in range(40)),
        encoding="utf-8",
    )
    given = {
        "ingestion": {
            "chunking": {"chunk_size": 40, "overlap": 0, "strategy": "fixed_size"},
            "store": {"path": tmp_path / "index"},
        },
        "retrieval": {"top_k": 3, "feedback": {"method": "rm3"}, "transforms": ["acronyms", "multi_query"]},
        "generation": {"expand": "window", "refusal": {"min_confidence": 0.0}},
    }
    with Ragkit(Config.model_validate(given)) as rag:
        rag.index(tmp_path / "guide.md")
        answer = rag.ask("Which pressure has pump model 17?")
        document = rag.document("guide.md")
        assert document is not None
        assert answer.citations
        assert len(answer.context) > len(answer.results)
        assert {result.chunk.id for result in answer.results} <= set(answer.context)
        chunks = rag.snapshot().store.chunks(list(answer.context))
        for citation in answer.citations:
            assert document.text[citation.start : citation.end] == citation.quote
            assert chunks[citation.chunk_id].start <= citation.start < chunks[citation.chunk_id].end
