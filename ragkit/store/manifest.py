"""What the index holds: one SQLite file with a row a document, and the settings it was built with.

A document is `pending` from before its first chunk reaches the store until all of them are there; whatever is found
pending after a crash is done again.
"""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ragkit.errors import StoreError
from ragkit.types import Document, Section

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS documents (
    id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, root TEXT NOT NULL, content_hash TEXT NOT NULL,
    media_type TEXT NOT NULL, title TEXT NOT NULL, pages TEXT NOT NULL, sections TEXT NOT NULL,
    date_created TEXT, metadata TEXT NOT NULL, text BLOB NOT NULL,
    chunks INTEGER NOT NULL, tokens INTEGER NOT NULL, terms INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('pending', 'done', 'deleting'))
);
CREATE TABLE IF NOT EXISTS failures (
    name TEXT PRIMARY KEY, root TEXT NOT NULL, content_hash TEXT NOT NULL, read_with TEXT NOT NULL, reason TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS waiting (id TEXT PRIMARY KEY);
CREATE INDEX IF NOT EXISTS documents_by_hash ON documents (content_hash);
"""

State = Literal["pending", "done", "deleting"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One document's line: its counts, without its text. `terms` is the number of BM25 terms in its chunks."""

    id: str
    name: str
    root: str
    content_hash: str
    media_type: str
    title: str
    pages: int
    chunks: int
    tokens: int
    terms: int
    state: State


@dataclass(frozen=True, slots=True)
class Failure:
    """A file that could not be read; with the same bytes and the same `read_with` (parser, limits) it cannot again."""

    name: str
    root: str
    content_hash: str
    read_with: str
    reason: str


class Manifest:
    """Reads and writes the file. Every write is one transaction, on disk when the call returns."""

    def __init__(self, path: Path, mode: Literal["rw", "ro", "immutable"] = "rw") -> None:
        """`immutable` is for published files, which never change: no lock, no right to write is needed for this one.
        The store beside it needs it (`ragkit.store.qdrant_edge`). Raises StoreError for a file that is damaged."""
        query = {"rw": "", "ro": "?mode=ro", "immutable": "?mode=ro&immutable=1"}[mode]
        uri = f"{path.resolve().as_uri()}{query}"
        self._path = path
        if mode == "ro":
            _finish_rollback(path)
        with self._readable():
            self._db = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=30)
        try:
            with self._readable():
                if mode == "rw":
                    self._db.execute("PRAGMA journal_mode = DELETE")
                    self._db.execute("PRAGMA synchronous = FULL")
                    self._db.executescript(_SCHEMA)
                self._db.execute("SELECT 1 FROM meta, documents LIMIT 1")
        except StoreError:
            self._db.close()
            raise

    @contextmanager
    def _readable(self) -> Generator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            busy = getattr(error, "sqlite_errorcode", None) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
            mend = "try again when the process that writes it is done" if busy else "run: ragkit index --rebuild PATH"
            raise StoreError(f"{self._path} cannot be read: {error}", mend=mend) from error

    def check(self) -> None:
        """Read all of it. Raises StoreError where a part of it is damaged."""
        with self._readable():
            found = [row[0] for row in self._db.execute("PRAGMA quick_check(1)")]
            if found != ["ok"]:
                raise sqlite3.DatabaseError(" ".join(found))

    def close(self) -> None:
        self._db.close()

    def meta(self, key: str) -> Any:
        """A value by its key, or None."""
        row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return json.loads(row[0]) if row else None

    def set_meta(self, key: str, value: Any) -> None:
        self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, json.dumps(value, sort_keys=True)))

    def entries(self) -> Iterator[Entry]:
        """All documents in the order of their names."""
        return self._entries("ORDER BY name")

    def _entries(self, condition: str, *values: str | int) -> Iterator[Entry]:
        rows = self._db.execute(
            "SELECT id, name, root, content_hash, media_type, title, json_array_length(pages), chunks, tokens, terms,"
            f" state FROM documents {condition}",
            values,
        )
        return (Entry(*row) for row in rows)

    def entries_with(self, field: str, value: str, after: str = "", most: int = -1) -> Iterator[Entry]:
        """Documents whose own metadata has this text in this field (or in its list), in the order of their names, from
        behind `after`; `most` of them, -1 for all."""
        path = f'$."{field}"'
        return self._entries(
            "WHERE name > ? AND EXISTS (SELECT 1 FROM json_each(documents.metadata, ?) AS held"
            " WHERE held.type = 'text' AND held.value = ?) ORDER BY name LIMIT ?",
            *(after, path, value, most),
        )

    def entries_after(self, after: str, most: int) -> Iterator[Entry]:
        """The next `most` documents in the order of their names, from behind `after`."""
        return self._entries("WHERE name > ? ORDER BY name LIMIT ?", after, most)

    def find(self, name: str) -> Entry | None:
        """A document by its exact name."""
        return next(iter(self._entries("WHERE name = ?", name)), None)

    def document(self, document_id: str) -> Document | None:
        """The parsed document with its text."""
        row = self._db.execute(
            "SELECT id, name, media_type, title, content_hash, pages, sections, date_created, metadata, text"
            " FROM documents WHERE id = ?",
            (document_id,),
        ).fetchone()
        if row is None:
            return None
        identity, name, media_type, title, content_hash, pages, sections, date, metadata, text = row
        return Document(
            id=identity,
            text=zlib.decompress(text).decode("utf-8", "surrogatepass"),
            source=name,
            media_type=media_type,
            title=title,
            content_hash=content_hash,
            pages=tuple(json.loads(pages)),
            sections=tuple(Section(tuple(path), offset) for path, offset in json.loads(sections)),
            date_created=date,
            metadata=json.loads(metadata),
        )

    def begin(self, documents: Iterable[tuple[Document, str]], counts: Mapping[str, tuple[int, int, int]]) -> None:
        """Write documents (each with its root) as pending; `counts` gives (chunks, tokens, terms) by id."""
        with self._transaction():
            for document, root in documents:
                self._db.execute(
                    "INSERT OR REPLACE INTO documents VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,'pending')",
                    (
                        document.id,
                        document.source,
                        root,
                        document.content_hash,
                        document.media_type,
                        document.title,
                        json.dumps(document.pages),
                        json.dumps([(section.path, section.offset) for section in document.sections]),
                        document.date_created,
                        json.dumps(dict(document.metadata), sort_keys=True),
                        zlib.compress(document.text.encode("utf-8", "surrogatepass"), 1),
                        *counts[document.id],
                    ),
                )

    def set_state(self, document_ids: Iterable[str], state: State) -> None:
        with self._transaction():
            self._db.executemany(
                "UPDATE documents SET state = ? WHERE id = ?", [(state, identity) for identity in document_ids]
            )

    def set_waiting(self, document_ids: Iterable[str], waiting: bool) -> None:
        """Note that documents wait for the vectors of their chunks, or that they have them."""
        change = "INSERT OR IGNORE INTO waiting VALUES (?)" if waiting else "DELETE FROM waiting WHERE id = ?"
        with self._transaction():
            self._db.executemany(change, [(identity,) for identity in document_ids])
            self._count_waiting()

    def _count_waiting(self) -> None:
        """Kept beside the rows, for readers, who also open manifests that have no such table."""
        found = self._db.execute("SELECT coalesce(sum(chunks), 0) FROM waiting JOIN documents USING (id)").fetchone()
        self.set_meta("without_vectors", found[0])

    def waiting(self) -> Iterator[Entry]:
        """Documents that wait for vectors, in the order of their names. Only for who may write."""
        return self._entries("WHERE id IN (SELECT id FROM waiting) ORDER BY name")

    def without_vectors(self) -> int:
        """How many chunks belong to documents that wait for vectors: these are found by their words only."""
        return self.meta("without_vectors") or 0

    def lacking_vectors(self) -> str | None:
        """In words how many chunks have no vector yet; None where all have one."""
        without = self.without_vectors()
        if not without:
            return None
        return (
            f"{without:,} of {self.totals()[1]:,} chunks have no vector yet and are found by their words only; "
            "ragkit index goes on with them"
        )

    def set_root(self, document_id: str, root: str) -> None:
        self._db.execute("UPDATE documents SET root = ? WHERE id = ?", (root, document_id))

    def remove(self, document_ids: Sequence[str]) -> None:
        with self._transaction():
            identities = [(identity,) for identity in document_ids]
            self._db.executemany("DELETE FROM documents WHERE id = ?", identities)
            if self._db.executemany("DELETE FROM waiting WHERE id = ?", identities).rowcount > 0:
                self._count_waiting()

    def metadata_fields(self) -> set[str]:
        """Names of the metadata that documents bring themselves."""
        rows = self._db.execute("SELECT DISTINCT key FROM documents, json_each(documents.metadata)")
        return {row[0] for row in rows}

    def failures(self) -> list[Failure]:
        """Files that the runs so far could not read, in the order of their names."""
        rows = self._db.execute("SELECT name, root, content_hash, read_with, reason FROM failures ORDER BY name")
        return [Failure(*row) for row in rows]

    def set_failures(self, failures: Iterable[Failure]) -> None:
        """Remember these failures and no others."""
        rows = [(item.name, item.root, item.content_hash, item.read_with, item.reason) for item in failures]
        with self._transaction():
            self._db.execute("DELETE FROM failures")
            self._db.executemany("INSERT INTO failures VALUES (?, ?, ?, ?, ?)", rows)

    def totals(self) -> tuple[int, int, int, int]:
        """Documents, chunks, tokens, BM25 terms over everything done."""
        row = self._db.execute(
            "SELECT count(*), coalesce(sum(chunks),0), coalesce(sum(tokens),0), coalesce(sum(terms),0)"
            " FROM documents WHERE state = 'done'"
        ).fetchone()
        return row[0], row[1], row[2], row[3]

    @contextmanager
    def _transaction(self) -> Generator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")


def _finish_rollback(path: Path) -> None:
    """Undo what a killed writer had begun: who opens only for reading cannot, and could read nothing then."""
    if path.with_name(f"{path.name}-journal").exists():
        with suppress(sqlite3.Error), closing(sqlite3.connect(path, timeout=30)) as database:
            database.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
