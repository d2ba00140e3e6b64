"""Chunks: exact, complete, within the budget, cut where a reader would cut."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from itertools import pairwise
from typing import Literal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ragkit.config.schema import Chunking, Embedding
from ragkit.embed import make_token_counter
from ragkit.embed.models import model_folder
from ragkit.embed.static import StaticSentenceEncoder
from ragkit.embed.tokens import ModelTokens, TokenCounter
from ragkit.ingest.chunk import chunk_document, contextual_header
from ragkit.ingest.headings import section_at
from ragkit.ingest.parse import parse_text
from ragkit.ingest.sentences import split_units
from ragkit.types import Chunk, Document

Strategy = Literal["semantic", "recursive", "fixed_size"]
STRATEGIES: tuple[Strategy, ...] = ("semantic", "recursive", "fixed_size")
LONGEST_PIECE = 24
"""Characters per token of budget beyond which even a piece of few tokens is cut (one word of many letters)."""


@cache
def minilm() -> TokenCounter:
    return make_token_counter(Embedding())


@cache
def encoder() -> StaticSentenceEncoder:
    folder = model_folder("all-MiniLM-L6-v2")
    return StaticSentenceEncoder(folder, ModelTokens(folder, 256))


def markdown(text: str, title: str = "", pages: tuple[int, ...] = ()) -> Document:
    return Document(
        id="document",
        text=text,
        source="manual.md",
        media_type="text/markdown",
        title=title,
        content_hash="0",
        pages=pages,
        sections=parse_text(text, "text/markdown").sections,
    )


def cut(document: Document, chunking: Chunking) -> list[Chunk]:
    return chunk_document(document, chunking, minilm(), encoder())


PARTS = st.sampled_from(
    [
        "Dr. Smith weighs approx. 3.5 kg of salt. ",
        "Then he stops! ",
        "Does it? ",
        "word ",
        "\n",
        "\n\n",
        "\r\n",
        "\t",
        " ",
        "# Title\n\n",
        "## Part\n",
        "Underlined\n==========\n\n",
        "- an item\n- another\n",
        "1) first\n",
        "| a | b |\n| - | - |\n| 1 | 2 |\n",
        "```\nx = 1\n",
        "```\n",
        "~~~\n",
        "日本語の文章です。",
        "한국어 문장입니다. ",
        "שלום עולם. ",
        "مرحبا بالعالم؟ ",
        "👩‍👩‍👧‍👦",
        "e\u0301\u0302",
        "\u200b",
        "\u00a0",
        "\u2028",
        "\x85",
        "\x0c",
        "\x1c",
        "\x00",
        "\U0001d4d0\U0010ffff",
    ]
)
LONG_WORDS = st.tuples(st.sampled_from(["x", "qzxjk", "é", "漢"]), st.integers(1, 400)).map(
    lambda made: made[0] * made[1]
)
ANY_TEXT = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=60)
TEXTS = st.lists(st.one_of(PARTS, PARTS, PARTS, LONG_WORDS, ANY_TEXT), max_size=40).map("".join)
CHUNKINGS = st.builds(
    Chunking,
    strategy=st.sampled_from(STRATEGIES),
    chunk_size=st.sampled_from([16, 17, 24, 40, 100]),
    overlap=st.integers(0, 15),
    contextual_header=st.booleans(),
    header_tokens=st.sampled_from([0, 1, 4, 32]),
    window=st.integers(1, 4),
)


@st.composite
def documents(draw: st.DrawFn) -> Document:
    text = draw(TEXTS)
    title = draw(st.sampled_from(["", "A manual", "Title", "An exceedingly long title " * 4]))
    starts = draw(st.lists(st.integers(1, max(1, len(text))), max_size=4, unique=True))
    pages = (0, *sorted(starts)) if draw(st.booleans()) else ()
    return markdown(text, title, pages)


class TestEveryDocument:
    """Whatever the text, the strategy and the budget."""

    @given(documents(), CHUNKINGS)
    def test_a_chunk_is_exactly_the_text_between_its_offsets(self, document: Document, chunking: Chunking) -> None:
        for chunk in cut(document, chunking):
            assert chunk.text == document.text[chunk.start : chunk.end]
            assert chunk.text == chunk.text.strip()
            assert chunk.document_id == document.id

    @given(documents(), CHUNKINGS)
    def test_only_white_space_is_left_out(self, document: Document, chunking: Chunking) -> None:
        reached = 0
        for chunk in cut(document, chunking):
            assert not document.text[reached : chunk.start].strip()
            assert chunk.end > reached, "chunks come in reading order, each with something new"
            reached = chunk.end
        assert not document.text[reached:].strip()

    @settings(max_examples=150)
    @given(documents(), CHUNKINGS)
    @example(markdown("x" * 450), Chunking(strategy="fixed_size", chunk_size=16, overlap=0))
    @example(markdown("a\x0cb\x1cc\x85" * 60), Chunking(strategy="recursive", chunk_size=16, overlap=0))
    def test_no_chunk_exceeds_the_budget(self, document: Document, chunking: Chunking) -> None:
        for chunk in cut(document, chunking):
            assert chunk.token_count == minilm().count(chunk.text) <= chunking.chunk_size

    @settings(max_examples=150)
    @given(documents(), CHUNKINGS)
    def test_no_chunk_cuts_a_unit_that_fits_the_budget(self, document: Document, chunking: Chunking) -> None:
        whole: list[tuple[int, int]] = []
        headings = [section.offset for section in document.sections]
        for unit in split_units(document.text):
            fits = minilm().count(document.text[unit.start : unit.end]) <= chunking.chunk_size
            short = unit.end - unit.start <= chunking.chunk_size * LONGEST_PIECE
            # A heading may begin within a unit where the splitter ran it into the line before.
            if fits and short and not any(unit.start < offset < unit.end for offset in headings):
                whole.append((unit.start, unit.end))
        for chunk in cut(document, chunking):
            assert not [unit for unit in whole if unit[0] < chunk.start < unit[1] or unit[0] < chunk.end < unit[1]]

    @settings(max_examples=120)
    @given(documents(), CHUNKINGS)
    @example(markdown("...\x1c" + "\u200b. " * 40), Chunking(strategy="recursive", chunk_size=16, overlap=0))
    def test_chunks_overlap_by_few_tokens_and_within_a_section(self, document: Document, chunking: Chunking) -> None:
        for before, after in pairwise(cut(document, chunking)):
            assert after.start > before.start
            if after.start < before.end:
                assert minilm().count(document.text[after.start : before.end]) <= chunking.overlap
                if chunking.strategy != "fixed_size":
                    assert section_at(document.sections, after.start) == section_at(document.sections, before.end)

    @given(documents(), CHUNKINGS)
    def test_ids_are_distinct_and_the_same_each_time(self, document: Document, chunking: Chunking) -> None:
        ids = [chunk.id for chunk in cut(document, chunking)]
        assert len(set(ids)) == len(ids)
        assert [chunk.id for chunk in cut(document, chunking)] == ids
        assert not set(ids) & {chunk.id for chunk in cut(replace(document, id="another"), chunking)}

    @given(documents(), CHUNKINGS)
    def test_the_header_is_short_and_stands_beside_the_text(self, document: Document, chunking: Chunking) -> None:
        for chunk in cut(document, chunking):
            assert minilm().count(chunk.header) <= chunking.header_tokens
            assert chunking.contextual_header or not chunk.header
            assert chunk.indexed_text == (f"{chunk.header}\n{chunk.text}" if chunk.header else chunk.text)
            if chunk.header:
                assert not chunk.text.casefold().startswith(chunk.header.casefold()), "said twice"

    @given(documents(), CHUNKINGS)
    def test_pages_are_those_of_the_document(self, document: Document, chunking: Chunking) -> None:
        for chunk in cut(document, chunking):
            if not document.pages:
                assert chunk.page_number is None
                assert chunk.page_starts == ()
                continue
            assert chunk.page_starts == tuple(p for p in document.pages if chunk.start < p < chunk.end)
            for offset in range(chunk.start, chunk.end):
                assert chunk.page_at(offset) == bisect_right(document.pages, offset)
            last = chunk.page_at(chunk.end - 1)
            assert chunk.metadata.get("page_end", chunk.page_number) == last

    @given(documents(), CHUNKINGS)
    def test_the_section_heading_is_the_trail_above_the_first_character(
        self, document: Document, chunking: Chunking
    ) -> None:
        for chunk in cut(document, chunking):
            section = section_at(document.sections, chunk.start)
            assert chunk.section_heading == (" > ".join(section.path) if section else None)

    @settings(max_examples=150)
    @given(documents(), CHUNKINGS.filter(lambda chunking: chunking.strategy != "fixed_size"))
    def test_no_heading_is_parted_from_what_it_heads(self, document: Document, chunking: Chunking) -> None:
        """Unless nothing but headings would be left of the chunk."""
        headings = {section.offset for section in document.sections}
        starts = [unit.start for unit in split_units(document.text)]
        chunks = cut(document, chunking)
        for before, chunk, after in zip([None, *chunks], chunks, [*chunks[1:], None], strict=False):
            fresh = before.end if before else 0
            inside = [start for start in starts if max(chunk.start, fresh) <= start < chunk.end]
            if after is not None and inside and inside[-1] in headings:
                assert all(start in headings for start in inside)

    @given(documents(), CHUNKINGS)
    def test_the_metadata_is_the_documents_and_the_place(self, document: Document, chunking: Chunking) -> None:
        document = replace(document, metadata={"team": "service"}, date_created="2026-01-02")
        for chunk in cut(document, chunking):
            assert chunk.source_document == "manual.md"
            assert chunk.metadata["team"] == "service"
            assert chunk.metadata["title"] == document.title
            assert chunk.metadata["date_created"] == "2026-01-02"


@pytest.mark.parametrize("text", ["", " ", "\n\n\t\n", "\u3000\u2028\x85"])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_text_of_white_space_has_no_chunks(text: str, strategy: Strategy) -> None:
    assert cut(markdown(text), Chunking(strategy=strategy)) == []


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_short_text_is_one_chunk(strategy: Strategy) -> None:
    [chunk] = cut(markdown("\n One sentence. Another one.\n"), Chunking(strategy=strategy))
    assert (chunk.text, chunk.start, chunk.end) == ("One sentence. Another one.", 2, 28)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize(
    "sentence",
    [
        "Dr. A. Smith of the U.S. office weighed approx. 3.5 kg of salt at 5 p.m. on Monday.",
        "See Fig. 3.2 and Sec. 4 for the tolerance of 0.05 mm, e.g. at 20.5 degrees.",
        "Use version 2.10.3 from https://example.com/a.b?c=d. It is there.",
    ],
)
def test_abbreviations_decimals_and_addresses_do_not_end_a_sentence(strategy: Strategy, sentence: str) -> None:
    text = " ".join(f"The pump number {n} runs well. {sentence}" for n in range(12))
    longest = max(minilm().count(text[unit.start : unit.end]) for unit in split_units(text))
    for chunk in cut(markdown(text), Chunking(strategy=strategy, chunk_size=max(40, longest), overlap=0)):
        first_words = ("The pump", "Dr. A.", "See Fig.", "Use version", "It is there")
        assert chunk.text.startswith(first_words)
        assert chunk.text.endswith(("well.", "Monday.", "degrees.", "c=d.", "there."))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_list_items_and_lines_of_code_stay_whole(strategy: Strategy) -> None:
    items = "\n".join(f"- Item {n}: tighten the screw to {n} Nm, then check" for n in range(30))
    code = "```\n" + "\n".join(f"set_limit(channel={n}, high=8.{n}, low=2.{n})" for n in range(30)) + "\n```"
    text = f"Do this:\n\n{items}\n\n{code}\n"
    for chunk in cut(markdown(text), Chunking(strategy=strategy, chunk_size=60, overlap=0)):
        for line in chunk.text.splitlines():
            assert line in text.splitlines()


def prose(topic: str, sentences: int) -> str:
    return " ".join(f"The {topic} number {n} is checked every morning by the staff." for n in range(sentences))


@pytest.mark.parametrize("strategy", ["semantic", "recursive"])
def test_a_table_stays_with_its_caption_where_both_fit(strategy: Strategy) -> None:
    table = "| Part | Torque |\n| --- | --- |\n| Lid | 3 Nm |\n| Base | 5 Nm |"
    caption = "Table 2: Torques of the housing."
    text = f"{prose('pump', 7)}\n\n{caption}\n\n{table}\n\n{prose('valve', 7)}"
    chunks = cut(markdown(text), Chunking(strategy=strategy, chunk_size=120, overlap=0))
    [holder] = [chunk for chunk in chunks if "| Lid | 3 Nm |" in chunk.text]
    assert table in holder.text
    assert caption in holder.text


@pytest.mark.parametrize("strategy", ["semantic", "recursive"])
def test_a_section_that_fits_is_one_chunk(strategy: Strategy) -> None:
    text = "\n\n".join(f"## {topic}\n\n{prose(topic, 4)}" for topic in ("Pump", "Valve", "Sensor"))
    chunks = cut(markdown(text), Chunking(strategy=strategy, chunk_size=100, overlap=20))
    assert [chunk.section_heading for chunk in chunks] == ["Pump", "Valve", "Sensor"]
    assert [chunk.text.splitlines()[0] for chunk in chunks] == ["## Pump", "## Valve", "## Sensor"]


@pytest.mark.parametrize("strategy", ["semantic", "recursive"])
def test_a_heading_goes_with_a_long_sentence_below_it(strategy: Strategy) -> None:
    long = "It " + " ".join(["very"] * 90) + " much depends."
    text = f"A short start.\n\n## Depends\n\n{long}\n\n## End\n\nDone."
    chunks = cut(markdown(text), Chunking(strategy=strategy, chunk_size=100, overlap=0))
    assert [chunk.text.split("\n")[0] for chunk in chunks] == ["A short start.", "## Depends", "## End"]


def test_semantic_cuts_where_the_topic_turns() -> None:
    cooking = "Boil the soup with salt and pepper. Add onions and carrots to the pot. Stir the broth with a spoon. "
    banking = "The bank raised its interest rate. Loans and mortgages became dear. Investors sold their bonds. "
    text = cooking * 2 + banking * 2
    turn = text.index("The bank")
    size = minilm().count(cooking * 2) + 12
    chunks = cut(markdown(text), Chunking(strategy="semantic", chunk_size=size, overlap=0, window=2))
    assert turn in [chunk.start for chunk in chunks]
    fixed = cut(markdown(text), Chunking(strategy="fixed_size", chunk_size=size, overlap=0))
    assert turn not in [chunk.start for chunk in fixed], "the size alone does not lead there"


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_overlap_repeats_whole_sentences(strategy: Strategy) -> None:
    text = prose("pump", 40)
    chunks = cut(markdown(text), Chunking(strategy=strategy, chunk_size=60, overlap=25))
    assert len(chunks) > 5
    for before, after in pairwise(chunks):
        repeated = text[after.start : before.end]
        assert repeated.startswith("The pump")
        assert repeated.endswith("staff.")


def test_a_sentence_too_long_for_the_budget_is_cut_at_blanks() -> None:
    text = "It " + " ".join(f"word{n}" for n in range(300)) + " ends."
    chunks = cut(markdown(text), Chunking(strategy="recursive", chunk_size=40, overlap=0))
    assert " ".join(chunk.text for chunk in chunks) == text


def test_a_heading_in_the_middle_of_a_page_moves_the_page_with_it() -> None:
    text = f"{prose('pump', 3)}\n\n{prose('valve', 3)}"
    second = text.index("The valve")
    [chunk] = cut(markdown(text, pages=(0, second)), Chunking(strategy="recursive"))
    assert (chunk.page_number, chunk.metadata["page_end"], chunk.page_starts) == (1, 2, (second,))
    assert chunk.page_at(second - 1) == 1
    assert chunk.page_at(second) == 2


class TestHeader:
    """Title and heading trail, the outermost headings dropped first."""

    @pytest.mark.parametrize(
        ("title", "path", "budget", "expected"),
        [
            ("Manual", ("Setup", "Network"), 32, "Manual > Setup > Network"),
            ("Manual", ("manual", "Network"), 32, "manual > Network"),
            ("Manual", ("Setup", "Radio", "Network"), 5, "Manual > Radio > Network"),
            ("Manual", ("Setup", "Radio", "Network"), 3, "Manual > Network"),
            ("Manual", (), 32, "Manual"),
            ("", ("Setup",), 32, "Setup"),
            ("", (), 32, ""),
            ("Manual", ("Setup",), 0, ""),
            ("One two three four five", (), 3, "One two three"),
        ],
    )
    def test_examples(self, title: str, path: tuple[str, ...], budget: int, expected: str) -> None:
        assert contextual_header(title, path, budget, minilm()) == expected

    def test_a_heading_as_long_as_a_book_is_cut_before_its_tokens_are_counted(self) -> None:
        counted: list[int] = []

        class Counter(ModelTokens):
            def count(self, text: str) -> int:
                counted.append(len(text))
                return super().count(text)

        header = contextual_header("", ["lid " * 100_000], 10, Counter(model_folder("all-MiniLM-L6-v2"), 256))
        assert header == " ".join(["lid"] * 10)
        assert max(counted) < 100

    def test_a_title_that_begins_the_text_is_not_said_twice(self) -> None:
        [chunk] = cut(markdown("Manual\n\nIt works.", title="Manual"), Chunking(strategy="recursive"))
        assert chunk.header == ""

    def test_another_header_makes_another_id(self) -> None:
        ids = {cut(markdown("It works.", title), Chunking(strategy="recursive"))[0].id for title in ("A", "B")}
        assert len(ids) == 2


def test_each_strategy_reads_a_long_text_quickly(record_property: Callable[[str, object], None]) -> None:
    """Chunking is linear: forty times the text costs no more than a hundred times the time."""
    import time

    seconds: list[float] = []
    for repeats in (5, 200):
        document = markdown("\n\n".join(f"## Part {n}\n\n{prose('pump', 8)}" for n in range(repeats)))
        began = time.perf_counter()
        cut(document, Chunking(strategy="semantic", chunk_size=100, overlap=20))
        seconds.append(time.perf_counter() - began)
    record_property("seconds", seconds)
    assert seconds[1] < max(seconds[0], 0.02) * 100
