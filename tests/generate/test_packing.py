"""Sentences instead of whole passages in the prompt: near the question, once, in their place, and still citable."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.config.schema import Generation
from ragkit.embed.openai_tokens import count_tokens
from ragkit.generate.citations import resolve
from ragkit.generate.packing import packed_for
from ragkit.generate.prompt import Packed, pack, render_blocks
from ragkit.generate.support import support_score
from ragkit.ingest.sentences import split_sentences
from ragkit.types import Chunk, ScoredChunk

FILLER = "Each part is checked by hand before it leaves the factory in Leeds. "
ANSWER = "The pump of the kettle must be serviced every third year."
QUESTION = "How often must the pump be serviced?"


def scored(*texts: str, page: int | None = None, page_starts: Sequence[int] = ()) -> list[ScoredChunk]:
    chunks = [
        Chunk(
            id=f"c{number}",
            document_id="d",
            text=text,
            start=1000 * number,
            end=1000 * number + len(text),
            token_count=count_tokens(text),
            metadata={"source_document": "a.pdf", **({} if page is None else {"page_number": page})},
            page_starts=tuple(page_starts),
        )
        for number, text in enumerate(texts)
    ]
    return [ScoredChunk(chunk, 1.0 - number / 100, {}) for number, chunk in enumerate(chunks)]


def packed(results: Sequence[ScoredChunk], budget: int = 150, question: str = QUESTION) -> Packed:
    config = Generation(packing="sentences", context_chunks=10)
    return packed_for(question, results, config, budget, count_tokens, split_sentences)


def test_the_sentence_that_answers_stays_however_much_stands_around_it_and_however_low_its_passage() -> None:
    results = scored(*[f"{number}. {FILLER * 9}" for number in range(4)], FILLER * 4 + ANSWER + " " + FILLER * 4)
    whole = pack(results, 150, 10, count_tokens, split_sentences)
    assert ANSWER not in render_blocks(whole.chunks)
    found = packed(results)
    assert ANSWER in render_blocks(found.chunks)
    assert found.tokens == count_tokens(render_blocks(found.chunks)) <= 150


def test_a_passage_that_fits_is_read_as_it_is() -> None:
    results = scored(f"{ANSWER} It holds two litres.")
    assert packed(results, 500).chunks == (results[0].chunk,)


def test_what_stands_twice_goes_in_once() -> None:
    found = packed(scored(ANSWER, f"{ANSWER} It holds two litres."), 500)
    assert render_blocks(found.chunks).count(ANSWER) == 1
    assert "two litres" in render_blocks(found.chunks)


@pytest.mark.parametrize(
    "other",
    [
        "The warranty of the lamp X2, which was made in Leeds by hand, is 36 months from the day of sale.",
        "The warranty of the lamp X1, which was made in Leeds by hand, is not 24 months from the day of sale.",
    ],
)
def test_what_differs_in_a_word_is_no_repetition(other: str) -> None:
    one = "The warranty of the lamp X1, which was made in Leeds by hand, is 24 months from the day of sale."
    found = packed(scored(one, other), 1000, "How long is the warranty of the lamp?")
    assert [chunk.text for chunk in found.chunks] == [one, other]


def test_of_two_passages_that_say_the_same_the_better_one_can_be_cited() -> None:
    draft, policy = f"An early draft. {ANSWER}", f"{ANSWER} It was set in 2026."
    [first, *_] = packed(scored(policy, draft), 500).chunks
    assert (first.id, ANSWER in first.text) == ("c0", True)


def test_prose_before_a_table_that_has_no_room_is_read_and_what_is_left_out_is_told() -> None:
    table = "\n".join(f"| part {number} | {number} years |" for number in range(60))
    found = packed(scored(f"{ANSWER}\n\n{table}\n\nEnd of list.", table), 150)
    assert ANSWER in render_blocks(found.chunks)
    assert found.notes == ("1 of 2 passages left out: the prompt has room for 150 tokens of them",)


def test_where_no_word_of_the_question_is_found_passages_are_whole() -> None:
    results = scored("泵每三年必须保养一次。它装两升。", FILLER)
    assert packed(results, 300, "多久保养？").chunks[0] == results[0].chunk


def test_without_the_switch_passages_are_whole() -> None:
    results = scored(FILLER * 20, ANSWER)
    config = Generation()
    assert packed_for(QUESTION, results, config, 2000, count_tokens, split_sentences).chunks[0] == results[0].chunk


def test_documents_stand_by_name_and_place_where_the_config_says_so() -> None:
    results = scored("Three.", "Two.", "One.")[::-1]
    config = Generation(order="document", context_chunks=2)
    chunks = packed_for(QUESTION, results, config, 500, count_tokens, split_sentences).chunks
    assert [chunk.id for chunk in chunks] == ["c1", "c2"], "the best two, in their own order"


def test_a_table_is_one_piece() -> None:
    table = "| part | years |\n|---|---|\n| pump | 3 |\n| seal | 1 |"
    assert packed(scored(FILLER * 30, table), 120, "How many years for the seal?").chunks[-1].text == table


def test_where_not_a_sentence_fits_the_first_passage_is_cut_as_ever() -> None:
    found = packed(scored("word " * 60 + ". " + FILLER), 128)
    assert found.chunks


def test_a_citation_of_a_sentence_points_at_its_characters_and_its_page() -> None:
    text = FILLER * 3 + ANSWER + " " + FILLER * 3
    [result] = scored(text, page=4, page_starts=[len(FILLER)])
    found = packed([result], 100)
    [chunk] = [chunk for chunk in found.chunks if ANSWER in chunk.text]
    assert (chunk.page_number, chunk.page_starts) == (5, ())
    said = f"{ANSWER} [Source: a.pdf, page 5]"
    [citation] = resolve(said, found.chunks, support_score, split_sentences, QUESTION).citations
    assert text[citation.start : citation.end] == citation.quote == ANSWER
    assert (citation.chunk_id, citation.page_number) == ("c0", 5)


sentences = st.lists(st.sampled_from([FILLER.strip(), ANSWER, "It is red.", "Does it float?"]), min_size=1, max_size=6)


@given(st.lists(sentences, min_size=1, max_size=5), st.integers(128, 400))
def test_every_passage_is_the_documents_own_text_and_the_budget_holds(texts: list[list[str]], budget: int) -> None:
    results = scored(*[" ".join(each) for each in texts])
    whole = {result.chunk.id: result.chunk for result in results}
    found = packed(results, budget)
    for chunk in found.chunks:
        origin = whole[chunk.id]
        assert origin.text[chunk.start - origin.start : chunk.end - origin.start] == chunk.text
    places = [(chunk.id, chunk.start) for chunk in found.chunks]
    assert places == sorted(places)
    assert found.tokens <= budget
    assert {chunk.id for chunk in found.chunks}.isdisjoint(chunk.id for chunk in found.dropped)
