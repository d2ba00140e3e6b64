"""The index's list of documents: one SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ragkit.store.manifest import Manifest
from ragkit.types import Document, Section

DOCUMENT = Document(
    id="1",
    text="Größe 👩 \ud800 \x00 end",
    source="a/b.pdf",
    media_type="application/pdf",
    title="Title",
    content_hash="hash",
    pages=(0, 5),
    sections=(Section(("A",), 0), Section(("A", "B"), 5)),
    date_created="2026-01-02",
    metadata={"tags": ["x", 1], "n": 1.5, "flag": True},
)


@pytest.fixture
def manifest(tmp_path: Path) -> Iterator[Manifest]:
    opened = Manifest(tmp_path / "manifest.sqlite")
    yield opened
    opened.close()


def test_a_document_comes_back_as_it_was(manifest: Manifest) -> None:
    manifest.begin([(DOCUMENT, "/docs")], {"1": (3, 30, 20)})
    assert manifest.document("1") == DOCUMENT
    assert manifest.document("2") is None


def test_a_document_counts_once_it_is_done(manifest: Manifest) -> None:
    manifest.begin(
        [(DOCUMENT, "/docs"), (replace(DOCUMENT, id="2", source="c.md"), "/docs")], {"1": (3, 30, 20), "2": (1, 5, 4)}
    )
    assert manifest.totals() == (0, 0, 0, 0)
    manifest.set_state(["1"], "done")
    assert manifest.totals() == (1, 3, 30, 20)
    manifest.set_state(["2"], "done")
    assert manifest.totals() == (2, 4, 35, 24)
    manifest.set_state(["1"], "deleting")
    assert manifest.totals() == (1, 1, 5, 4)
    manifest.remove(["1"])
    assert [entry.name for entry in manifest.entries()] == ["c.md"]


def test_entries_come_by_name_with_their_counts(manifest: Manifest) -> None:
    for identity, name in (("1", "b.md"), ("2", "a.md")):
        manifest.begin([(replace(DOCUMENT, id=identity, source=name), "/docs")], {identity: (3, 30, 20)})
    entries = list(manifest.entries())
    assert [entry.name for entry in entries] == ["a.md", "b.md"]
    entry = entries[0]
    assert (entry.root, entry.pages, entry.chunks, entry.tokens, entry.terms, entry.state) == (
        "/docs",
        2,
        3,
        30,
        20,
        "pending",
    )
    assert manifest.find("a.md") == entry
    assert manifest.find("missing.md") is None


def test_beginning_a_document_anew_replaces_it(manifest: Manifest) -> None:
    manifest.begin([(DOCUMENT, "/docs")], {"1": (3, 30, 20)})
    manifest.set_state(["1"], "done")
    manifest.begin([(replace(DOCUMENT, text="new"), "/other")], {"1": (1, 2, 3)})
    [entry] = manifest.entries()
    assert (entry.state, entry.root, entry.chunks) == ("pending", "/other", 1)


def test_a_batch_is_written_whole_or_not_at_all(manifest: Manifest) -> None:
    second = replace(DOCUMENT, id="2", source="c.md")
    with pytest.raises(KeyError):
        manifest.begin([(DOCUMENT, "/docs"), (second, "/docs")], {"1": (1, 1, 1)})
    assert list(manifest.entries()) == []


def test_settings_are_plain_data(manifest: Manifest) -> None:
    assert manifest.meta("settings") is None
    manifest.set_meta("settings", {"a": [1, None, "ü"]})
    manifest.set_meta("settings", {"a": [2]})
    assert manifest.meta("settings") == {"a": [2]}


@pytest.mark.parametrize("mode", ["ro", "immutable"])
def test_a_reader_sees_all_and_changes_nothing(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "with blank #1.sqlite"
    writer = Manifest(path)
    writer.begin([(DOCUMENT, "/docs")], {"1": (3, 30, 20)})
    writer.close()
    reader = Manifest(path, mode="ro" if mode == "ro" else "immutable")
    assert reader.document("1") == DOCUMENT
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader.remove(["1"])
    reader.close()
    assert [file.name for file in tmp_path.iterdir()] == [path.name], "no journal is left beside it"


def test_documents_are_found_by_a_text_of_their_metadata(manifest: Manifest) -> None:
    fields: list[dict[str, object]] = [
        {"tenant": "acme"}, {"tenant": ["acme", "umbrella"]}, {"tenant": 7}, {"tenant": True}, {"tenant.x": "acme"}, {},
    ]  # fmt: skip
    for number, metadata in enumerate(fields):
        document = replace(DOCUMENT, id=str(number), source=f"{number}.md", metadata=metadata)
        manifest.begin([(document, "/docs")], {document.id: (1, 1, 1)})

    def names(value: str, after: str = "", most: int = -1) -> list[str]:
        return [entry.name for entry in manifest.entries_with("tenant", value, after, most)]

    assert names("acme") == ["0.md", "1.md"]
    assert names("umbrella") == ["1.md"]
    assert names("7") == names("true") == names("1") == names("") == []
    assert names("acme", after="0.md") == ["1.md"]
    assert names("acme", most=1) == ["0.md"]
    assert [entry.name for entry in manifest.entries_after("2.md", 2)] == ["3.md", "4.md"]
