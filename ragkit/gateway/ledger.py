"""What every answer cost, for good: calls and their cost lines in one SQLite file, and budgets that hold.

A call under a budget reserves the most that it can cost (`hold`), and what it did cost takes that place when it is over
(`settle`). Each is one transaction that is on the disk when it returns, so that a kill loses no settled line and two
processes never spend the same dollar. Money is integer nano-dollars; days are those of UTC.
"""

from __future__ import annotations

import json
import os
import secrets
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ragkit.errors import BudgetExceeded, RagkitError
from ragkit.ingest.discover import whole_characters
from ragkit.types import CostLine

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
-- spent: of all settled calls in the scope; held: of those under way. A scope has a row once a budget asked for it.
CREATE TABLE IF NOT EXISTS accounts (scope TEXT PRIMARY KEY, spent INTEGER NOT NULL, held INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS holds (
    id TEXT NOT NULL, scope TEXT NOT NULL, nano_usd INTEGER NOT NULL, until REAL NOT NULL, PRIMARY KEY (id, scope)
);
"""
_LATER = {"endpoint": "TEXT NOT NULL DEFAULT ''", "saved_nano_usd": "INTEGER NOT NULL DEFAULT 0"}
"""Columns of `lines` that the first files did not have."""


@dataclass(frozen=True, slots=True)
class Payer:
    """Who a call is for: a tenant and the API key it came with; both may be empty."""

    tenant: str = ""
    key: str = ""


NOBODY = Payer()
_MOST = 10**15
"""A million dollars in one line, or so many tokens: more is a mistake, and sums must stay below 2**63."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What a budget counts: the calls of a tenant or key (None: of all) in a period, the beginning of a day such as
    "2026-11-26" or "2026-11"; "" is for ever."""

    tenant: str | None
    key: str | None
    period: str

    @property
    def name(self) -> str:
        """The name of its account."""
        return json.dumps([self.tenant, self.key, self.period])

    @property
    def words(self) -> str:
        """For people.

        >>> Scope("acme", None, "2026-11").words, Scope(None, None, "").words
        ('tenant acme in 2026-11', 'all calls')
        """
        who = [f"{kind} {name}" for kind, name in (("tenant", self.tenant), ("key", self.key)) if name is not None]
        return " and ".join(who or ["all calls"]) + (f" in {self.period}" if self.period else "")


@dataclass(frozen=True, slots=True)
class Limit:
    """A budget at work: no more than this in a scope."""

    scope: Scope
    nano_usd: int


@dataclass(frozen=True, slots=True)
class Hold:
    """A reservation, made at a time (seconds since 1970); `used` is for each limit the share of it that is spent or
    held, this one included."""

    id: str
    nano_usd: int
    at: float
    used: tuple[tuple[Scope, float], ...]


@dataclass(frozen=True, slots=True)
class Call:
    """One answer as the ledger keeps it."""

    payer: Payer
    trace_id: str
    config_hash: str
    lines: Sequence[CostLine]
    refused: bool = False


class Ledger:
    """The file, made if it is not there; for threads and processes. Raises RagkitError for another kind of file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._start()
        with self._said():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db.executescript(_SCHEMA)
            self._bring_up_to_date()

    def _bring_up_to_date(self) -> None:
        """Add the columns that a file of an earlier version lacks."""
        with self._transaction() as db:
            there = {name for _, name, *_ in db.execute("PRAGMA table_info(lines)")}
            for name, kind in _LATER.items():
                if name not in there:
                    db.execute(f"ALTER TABLE lines ADD COLUMN {name} {kind}")

    def _start(self) -> None:
        """Begin without connections: in the constructor, and in a process that was forked off."""
        self._process = os.getpid()
        self._local = threading.local()
        # SQLite lets one write at a time; threads that wait here do not wake one another up.
        self._writing = threading.Lock()
        self._writer: int | None = None
        self._waiting: deque[Callable[[sqlite3.Connection], None]] = deque()

    def hold(self, limits: Sequence[Limit], nano_usd: int, *, seconds: float, at: float | None = None) -> Hold:
        """Reserve the most that a call can cost in every scope, or in none and raise BudgetExceeded.

        The reservation ends by itself after so many seconds, for the process that made it may be gone. `at` is the
        present (seconds since 1970).
        """
        now = time.time() if at is None else at
        identity = secrets.token_hex(8)
        with self._transaction() as db:
            _let_go_of_dangling(db, now)
            used: list[tuple[Scope, float]] = []
            for limit in limits:
                spent, held = _account(db, limit.scope)
                after = spent + held + nano_usd
                if after > limit.nano_usd:
                    raise BudgetExceeded(
                        f"the budget of ${limit.nano_usd / 1e9:g} for {limit.scope.words} does not allow a call that"
                        f" may cost ${nano_usd / 1e9:.6f}: ${spent / 1e9:.6f} spent, ${held / 1e9:.6f} reserved",
                        mend="raise costs.budgets, or wait for the next period",
                    )
                used.append((limit.scope, after / limit.nano_usd if limit.nano_usd else 1.0))
            for scope in dict.fromkeys(limit.scope.name for limit in limits):
                db.execute("UPDATE accounts SET held = held + ? WHERE scope = ?", (nano_usd, scope))
                db.execute("INSERT INTO holds VALUES (?, ?, ?, ?)", (identity, scope, nano_usd, now + seconds))
        return Hold(identity, nano_usd, now, tuple(used))

    def settle(self, call: Call, hold: Hold | None = None, *, at: float | None = None) -> None:
        """Write a call with its lines; it takes the place of its reservation, and counts in the periods of that."""
        now = at if at is not None else hold.at if hold is not None else time.time()
        self._write(lambda db: _settle(db, call, hold, now))

    def refund(self, hold: Hold) -> None:
        """Let go of a reservation for which nothing was spent."""
        self._write(lambda db: _let_go(db, hold.id))

    def account(self, scope: Scope) -> tuple[int, int]:
        """What is spent in a scope and what is reserved, in nano-dollars."""
        with self._transaction() as db:
            _let_go_of_dangling(db, time.time())
            return _account(db, scope)

    def rows(self, query: str, values: Sequence[object] = ()) -> Iterator[tuple[object, ...]]:
        """The rows of a query over `calls` and `lines`, for reports."""
        with self._said():
            yield from self._db.execute(query, tuple(values))

    def close(self) -> None:
        """Close the connection of this thread."""
        if (connection := getattr(self._local, "connection", None)) is not None:
            connection.close()
            del self._local.connection

    @property
    def _db(self) -> sqlite3.Connection:
        if self._process != os.getpid():
            # The connections of the process before must be neither used nor closed here: its locks did not come along.
            _LEFT_BEHIND.append(self._local)
            self._start()
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = sqlite3.connect(self.path, isolation_level=None, timeout=60.0)
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = FULL")  # a settled line is on the disk
            except sqlite3.Error:
                connection.close()
                raise
            self._local.connection = connection
        return connection

    def _write(self, change: Callable[[sqlite3.Connection], None]) -> None:
        """Do it in a transaction; in the one that this thread is in, when it is in one.

        That is so where the garbage collector closes a stream that was left while this thread writes.
        """
        if self._process == os.getpid() and self._writer == threading.get_ident():
            self._waiting.append(change)
            return
        with self._transaction() as db:
            change(db)

    @contextmanager
    def _transaction(self) -> Generator[sqlite3.Connection]:
        try:
            with self._said():
                db = self._db
                with self._writing:
                    self._writer = threading.get_ident()
                    try:
                        db.execute("BEGIN IMMEDIATE")
                        yield db
                        db.execute("COMMIT")
                    finally:
                        # Also where Ctrl-C comes between two lines.
                        if db.in_transaction:
                            db.execute("ROLLBACK")
                        self._writer = None
        finally:
            with suppress(IndexError):  # another thread may take the last one
                while self._waiting:
                    self._write(self._waiting.popleft())

    @contextmanager
    def _said(self) -> Generator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise RagkitError(
                f"the ledger {self.path} cannot be used ({error})", mend="set costs.ledger to another file"
            ) from None


_LEFT_BEHIND: list[object] = []
"""What a forked process must keep and not touch."""


def _settle(db: sqlite3.Connection, call: Call, hold: Hold | None, now: float) -> None:
    day = datetime.fromtimestamp(now, UTC).date().isoformat()
    payer = call.payer
    if hold is not None:
        _let_go(db, hold.id)
    names = (whole_characters(text) for text in (payer.tenant, payer.key, call.trace_id, call.config_hash))
    written = db.execute(
        "INSERT INTO calls (at, day, tenant, key, trace_id, config_hash, refused) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (now, day, *names, call.refused),
    )
    rows = [_columns(line) for line in call.lines]
    db.executemany(
        "INSERT INTO lines VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [(written.lastrowid, position, *row) for position, row in enumerate(rows)],
    )
    total = sum(min(line.nano_usd or 0, _MOST) for line in call.lines)
    scopes = [scope.name for scope in scopes_with(payer, day)]
    marks = ", ".join("?" * len(scopes))
    db.execute(f"UPDATE accounts SET spent = spent + ? WHERE scope IN ({marks})", (total, *scopes))


def scopes_with(payer: Payer, day: str) -> list[Scope]:
    """Every scope that a call of this day counts in.

    >>> len(scopes_with(Payer("acme", "k1"), "2026-11-26"))
    12
    """
    return [
        Scope(tenant, key, period)
        for tenant in (None, payer.tenant)
        for key in (None, payer.key)
        for period in ("", day[:7], day)
    ]


def _columns(line: CostLine) -> tuple[object, ...]:
    usage = line.usage
    tokens = (min(count, _MOST) for count in (usage.input_tokens, usage.cached_tokens, usage.output_tokens))
    nano = None if line.nano_usd is None else min(line.nano_usd, _MOST)
    saved = max(-_MOST, min(line.saved_nano_usd, _MOST))
    told = (whole_characters(line.detail), whole_characters(line.endpoint), saved)
    return (line.stage, whole_characters(line.model), nano, *tokens, *told)


def _account(db: sqlite3.Connection, scope: Scope) -> tuple[int, int]:
    """What is spent and held; an account that nobody asked for before is added up from the calls."""
    row = db.execute("SELECT spent, held FROM accounts WHERE scope = ?", (scope.name,)).fetchone()
    if row is not None:
        return row[0], row[1]
    conditions, values = ["day GLOB ?"], [f"{scope.period}*"]
    for column, value in (("tenant", scope.tenant), ("key", scope.key)):
        if value is not None:
            conditions.append(f"{column} = ?")
            values.append(value)
    query = f"SELECT COALESCE(SUM(nano_usd), 0) FROM calls JOIN lines ON call = id WHERE {' AND '.join(conditions)}"
    (spent,) = db.execute(query, values).fetchone()
    db.execute("INSERT INTO accounts VALUES (?, ?, 0)", (scope.name, spent))
    return spent, 0


def _let_go(db: sqlite3.Connection, identity: str) -> None:
    for scope, nano_usd in db.execute("SELECT scope, nano_usd FROM holds WHERE id = ?", (identity,)).fetchall():
        db.execute("UPDATE accounts SET held = held - ? WHERE scope = ?", (nano_usd, scope))
    db.execute("DELETE FROM holds WHERE id = ?", (identity,))


def _let_go_of_dangling(db: sqlite3.Connection, now: float) -> None:
    for (identity,) in db.execute("SELECT DISTINCT id FROM holds WHERE until < ?", (now,)).fetchall():
        _let_go(db, identity)
