"""The answers of the cache in one SQLite file: bounded in number and bytes, oldest use out first, each with an end.

Every change is one transaction, so that a kill leaves whole entries only. The last of them may be lost with the power,
which costs an answer and no more. What is thrown out is overwritten: the file holds questions and quotes of documents.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import astuple, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragkit.gateway.cache_entry import Entry, packed, placed, unpacked
from ragkit.gateway.cache_store import HITS_KEPT, LABELS_READ, OVERHEAD, Bounds, CacheFault, Hit, Stats
from ragkit.gateway.cache_vectors import VectorsByScope

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


_FORMAT = 5
_SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (
    id INTEGER PRIMARY KEY AUTOINCREMENT, scope TEXT NOT NULL, key TEXT NOT NULL, question TEXT NOT NULL, vector BLOB,
    body TEXT NOT NULL, nano_usd INTEGER, bytes INTEGER NOT NULL, hits INTEGER NOT NULL DEFAULT 0,
    created REAL NOT NULL, used REAL NOT NULL, UNIQUE (scope, key)
);
-- With the bytes, so that each new entry sums up an index and not the file.
CREATE INDEX IF NOT EXISTS entries_by_use ON entries (used, bytes);
CREATE INDEX IF NOT EXISTS entries_by_age ON entries (created);
CREATE INDEX IF NOT EXISTS entries_in_scope ON entries (scope, id);
CREATE TABLE IF NOT EXISTS counts (name TEXT PRIMARY KEY, n INTEGER NOT NULL);
-- The last hits of the semantic tier, and what would have been some: for what turns out of them. right: 1, 0, or null.
CREATE TABLE IF NOT EXISTS hits (
    number INTEGER PRIMARY KEY, tenant TEXT NOT NULL, trace_id TEXT NOT NULL, scope TEXT NOT NULL,
    entry INTEGER NOT NULL, asked TEXT NOT NULL, stored TEXT NOT NULL, similarity REAL NOT NULL,
    kind TEXT NOT NULL, right INTEGER, at REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS hits_of_trace ON hits (trace_id);
CREATE INDEX IF NOT EXISTS labels_of_entry ON hits (entry) WHERE right IS NOT NULL;
CREATE INDEX IF NOT EXISTS labels_of_tenant ON hits (tenant, kind, right) WHERE right IS NOT NULL;
"""
_BUSY_S = 5.0


class SqliteStore:
    """The file, made if it is not there; for threads and processes. Raises CacheFault for another kind of file."""

    def __init__(self, path: Path, bounds: Bounds) -> None:
        self.path = path
        self._bounds = bounds
        self._lock = threading.RLock()
        self._vectors = VectorsByScope()
        with self._said():
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))  # nobody else reads what people asked
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=_BUSY_S)
            try:
                self._prepare()
            except BaseException:
                self._db.close()
                raise

    def _prepare(self) -> None:
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.execute("PRAGMA secure_delete = ON")
        (found,) = self._db.execute("PRAGMA user_version").fetchone()
        if found not in (0, _FORMAT):
            for table in ("entries", "counts", "hits"):
                self._db.execute(f"DROP TABLE IF EXISTS {table}")
        self._db.executescript(f"{_SCHEMA}PRAGMA user_version = {_FORMAT};")

    def close(self) -> None:
        with self._lock:
            self._db.close()
            self._vectors.clear()

    def put(self, scope: str, key: str, entry: Entry, *, at: float | None = None) -> None:
        """Keep an entry in the place of the one with this key; what is too much by then goes."""
        now = time.time() if at is None else at
        body = packed(entry)
        vector = None if entry.vector is None else entry.vector.astype("float32").tobytes()
        size = len(body) + len(entry.question.encode("utf-8", "replace")) + len(key) + len(vector or b"") + OVERHEAD
        if size > self._bounds.bytes:
            return
        with self._transaction() as db:
            db.execute("DELETE FROM entries WHERE scope = ? AND key = ?", (scope, key))
            db.execute(
                "INSERT INTO entries (scope, key, question, vector, body, nano_usd, bytes, created, used)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (scope, key, entry.question, vector, body, entry.nano_usd, size, now, now),
            )
            self._end_old(db, now)
            self._evict(db)

    def find(self, scope: str, key: str, *, at: float | None = None) -> Entry | None:
        """The entry with this key, unless its time is over."""
        return self._entry("scope = ? AND key = ?", (scope, key), at)

    def get(self, scope: str, identity: int, *, at: float | None = None) -> Entry | None:
        """The entry of a scope with this id, unless it is gone or its time is over."""
        return self._entry("id = ? AND scope = ?", (identity, scope), at)

    def nearest(self, scope: str, vector: NDArray[np.float32], most: int, least: float) -> list[tuple[int, float]]:
        """Ids of entries of a scope whose questions are nearest by cosine, nearest first; some may be gone."""
        import numpy as np

        with self._lock, self._said():
            vectors = self._vectors.of(scope)
            rows = self._db.execute(
                "SELECT id, vector FROM entries WHERE scope = ? AND id > ? AND vector IS NOT NULL ORDER BY id",
                (scope, vectors.last),
            ).fetchall()
            vectors.add([row[0] for row in rows], [np.frombuffer(row[1], dtype=np.float32) for row in rows])
            (held,) = self._db.execute("SELECT COUNT(*) FROM entries WHERE scope = ?", (scope,)).fetchone()
            if len(vectors) > 2 * held + 100:
                alive = self._db.execute("SELECT id FROM entries WHERE scope = ?", (scope,))
                vectors.keep_only({row[0] for row in alive})
            return vectors.nearest(vector, most, least)

    def count_hit(self, entry: Entry, tier: str, *, at: float | None = None) -> None:
        """An entry was given again."""
        now = time.time() if at is None else at
        with self._transaction() as db:
            db.execute("UPDATE entries SET used = ?, hits = hits + 1 WHERE id = ?", (now, entry.id))
            _count(db, tier)
            _count(db, "saved_nano_usd", entry.nano_usd or 0)

    def note_hit(self, hit: Hit, *, at: float | None = None) -> None:
        """Remember which question was taken for which."""
        now = time.time() if at is None else at
        with self._transaction() as db:
            db.execute(
                f"INSERT INTO hits ({_HIT_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                astuple(replace(hit, at=now)),
            )
            db.execute("DELETE FROM hits WHERE number <= (SELECT max(number) FROM hits) - ?", (HITS_KEPT,))

    def judge(self, tenant: str, trace_id: str, right: bool | None) -> int:
        """What turned out of the hits of one trace of a tenant, in the place of what was said before; how many."""
        with self._transaction() as db:
            return db.execute(
                "UPDATE hits SET right = ? WHERE trace_id = ? AND tenant = ? AND kind = 'served'",
                (right, trace_id, tenant),
            ).rowcount

    def labels(self, entry: Entry) -> list[tuple[float, bool]]:
        """Of the questions that an entry was taken for: cosine, and whether it was right for them; newest first."""
        query = "SELECT similarity, right FROM hits WHERE entry = ? AND right IS NOT NULL ORDER BY number DESC LIMIT ?"
        with self._lock, self._said():
            return [(row[0], bool(row[1])) for row in self._db.execute(query, (entry.id, LABELS_READ))]

    def evidence(self, tenant: str) -> tuple[int, int]:
        """How many hits of a tenant were wrong, and of how many that is known; held ones count as hits."""
        query = (
            "SELECT COALESCE(SUM(right = 0), 0), COUNT(*) FROM hits"
            " WHERE tenant = ? AND kind IN ('served', 'held') AND right IS NOT NULL"
        )
        with self._lock, self._said():
            wrong, judged = self._db.execute(query, (tenant,)).fetchone()
        return int(wrong), int(judged)

    def count(self, name: str) -> None:
        """Something happened once more."""
        with self._transaction() as db:
            _count(db, name)

    def drop(self, entry: Entry, why: str) -> None:
        """Take an entry out, for a reason that is counted."""
        self._drop(entry.id, why)

    def _drop(self, identity: int, why: str) -> None:
        with self._transaction() as db:
            if db.execute("DELETE FROM entries WHERE id = ?", (identity,)).rowcount:
                _count(db, why)

    def clear(self) -> int:
        """Take everything out; the number of entries that there were."""
        with self._transaction() as db:
            entries = db.execute("DELETE FROM entries").rowcount
            db.execute("DELETE FROM hits")
            db.execute("DELETE FROM counts")
        with self._lock, self._said():
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._vectors.clear()
        return entries

    def entries(self) -> list[Entry]:
        """Every entry, in the order in which they came; for sweeping, in one go."""
        with self._lock, self._said():
            rows = self._db.execute(f"SELECT {_COLUMNS} FROM entries ORDER BY id").fetchall()
        return [entry for row in rows if (entry := _read(row)) is not None]

    def hits(self) -> list[Hit]:
        """The last hits of the semantic tier and what would have been some, newest first."""
        with self._lock, self._said():
            rows = self._db.execute(f"SELECT {_HIT_COLUMNS} FROM hits ORDER BY number DESC").fetchall()
        return [replace(Hit(*row), right=None if row[8] is None else bool(row[8])) for row in rows]

    def stats(self) -> Stats:
        with self._lock, self._said():
            totals = "SELECT COUNT(*), COALESCE(SUM(bytes), 0), COUNT(DISTINCT scope) FROM entries"
            entries, size, scopes = self._db.execute(totals).fetchone()
            counts = dict(self._db.execute("SELECT name, n FROM counts ORDER BY name").fetchall())
        return Stats(entries, size, scopes, counts)

    def _entry(self, condition: str, values: tuple[object, ...], at: float | None) -> Entry | None:
        now = time.time() if at is None else at
        with self._lock, self._said():
            row = self._db.execute(f"SELECT {_COLUMNS} FROM entries WHERE {condition}", values).fetchone()
        if row is None:
            return None
        entry = _read(row)
        if entry is None or (self._bounds.ttl_s is not None and now - entry.created > self._bounds.ttl_s):
            self._drop(row[0], "expired" if entry else "unreadable")
            return None
        return entry

    def _end_old(self, db: sqlite3.Connection, now: float) -> None:
        if self._bounds.ttl_s is not None:
            ended = db.execute("DELETE FROM entries WHERE created < ?", (now - self._bounds.ttl_s,)).rowcount
            _count(db, "expired", ended)

    def _evict(self, db: sqlite3.Connection) -> None:
        entries, size = db.execute("SELECT COUNT(*), COALESCE(SUM(bytes), 0) FROM entries").fetchone()
        while entries > self._bounds.entries or size > self._bounds.bytes:
            oldest = db.execute("SELECT id, bytes FROM entries ORDER BY used, id LIMIT 1").fetchone()
            db.execute("DELETE FROM entries WHERE id = ?", (oldest[0],))
            entries, size = entries - 1, size - oldest[1]
            _count(db, "evicted")

    @contextmanager
    def _transaction(self) -> Generator[sqlite3.Connection]:
        with self._lock, self._said():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            finally:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")

    @contextmanager
    def _said(self) -> Generator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise CacheFault(
                f"the cache {self.path} cannot be used ({error})", mend="remove the file, or set cache.path to another"
            ) from None


_COLUMNS = "id, scope, question, vector, body, nano_usd, created"
_HIT_COLUMNS = "tenant, trace_id, scope, entry, asked, stored, similarity, kind, right, at"


def _read(row: tuple[Any, ...]) -> Entry | None:
    """The entry of a row, None if it is damaged."""
    import numpy as np

    identity, scope, question, blob, body, nano_usd, created = row
    try:
        vector = None if blob is None else np.frombuffer(blob, dtype=np.float32)
        return placed(unpacked(body, question, vector, nano_usd), scope, identity, created)
    except (ValueError, KeyError, TypeError):
        return None


def _count(db: sqlite3.Connection, name: str, times: int = 1) -> None:
    if times:
        db.execute(
            "INSERT INTO counts VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET n = n + excluded.n", (name, times)
        )
