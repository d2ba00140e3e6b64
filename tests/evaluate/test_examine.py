"""What becomes of a citation when it is looked up."""

from __future__ import annotations

import pytest

from ragkit.evaluate.examine import stands
from ragkit.types import Citation, Document

TEXT = "It is hot. It is cold."


@pytest.mark.parametrize(
    ("pages", "page", "quote", "expected"),
    [
        ((0, 11), 2, "It is cold.", True),
        ((0, 11), 1, "It is cold.", False),
        ((0, 11), None, "It is cold.", False),
        ((), None, "It is cold.", True),
        ((), None, "It is wet, ", False),
    ],
)
def test_a_citation_stands_at_its_characters_on_its_page(
    pages: tuple[int, ...], page: int | None, quote: str, expected: bool
) -> None:
    document = Document(
        id="d", text=TEXT, source="a.pdf", media_type="application/pdf", title="", content_hash="", pages=pages
    )
    citation = Citation(
        chunk_id="c",
        document_id="d",
        source_document="a.pdf",
        page_number=page,
        section_heading=None,
        start=11,
        end=11 + len("It is cold."),
        quote=quote,
        support=1.0,
        answer_start=0,
        answer_end=1,
    )
    assert stands(citation, document) is expected
