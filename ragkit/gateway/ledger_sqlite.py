"""A ledger in one SQLite file (WAL): one connection a thread, one write at a time."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from ragkit.errors import RagkitError
from ragkit.gateway.ledger import Transaction

T = TypeVar("T")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS calls (
    id INTEGER PRIMARY KEY, at REAL NOT NULL, day TEXT NOT NULL, tenant TEXT NOT NULL, key TEXT NOT NULL,
    trace_id TEXT NOT NULL, config_hash TEXT NOT NULL, refused INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS calls_by_day ON calls (day, tenant, key);
CREATE TABLE IF NOT EXISTS lines (
    call INTEGER NOT NULL REFERENCES calls (id), position INTEGER NOT NULL, stage TEXT NOT NULL, model TEXT NOT NULL,
    nano_usd INTEGER, input_tokens INTEGER NOT NULL, cached_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL,
    detail TEXT NOT NULL, endpoint TEXT NOT NULL DEFAULT '', saved_nano_usd INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (call, position)
);
CREATE TABLE IF NOT EXISTS accounts (scope TEXT PRIMARY KEY, spent INTEGER NOT NULL, held INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS holds (
    id TEXT NOT NULL, scope TEXT NOT NULL, nano_usd INTEGER NOT NULL, until REAL NOT NULL, PRIMARY KEY (id, scope)
);
"""
_LATER = {"endpoint": "TEXT NOT NULL DEFAULT ''", "saved_nano_usd": "INTEGER NOT NULL DEFAULT 0"}
"""Columns of `lines` that the first files did not have."""


class SqliteFile:
    """The file, made if it is not there. Raises RagkitError for another kind of file."""

    remote = False

    def __init__(self, path: Path) -> None:
        self._path = path
        self._start()
        with self._said():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db.executescript(_SCHEMA)
        self.within(_bring_up_to_date)

    def within(self, step: Callable[[Transaction], T], *, alone: bool = False, patience_s: float = 0.0) -> T:
        """Every step is alone, and no connection is lost."""
        with self._said():
            db = self._db
            with self._writing:
                try:
                    db.execute("BEGIN IMMEDIATE")
                    done = step(_Step(db))
                    db.execute("COMMIT")
                finally:
                    # Also where Ctrl-C comes between two lines.
                    if db.in_transaction:
                        db.execute("ROLLBACK")
        return done

    def rows(self, query: str, values: Sequence[object]) -> Iterator[tuple[Any, ...]]:
        with self._said():
            yield from self._db.execute(query, tuple(values))

    def close(self) -> None:
        """Close the connection of this thread."""
        if (connection := getattr(self._local, "connection", None)) is not None:
            connection.close()
            del self._local.connection

    def _start(self) -> None:
        """Begin without connections: in the constructor, and in a process that was forked off."""
        self._process = os.getpid()
        self._local = threading.local()
        # SQLite lets one write at a time; threads that wait here do not wake one another up.
        self._writing = threading.Lock()

    @property
    def _db(self) -> sqlite3.Connection:
        if self._process != os.getpid():
            # The connections of the process before must be neither used nor closed here: its locks did not come along.
            _LEFT_BEHIND.append(self._local)
            self._start()
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = sqlite3.connect(self._path, isolation_level=None, timeout=60.0)
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = FULL")  # a settled line is on the disk
            except sqlite3.Error:
                connection.close()
                raise
            self._local.connection = connection
        return connection

    @contextmanager
    def _said(self) -> Generator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise RagkitError(
                f"the ledger {self._path} cannot be used ({error})", mend="set costs.ledger to another file"
            ) from None


_LEFT_BEHIND: list[object] = []
"""What a forked process must keep and not touch."""


class _Step:
    """A transaction. Nobody else writes while it is open, so that there is nothing to lock."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def rows(self, query: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        return self._db.execute(query, tuple(values)).fetchall()

    def run(self, statement: str, values: Sequence[object] = ()) -> None:
        self._db.execute(statement, tuple(values))

    def run_each(self, statement: str, rows: Sequence[Sequence[object]]) -> None:
        self._db.executemany(statement, rows)

    def add_call(self, token: str, values: Sequence[object]) -> object:
        statement = (
            "INSERT INTO calls (at, day, tenant, key, trace_id, config_hash, refused) VALUES (?, ?, ?, ?, ?, ?, ?)"
        )
        return self._db.execute(statement, tuple(values)).lastrowid

    def accounts(self, names: Iterable[str]) -> dict[str, tuple[int, int]]:
        wanted = list(names)
        if not wanted:
            return {}
        marks = ", ".join("?" * len(wanted))
        found = self.rows(f"SELECT scope, spent, held FROM accounts WHERE scope IN ({marks})", wanted)
        return {scope: (spent, held) for scope, spent, held in found}


def _bring_up_to_date(db: Transaction) -> None:
    """Add the columns that a file of an earlier version lacks."""
    there = {name for _, name, *_ in db.rows("PRAGMA table_info(lines)")}
    for name, kind in _LATER.items():
        if name not in there:
            db.run(f"ALTER TABLE lines ADD COLUMN {name} {kind}")
