"""What the server keeps: keys, uploads, answers' owners, feedback, sessions, how questions ended.

One SQLite file; each write is on the disk when it returns. Several processes may use it at once (`ragkit keys create`
beside a running server).
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_SCHEMA = """
CREATE TABLE IF NOT EXISTS keys (
    id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, hash TEXT NOT NULL, tenant TEXT NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('read', 'write', 'admin')),
    requests_per_minute INTEGER, concurrency INTEGER, created REAL NOT NULL, revoked REAL
);
CREATE TABLE IF NOT EXISTS uploads (
    id TEXT PRIMARY KEY, tenant TEXT NOT NULL, key TEXT NOT NULL, name TEXT NOT NULL, bytes INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('queued', 'indexing', 'done', 'failed', 'cancelled')),
    cancel INTEGER NOT NULL DEFAULT 0, progress REAL NOT NULL DEFAULT 0, reason TEXT NOT NULL DEFAULT '',
    documents TEXT NOT NULL DEFAULT '[]', created REAL NOT NULL, changed REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS uploads_by_state ON uploads (state, created);
CREATE INDEX IF NOT EXISTS uploads_by_tenant ON uploads (tenant, created);
CREATE TABLE IF NOT EXISTS answers (
    number INTEGER PRIMARY KEY, trace_id TEXT NOT NULL, tenant TEXT NOT NULL, key TEXT NOT NULL, at REAL NOT NULL,
    UNIQUE (trace_id, tenant)
);
CREATE TABLE IF NOT EXISTS feedback (
    id INTEGER PRIMARY KEY, trace_id TEXT NOT NULL, tenant TEXT NOT NULL, key TEXT NOT NULL,
    verdict TEXT NOT NULL CHECK (verdict IN ('up', 'down')), reason TEXT NOT NULL, question TEXT NOT NULL,
    answer TEXT NOT NULL, at REAL NOT NULL, UNIQUE (trace_id, tenant, key)
);
CREATE TABLE IF NOT EXISTS sessions (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL, tenant TEXT NOT NULL, key TEXT NOT NULL, summary TEXT NOT NULL,
    changed REAL NOT NULL, UNIQUE (tenant, key, id)
);
CREATE INDEX IF NOT EXISTS sessions_by_change ON sessions (tenant, changed);
CREATE TABLE IF NOT EXISTS turns (
    number INTEGER PRIMARY KEY, session INTEGER NOT NULL REFERENCES sessions (number) ON DELETE CASCADE,
    question TEXT NOT NULL, answer TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS turns_by_session ON turns (session, number);
CREATE TABLE IF NOT EXISTS outcomes (
    number INTEGER PRIMARY KEY, at REAL NOT NULL, tenant TEXT NOT NULL, key TEXT NOT NULL, outcome TEXT NOT NULL,
    ms REAL NOT NULL, cache TEXT NOT NULL, degraded INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS outcomes_by_time ON outcomes (at, tenant);
CREATE INDEX IF NOT EXISTS feedback_by_tenant ON feedback (tenant, id);
"""


class Database:
    """The open file, for all threads of a process."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = threading.RLock()
        self._db = sqlite3.connect(folder / "serve.sqlite", isolation_level=None, check_same_thread=False, timeout=30)
        self._db.row_factory = sqlite3.Row
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.execute("PRAGMA foreign_keys = ON")
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        with self._lock:
            self._db.close()

    def rows(self, query: str, values: Sequence[object] = ()) -> list[sqlite3.Row]:
        with self._lock:
            return self._db.execute(query, values).fetchall()

    def row(self, query: str, values: Sequence[object] = ()) -> sqlite3.Row | None:
        with self._lock:
            return self._db.execute(query, values).fetchone()

    def write(self, statement: str, values: Sequence[object] = ()) -> int:
        """One statement as a transaction of its own; the number of rows that it changed."""
        with self._lock:
            return self._db.execute(statement, values).rowcount

    @contextmanager
    def transaction(self) -> Generator[Database]:
        """Several statements of this thread that are done together or not at all."""
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")


def plain(row: sqlite3.Row) -> dict[str, Any]:
    """A row as a dictionary."""
    return dict(zip(row.keys(), row, strict=True))
