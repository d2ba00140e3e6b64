"""The index's list of documents: one SQLite file."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from ragkit.errors import StoreError
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


KILLED = """
import os, signal, sqlite3, sys

database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("PRAGMA cache_size = 1")
database.execute("BEGIN IMMEDIATE")
for key in range(2000):
    database.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (str(key), '"after"'))
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_who_reads_undoes_what_a_killed_writer_had_begun(tmp_path: Path) -> None:
    path = tmp_path / "manifest.sqlite"
    manifest = Manifest(path)
    for key in range(200):
        manifest.set_meta(str(key), "before")
    manifest.close()
    subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
    assert path.with_name("manifest.sqlite-journal").stat().st_size > 0
    reader = Manifest(path, mode="ro")
    assert [reader.meta(key) for key in ("0", "199", "1999")] == ["before", "before", None]
    reader.close()


@pytest.mark.parametrize("mode", ["rw", "ro", "immutable"])
@pytest.mark.parametrize("content", [None, b"", b"no database at all " * 300])
def test_what_is_no_manifest_is_told(
    tmp_path: Path, mode: Literal["rw", "ro", "immutable"], content: bytes | None
) -> None:
    path = tmp_path / "manifest.sqlite"
    if content is not None:
        path.write_bytes(content)
    if mode == "rw" and not content:
        Manifest(path, mode).close()  # it is made
        return
    with pytest.raises(StoreError, match=r"manifest\.sqlite cannot be read: .*run: ragkit index --rebuild PATH"):
        Manifest(path, mode)


def test_damage_that_shows_only_when_it_is_come_to_is_found(tmp_path: Path) -> None:
    path = tmp_path / "manifest.sqlite"
    manifest = Manifest(path)
    for key in range(2000):
        manifest.set_meta(str(key), "before" * 20)
    manifest.check()
    manifest.close()
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2] + b"\xff" * 8192 + content[len(content) // 2 + 8192 :])
    damaged = Manifest(path, mode="ro")
    with pytest.raises(StoreError, match="cannot be read"):
        damaged.check()
    damaged.close()
