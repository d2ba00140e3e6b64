"""A source and what was parsed from it, as one document."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ragkit.ingest.discover import Source
from ragkit.ingest.document import document_id, make_document, metadata_changes, plain_metadata
from ragkit.ingest.parse import Parsed, parse_row
from ragkit.types import Section


def test_the_id_follows_the_name_alone() -> None:
    source = Source("a/b.md", "/docs", Path("/docs/a/b.md"), "hash")
    document = make_document(source, Parsed("text", "text/markdown"))
    assert document.id == document_id("a/b.md") == make_document(source, Parsed("other", "text/plain")).id
    assert document_id("a/b.md") != document_id("a/c.md")
    assert len(document_id("caf\udce9.md")) == 32, "a name that is no text has an id too"


def test_a_file_keeps_what_was_parsed_and_is_titled_by_its_name_if_by_nothing_else() -> None:
    source = Source("a/b.pdf", "/docs", Path("/docs/a/b.pdf"), "hash")
    parsed = Parsed("text", "application/pdf", "Title", (0,), (Section(("A",), 0),), "2026-01-01", ("odd",))
    document = make_document(source, parsed)
    assert (document.title, document.source, document.content_hash) == ("Title", "a/b.pdf", "hash")
    assert (document.pages, document.sections, document.date_created) == (parsed.pages, parsed.sections, "2026-01-01")
    assert make_document(source, Parsed("text", "application/pdf")).title == "b"


def test_a_title_from_a_name_that_is_no_text_can_be_written() -> None:
    source = Source("caf\udce9.md", "/docs", Path("/docs/caf\udce9.md"), "hash")
    make_document(source, Parsed("text", "text/markdown")).title.encode()


def test_a_row_brings_title_date_and_metadata() -> None:
    row: dict[str, Any] = {
        "id": "7",
        "text": "It broke.",
        "title": "Ticket 7",
        "metadata": {"team": "service", "date_created": "2026-02-03", "open": True},
    }
    document = make_document(Source("t.jsonl#7", "/d", Path("/d/t.jsonl"), "hash", 0), parse_row(row))
    assert (document.title, document.date_created) == ("Ticket 7", "2026-02-03")
    assert document.metadata == {"team": "service", "open": True}


def test_a_row_cannot_say_that_it_is_another_document() -> None:
    metadata = {"source_document": "contract.pdf", "folder": "legal", "title": "Ticket 7", "team": "service"}
    row: dict[str, Any] = {"id": "7", "text": "x", "metadata": metadata}
    parsed = parse_row(row)
    document = make_document(Source("t.jsonl#7", "/d", Path("/d/t.jsonl"), "hash", 0), parsed)
    assert (document.source, document.title, document.metadata) == ("t.jsonl#7", "Ticket 7", {"team": "service"})
    assert metadata_changes(parsed.metadata) == [
        'metadata "source_document": left out, since ragkit gives this field itself',
        'metadata "folder": left out, since ragkit gives this field itself',
    ]
    titled = make_document(Source("t.jsonl#7", "/d", Path("/d/t.jsonl"), "h", 0), parse_row({**row, "title": "T"}))
    assert (titled.title, titled.metadata) == ("T", {"team": "service"})


def test_a_row_without_title_has_none() -> None:
    row: dict[str, Any] = {"id": "7", "text": "x", "metadata": None}
    document = make_document(Source("t.jsonl#7", "/d", Path("/d/t.jsonl"), "hash", 0), parse_row(row))
    assert (document.title, document.metadata) == ("", {})


@pytest.mark.parametrize(
    ("given", "plain"),
    [
        ({"a": 1, "b": "x", "c": True, "d": 2.5}, {"a": 1, "b": "x", "c": True, "d": 2.5}),
        ({"a": {"b": {"c": 1}}}, {"a.b.c": 1}),
        ({"a": None, "b": []}, {}),
        ({"tags": ["x", 1, None, {"no": "scalar"}]}, {"tags": ["x", 1]}),
        ({}, {}),
    ],
)
def test_metadata_becomes_scalars_and_lists_of_scalars(given: dict[str, Any], plain: dict[str, Any]) -> None:
    assert plain_metadata(given) == plain


def test_what_a_store_cannot_hold_is_told() -> None:
    given = {
        "a": {"b": [1, float("inf"), float("nan")]},
        "n": [2**63],
        "l": [[1], {"x": 1}],
        "x": {"y": 1},
        "x.y": 2,
        "none": None,
        "ok": [1, "x"],
    }
    assert metadata_changes(given) == [
        'metadata "a.b": NaN and infinity are left out',
        'metadata "n": integers beyond 64 bits are kept as text',
        'metadata "l": lists and objects inside a list are left out',
        'metadata "x.y": said twice, once as an object; the last one is kept',
    ]
