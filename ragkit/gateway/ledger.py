"""What every answer cost, for good: calls and their cost lines in a database, and budgets that hold.

A call under a budget reserves the most that it can cost (`hold`), and what it did cost takes that place when it is over
(`settle`). Each is one transaction that is on the disk when it returns, so that a kill loses no settled line and two
processes never spend the same dollar. Money is integer nano-dollars; days are those of UTC.

The steps are written here once. What differs between SQLite and PostgreSQL (connections, transactions, locks) is in
`ledger_sqlite.py` and `ledger_postgres.py`, behind `Database`.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from ragkit.errors import BudgetExceeded
from ragkit.ingest.discover import whole_characters
from ragkit.types import CostLine

if TYPE_CHECKING:
    from pydantic import SecretStr

T = TypeVar("T")


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
    """One answer, or a search that cost something, as the ledger keeps it."""

    payer: Payer
    trace_id: str
    config_hash: str
    lines: Sequence[CostLine]
    refused: bool = False


class Transaction(Protocol):
    """What a step does happens in one of these, or not at all. Tables: `calls` (a row an answer, or a search that cost
    something), `lines` (its cost lines), `accounts` (what a scope has spent and holds; there once a budget asked for
    it), `holds` (the reservations of calls under way, a row for each scope; changed only while the account is kept by
    `accounts`)."""

    def rows(self, query: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """The rows of a query; `?` stands for a value."""
        ...

    def run(self, statement: str, values: Sequence[object] = ()) -> None:
        """A statement that gives no rows. What is wrong with it may be told by a later one."""
        ...

    def run_each(self, statement: str, rows: Sequence[Sequence[object]]) -> None:
        """The statement for each of these."""
        ...

    def add_call(self, token: str, values: Sequence[object]) -> object:
        """Add to `calls` (at, day, tenant, key, trace_id, config_hash, refused): the id of the row. None if the one of
        this token (32 hexadecimal digits) is there, for it was not heard that the transaction before succeeded."""
        ...

    def accounts(self, names: Iterable[str]) -> dict[str, tuple[int, int]]:
        """What is spent and held in those of these accounts that exist; nobody else changes them until the transaction
        ends. Ask for all that the transaction changes at once: they are taken in one order everywhere."""
        ...


class Database(Protocol):
    """Where a ledger lies; for threads and processes."""

    remote: bool
    """Whether a step may have to wait for a network."""

    def within(self, step: Callable[[Transaction], T], *, alone: bool = False, patience_s: float = 0.0) -> T:
        """Do a step in a transaction that is on the disk when this returns.

        Where the connection is lost it is done again from its beginning, for so many seconds. `alone`: while no other
        step is under way. Raises RagkitError when the database cannot be used; what the step raises undoes it.
        """
        ...

    def rows(self, query: str, values: Sequence[object]) -> Iterator[tuple[Any, ...]]:
        """The rows of a query; `?` stands for a value. Raises RagkitError."""
        ...

    def close(self) -> None:
        """Close the connections that are not in use, and that of this thread."""
        ...


_PATIENCE_S = 5.0
"""How long what is spent waits for a server that starts again; a new call is refused at once."""


class Ledger:
    """The ledger at a place: a SQLite file, or the address of a PostgreSQL database; made if it is not there.

    For threads and processes. Raises RagkitError when the place cannot be used: of a file at once, of a server with the
    first step.
    """

    def __init__(self, place: Path | str, password: SecretStr | None = None) -> None:
        self._database = _database(place, password)
        self._thread = threading.local()

    @property
    def remote(self) -> bool:
        """Whether a step may have to wait for a network."""
        return self._database.remote

    def hold(self, limits: Sequence[Limit], nano_usd: int, *, seconds: float, at: float | None = None) -> Hold:
        """Reserve the most that a call can cost in every scope, or in none and raise BudgetExceeded.

        The reservation ends by itself after so many seconds, for the process that made it may be gone. `at` is the
        present (seconds since 1970).
        """
        now = time.time() if at is None else at

        def reserve(db: Transaction) -> Hold | None:
            names = list(dict.fromkeys(limit.scope.name for limit in limits))
            accounts = _accounts(db, names, now)
            if len(accounts) < len(names):
                return None
            used: list[tuple[Scope, float]] = []
            for limit in limits:
                spent, held = accounts[limit.scope.name]
                after = spent + held + nano_usd
                if after > limit.nano_usd:
                    raise BudgetExceeded(
                        f"the budget of ${limit.nano_usd / 1e9:g} for {limit.scope.words} does not allow a call that"
                        f" may cost ${nano_usd / 1e9:.6f}: ${spent / 1e9:.6f} spent, ${held / 1e9:.6f} reserved",
                        mend="raise costs.budgets, or wait for the next period",
                    )
                used.append((limit.scope, after / limit.nano_usd if limit.nano_usd else 1.0))
            # A new name each time: one whose success was not heard of ends by itself.
            identity = secrets.token_hex(8)
            db.run(f"UPDATE accounts SET held = held + ? WHERE scope IN ({_marks(names)})", (nano_usd, *names))
            rows = [(identity, name, nano_usd, now + seconds) for name in names]
            db.run_each("INSERT INTO holds VALUES (?, ?, ?, ?)", rows)
            return Hold(identity, nano_usd, now, tuple(used))

        return self._with_accounts([limit.scope for limit in limits], reserve)

    def settle(self, call: Call, hold: Hold | None = None, *, at: float | None = None) -> None:
        """Write a call with its lines; it takes the place of its reservation, and counts in the periods of that."""
        now = at if at is not None else hold.at if hold is not None else time.time()
        # Of one age beside one another in the index.
        token = f"{time.time_ns():016x}{secrets.token_hex(8)}"
        self._write(lambda db: _settle(db, token, call, hold, now))

    def refund(self, hold: Hold) -> None:
        """Let go of a reservation for which nothing was spent."""
        self._write(lambda db: _let_go(db, hold.id, ()))

    def account(self, scope: Scope) -> tuple[int, int]:
        """What is spent in a scope and what is reserved, in nano-dollars."""
        return self._with_accounts([scope], lambda db: _accounts(db, [scope.name], time.time()).get(scope.name))

    def rows(self, query: str, values: Sequence[object] = ()) -> Iterator[tuple[Any, ...]]:
        """The rows of a query over `calls` and `lines`, for reports; in words that SQLite and PostgreSQL share."""
        return self._database.rows(query, values)

    def close(self) -> None:
        """Close the connections that are not in use, and that of this thread."""
        self._database.close()

    def _with_accounts(self, scopes: Sequence[Scope], step: Callable[[Transaction], T | None]) -> T:
        """Do a step that gives None while an account is missing, which is then opened."""
        while (done := self._within(step)) is None:
            self._within(lambda db: _open(db, scopes), alone=True)
        return done

    def _write(self, change: Callable[[Transaction], None]) -> None:
        """Do it, after the step that this thread is in, when it is in one.

        That is so where the garbage collector closes a stream that was left while this thread writes.
        """
        waiting: list[Callable[[Transaction], None]] | None = getattr(self._thread, "waiting", None)
        if waiting is not None:
            waiting.append(change)
            return
        self._within(change, patience_s=_PATIENCE_S)

    def _within(self, step: Callable[[Transaction], T], *, alone: bool = False, patience_s: float = 0.0) -> T:
        waiting: list[Callable[[Transaction], None]] = []
        self._thread.waiting = waiting
        try:
            return self._database.within(step, alone=alone, patience_s=patience_s)
        finally:
            # Also where Ctrl-C comes.
            self._thread.waiting = None
            while waiting:
                self._write(waiting.pop(0))


def _database(place: Path | str, password: SecretStr | None) -> Database:
    if isinstance(place, Path):
        from ragkit.gateway.ledger_sqlite import SqliteFile

        return SqliteFile(place)
    from ragkit.gateway.ledger_postgres import PostgresDatabase

    return PostgresDatabase(place, password)


def _settle(db: Transaction, token: str, call: Call, hold: Hold | None, now: float) -> None:
    day = datetime.fromtimestamp(now, UTC).date().isoformat()
    payer = call.payer
    names = (_stored(text) for text in (payer.tenant, payer.key, call.trace_id, call.config_hash))
    number = db.add_call(token, (now, day, *names, int(call.refused)))
    if number is None:
        return
    rows = [_columns(line) for line in call.lines]
    db.run_each(
        "INSERT INTO lines VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [(number, position, *row) for position, row in enumerate(rows)],
    )
    total = sum(min(line.nano_usd or 0, _MOST) for line in call.lines)
    scopes = [scope.name for scope in scopes_with(payer, day)]
    _let_go(db, hold.id if hold is not None else None, scopes)
    db.run(f"UPDATE accounts SET spent = spent + ? WHERE scope IN ({_marks(scopes)})", (total, *scopes))


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
    told = (_stored(line.detail), _stored(line.endpoint), saved)
    return (line.stage, _stored(line.model), nano, *tokens, *told)


def _stored(text: str) -> str:
    """The text without what no database takes: halves of surrogate pairs, and zeros."""
    return whole_characters(text).replace("\0", "\ufffd")


def _marks(values: Sequence[object]) -> str:
    return ", ".join("?" * len(values))


def _accounts(db: Transaction, names: Sequence[str], now: float) -> dict[str, tuple[int, int]]:
    """The accounts that exist, without reservations that ended."""
    found = db.accounts(names)
    ended = f"scope IN ({_marks(names)}) AND until < ?"
    if gone := db.rows(f"SELECT scope, nano_usd FROM holds WHERE {ended}", (*names, now)):
        db.run_each("UPDATE accounts SET held = held - ? WHERE scope = ?", [(nano, scope) for scope, nano in gone])
        db.run(f"DELETE FROM holds WHERE {ended}", (*names, now))
        found = db.accounts(names)
    return found


def _let_go(db: Transaction, identity: str | None, beside: Sequence[str]) -> None:
    """Give back a reservation; other accounts that the transaction changes are taken with it."""
    where = "FROM holds WHERE id = ?"
    names = [] if identity is None else [scope for (scope,) in db.rows(f"SELECT scope {where}", (identity,))]
    db.accounts({*names, *beside})
    if names and (held := db.rows(f"SELECT nano_usd, scope {where}", (identity,))):  # some may have ended meanwhile
        db.run_each("UPDATE accounts SET held = held - ? WHERE scope = ?", held)
        db.run("DELETE FROM holds WHERE id = ?", (identity,))


def _open(db: Transaction, scopes: Sequence[Scope]) -> None:
    """Make the accounts that are missing, each added up from the calls. To be done alone: a call that is written
    meanwhile would be counted by neither."""
    there = db.accounts([scope.name for scope in scopes])
    for scope in {scope.name: scope for scope in scopes if scope.name not in there}.values():
        conditions, values = ["day >= ?", "day < ?"], [scope.period, f"{scope.period}~"]
        for column, value in (("tenant", scope.tenant), ("key", scope.key)):
            if value is not None:
                conditions.append(f"{column} = ?")
                values.append(_stored(value))
        total = "CAST(COALESCE(SUM(nano_usd), 0) AS BIGINT)"
        query = f"SELECT {total} FROM calls JOIN lines ON call = id WHERE {' AND '.join(conditions)}"
        [(spent,)] = db.rows(query, values)
        db.run("INSERT INTO accounts VALUES (?, ?, 0)", (scope.name, spent))
