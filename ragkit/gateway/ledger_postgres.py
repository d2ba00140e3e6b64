"""A ledger in a PostgreSQL database, which several servers share: tables of a schema named `ragkit`.

Steps of different accounts go on at once. A step takes the rows of all accounts that it changes, in the order of their
names, so that two never wait for each other; then nobody else changes these accounts or their reservations before it
ends. Only to open an account is a step alone: a call that is being written would else be missing in its sum.

Nothing is connected before the first step, so that an event loop can make the object, and a system start before its
database. All that is set is set for the transaction: the state of a connection does not matter.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from ragkit.errors import RagkitError
from ragkit.gateway.ledger import Transaction
from ragkit.postgres import SETTINGS, Connection, Pool
from ragkit.service import quoted, shown_url

import psycopg  # isort: skip - after what says which extra it is of
from psycopg.conninfo import conninfo_to_dict  # isort: skip

if TYPE_CHECKING:
    from pydantic import SecretStr

T = TypeVar("T")

# Text is compared by bytes, as in SQLite: days are, and scopes give the order of locks. Rows of accounts change often;
# with room in the page the new version stays beside the old one. An id is made by who writes the call.
_SCHEMA = b"""
SET LOCAL search_path = ragkit;
CREATE TABLE IF NOT EXISTS calls (
    id UUID PRIMARY KEY, at DOUBLE PRECISION NOT NULL, day TEXT COLLATE "C" NOT NULL, tenant TEXT COLLATE "C" NOT NULL,
    key TEXT COLLATE "C" NOT NULL, trace_id TEXT NOT NULL, config_hash TEXT NOT NULL, refused INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS calls_by_day ON calls (day);
CREATE TABLE IF NOT EXISTS lines (
    call UUID NOT NULL REFERENCES calls (id), position INTEGER NOT NULL, stage TEXT COLLATE "C" NOT NULL,
    model TEXT COLLATE "C" NOT NULL, nano_usd BIGINT, input_tokens BIGINT NOT NULL, cached_tokens BIGINT NOT NULL,
    output_tokens BIGINT NOT NULL, detail TEXT NOT NULL, endpoint TEXT COLLATE "C" NOT NULL,
    saved_nano_usd BIGINT NOT NULL, PRIMARY KEY (call, position)
);
CREATE TABLE IF NOT EXISTS accounts (
    scope TEXT COLLATE "C" PRIMARY KEY, spent BIGINT NOT NULL, held BIGINT NOT NULL
) WITH (fillfactor = 50);
CREATE TABLE IF NOT EXISTS holds (
    id TEXT NOT NULL, scope TEXT COLLATE "C" NOT NULL, nano_usd BIGINT NOT NULL, until DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (id, scope)
);
CREATE INDEX IF NOT EXISTS holds_by_end ON holds (scope, until);
"""
_ONE_MAKES_IT = 0x7261676B6974
"""Name of the lock under which the tables are made: two that do so at once would fail."""
# The server lets go of what a client that is cut off had locked. Where it is set up to return from a commit before that
# is on the disk, it is told to wait.
_STEP = """
BEGIN ISOLATION LEVEL READ COMMITTED;
SET LOCAL search_path = ragkit;
SET LOCAL synchronous_commit = on;
SET LOCAL lock_timeout = '60s';
SET LOCAL idle_in_transaction_session_timeout = '30s';
LOCK TABLE accounts IN {} MODE
"""
_BESIDE_OTHERS = _STEP.format("ROW EXCLUSIVE").encode()
_ALONE = _STEP.format("SHARE ROW EXCLUSIVE").encode()
_READ = b"BEGIN READ ONLY; SET LOCAL search_path = ragkit"
_PAUSE_S = 0.1


class PostgresDatabase:
    """The database at an address. Its tables are made by the first step, if they are not there.

    Raises RagkitError, without the password, for what is no address, and later when the database cannot be used.
    """

    remote = True

    def __init__(self, address: str, password: SecretStr | None) -> None:
        self._place = shown_url(address)
        self._secret = password.get_secret_value() if password is not None else ""
        try:
            given = conninfo_to_dict(address)
        except psycopg.Error as error:
            raise self._fault(error) from None
        secret = {"password": self._secret} if self._secret else {}
        self._pool = Pool({**SETTINGS, "connect_timeout": 5, **given, **secret}, self._prepare)
        self._has_tables = False

    def within(self, step: Callable[[Transaction], T], *, alone: bool = False, patience_s: float = 0.0) -> T:
        return self._in_transaction(_ALONE if alone else _BESIDE_OTHERS, lambda db: step(_Step(db)), patience_s)

    def rows(self, query: str, values: Sequence[object]) -> Iterator[tuple[Any, ...]]:
        yield from self._in_transaction(_READ, lambda db: _Step(db).rows(query, values))

    def close(self) -> None:
        """Close the connections that are not in use."""
        self._pool.close()

    def _in_transaction(self, begin: bytes, step: Callable[[Connection], T], patience_s: float = 0.0) -> T:
        ends = time.monotonic() + patience_s
        first = True
        while True:
            connection = None
            try:
                with self._pool.connection() as connection:
                    return _committed(connection, begin, step)
            except psycopg.Error as error:
                lost = connection is not None and connection.closed
                if lost:
                    self.close()  # the others are of the same server
                    if first:  # which may have started again since that connection was idle
                        first = False
                        continue
                if (connection is not None and not lost) or time.monotonic() >= ends:
                    raise self._fault(error) from None
            time.sleep(_PAUSE_S)

    def _prepare(self, connection: Connection) -> None:
        if not self._has_tables:
            _make_tables(connection)
            self._has_tables = True

    def _fault(self, error: psycopg.Error) -> RagkitError:
        return RagkitError(
            f"the ledger {self._place} cannot be used ({quoted(str(error), self._secret)})",
            mend="start its server, or mend costs.ledger and costs.ledger_password",
        )


def _committed(connection: Connection, begin: bytes, step: Callable[[Connection], T]) -> T:
    try:
        connection.execute(begin)
        # What gives no rows is sent along with what comes after it: while a step has its accounts, others wait.
        with connection.pipeline():
            done = step(connection)
            connection.execute(b"COMMIT")
    except Exception:
        with suppress(psycopg.Error):  # of a connection that is lost
            connection.execute(b"ROLLBACK")
        raise
    return done


def _make_tables(db: Connection) -> None:
    if db.execute("SELECT to_regclass('ragkit.holds')").fetchone() != (None,):
        return
    with db.transaction():
        db.execute("SELECT pg_advisory_xact_lock(%s)", (_ONE_MAKES_IT,))
        if db.execute("SELECT to_regnamespace('ragkit')").fetchone() == (None,):
            db.execute("CREATE SCHEMA ragkit")
        db.execute(_SCHEMA)


class _Step:
    """A transaction."""

    def __init__(self, db: Connection) -> None:
        self._db = db

    def rows(self, query: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        return self._db.execute(_marked(query), values).fetchall()

    def run(self, statement: str, values: Sequence[object] = ()) -> None:
        self._db.execute(_marked(statement), values)

    def run_each(self, statement: str, rows: Sequence[Sequence[object]]) -> None:
        with self._db.cursor() as cursor:
            cursor.executemany(_marked(statement), rows)

    def add_call(self, token: str, values: Sequence[object]) -> object:
        statement = "INSERT INTO calls VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING RETURNING id"
        added = self.rows(statement, (token, *values))
        return added[0][0] if added else None

    def accounts(self, names: Iterable[str]) -> dict[str, tuple[int, int]]:
        statement = "SELECT scope, spent, held FROM accounts WHERE scope = ANY(?) ORDER BY scope FOR UPDATE"
        return {scope: (spent, held) for scope, spent, held in self.rows(statement, (list(names),))}


def _marked(statement: str) -> bytes:
    return statement.replace("?", "%s").encode()
