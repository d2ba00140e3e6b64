from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ragkit.config.schema import Bm25
from ragkit.evaluate.cases import Case, Evidence
from ragkit.evaluate.gold import GoldFinder, find_quote, holds, overlap, ranges_of
from ragkit.store.bm25 import Bm25Encoder
from ragkit.store.manifest import Manifest
from ragkit.store.qdrant_edge import EdgeStore
from ragkit.types import Chunk, Document

TEXT = "Battery\n\nThe battery lasts 8 hours.\x0c Charge it at 20 °C.\n\n| Country | Share |\n| Canada | 2.4% |\n"
PAGE_2 = TEXT.index("\x0c")


def document(name: str = "guide.pdf", text: str = TEXT, pages: tuple[int, ...] = (0, PAGE_2)) -> Document:
    return Document(id=name, text=text, source=name, media_type="x", title="", content_hash=name, pages=pages)


def chunk(number: int, start: int, end: int, name: str = "guide.pdf", text: str = TEXT) -> Chunk:
    identity = f"00000000-0000-0000-0000-{number:012d}"
    return Chunk(identity, name, text[start:end], start, end, 10, {"source_document": name})


@pytest.mark.parametrize(
    ("quote", "found"),
    [
        ("battery lasts 8 hours", "battery lasts 8 hours"),
        ("BATTERY  LASTS\n8 hours.", "battery lasts 8 hours."),
        ("Canada 2.4%", "Canada | 2.4%"),
        ("hours. Charge", "hours.\x0c Charge"),
        ("9 hours", None),
        ("  ", None),
    ],
)
def test_a_quote_is_found_whatever_its_white_space_and_marks(quote: str, found: str | None) -> None:
    ranges = find_quote(TEXT, quote)
    assert [TEXT[start:end] for start, end in ranges] == ([found] if found else [])


@pytest.mark.parametrize(
    ("text", "quote", "found"),
    [
        ("It lasts 18 hours. Charging takes 8 hours.", "8 hours", [34]),
        ("It costs 164 euros.", "64 euros", []),
        ("From -5 °C to 15 °C, best at 5 °C.", "5 °C", [29]),
        ("It weighs 1.5 kg or 5 kg.", "5 kg", [20]),
        ("Between 3-5 days.", "5 days", [10]),
        ("In the 1960s it grew.", "1960", [7]),
        ("It was used, as the user says: use.", "use", [31]),
        ("東京都です", "京都", [1]),
    ],
)
def test_numbers_and_words_are_whole(text: str, quote: str, found: list[int]) -> None:
    assert [start for start, _ in find_quote(text, quote)] == found


@given(st.text(), st.text(min_size=1), st.text())
def test_a_part_of_a_text_is_found_in_it(before: str, quote: str, after: str) -> None:
    assume(not re.search(r"[\d.,\-−–‑]", before[-3:] + after[:3]))  # a number may not be cut
    text = before + quote + after
    ranges = find_quote(text, quote)
    assert bool(ranges) == bool(find_quote(quote, quote))
    assert all(0 <= start < end <= len(text) for start, end in ranges)


def test_a_quote_that_stands_twice_is_meant_on_the_labelled_page() -> None:
    twice = document(text="It is hot. It is hot.", pages=(0, 11))
    both = Evidence(document="guide.pdf", quote="It is hot.")
    second = Evidence(document="guide.pdf", quote="It is hot.", pages=(2,))
    assert ranges_of(both, twice) == ((0, 10), (11, 21))
    assert ranges_of(second, twice) == ((11, 21),)


def test_pages_or_a_document_are_places_too() -> None:
    assert ranges_of(Evidence(document="guide.pdf", pages=(2,)), document()) == ((PAGE_2, len(TEXT)),)
    assert ranges_of(Evidence(document="guide.pdf", pages=(3,)), document()) == ()
    assert ranges_of(Evidence(document="guide.pdf"), document()) == ((0, len(TEXT)),)
    assert ranges_of(Evidence(document="guide.pdf", start=2, end=len(TEXT) + 1), document()) == ()


def test_a_chunk_holds_a_place_from_half_of_it_on() -> None:
    assert holds(chunk(1, 0, 20), [(10, 30)])
    assert not holds(chunk(1, 0, 19), [(10, 30)])
    assert holds(chunk(1, 40, 50), [(0, 100)])  # all of the chunk lies in it
    assert not holds(chunk(1, 0, 10), [(10, 12)])
    assert overlap(0, 10, [(5, 7), (9, 20)]) == 3


@pytest.fixture
def finder(tmp_path: Path) -> GoldFinder:
    """An index of the guide, cut behind "lasts", and of two rows of a file."""
    cut = TEXT.index("8 hours")
    rows = {"faq.jsonl#1": "Salt is salty.", "faq.jsonl#2": "Sugar is sweet."}
    chunks = [chunk(1, 0, cut), chunk(2, cut, len(TEXT))]
    chunks += [chunk(3 + n, 0, len(text), name, text) for n, (name, text) in enumerate(rows.items())]
    manifest = Manifest(tmp_path / "manifest.sqlite", mode="rw")
    documents = [document(), *(document(name, text, ()) for name, text in rows.items())]
    manifest.begin([(each, "/") for each in documents], {each.id: (1, 1, 1) for each in documents})
    store = EdgeStore(tmp_path / "shard", Bm25())
    store.upsert(chunks, np.eye(4, 8, dtype=np.float32), 5.0)
    assert Bm25Encoder(Bm25()).terms("salt")
    return GoldFinder(manifest, store)


def test_a_place_is_tied_to_the_chunks_that_hold_it(finder: GoldFinder) -> None:
    evidence = Evidence(document="guide.pdf", quote="Charge it at 20 °C.")
    (place,) = finder.find(Case(id="q", question="?", evidence=(evidence,)))
    assert place.chunks == {"00000000-0000-0000-0000-000000000002"}
    assert (place.found, place.whole, place.pages) == (True, True, (2,))


def test_a_place_that_no_chunk_has_whole_is_cut(finder: GoldFinder) -> None:
    evidence = Evidence(document="guide.pdf", quote="The battery lasts 8 hours.")
    (place,) = finder.find(Case(id="q", question="?", evidence=(evidence,)))
    assert (place.found, place.whole) == (True, False)
    # The cut does no harm where a chunk has the answer itself.
    (place,) = finder.find(Case(id="q", question="?", answers=("battery lasts",), evidence=(evidence,)))
    assert place.whole


def test_what_is_graded_0_is_no_place(finder: GoldFinder) -> None:
    graded = [Evidence(document="faq.jsonl#1", grade=0), Evidence(document="faq.jsonl#2", grade=2)]
    places = finder.find(Case(id="q", question="?", evidence=tuple(graded)))
    assert [place.document for place in places] == ["faq.jsonl#2"]


def test_a_document_may_be_named_by_the_end_of_its_path_or_by_the_file_of_its_rows(finder: GoldFinder) -> None:
    by_path = Evidence(document="handbook/guide.pdf", quote="Battery")
    by_file = Evidence(document="faq.jsonl", quote="Sugar")
    places = finder.find(Case(id="q", question="?", evidence=(by_path, by_file)))
    assert [place.document for place in places] == ["guide.pdf", "faq.jsonl#2"]


def test_what_the_index_lacks_is_not_found(finder: GoldFinder) -> None:
    missing = Evidence(document="other.pdf", pages=(3,))
    elsewhere = Evidence(document="guide.pdf", quote="Pepper is hot.")
    places = finder.find(Case(id="q", question="?", evidence=(missing, elsewhere)))
    assert [(place.document_id, place.found, place.pages) for place in places] == [
        (None, False, (3,)),
        ("guide.pdf", False, ()),
    ]
