"""Reads and changes of a PostgreSQL server: a read is one statement, a change one transaction.

All that is set is set for the transaction, so that the state of a connection does not matter, nor a pooler between.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import psycopg
from psycopg.conninfo import conninfo_to_dict

from ragkit.config.schema import Store
from ragkit.errors import ConfigError
from ragkit.postgres import SETTINGS, Connection, Pool
from ragkit.store.pgvector_faults import explained

T = TypeVar("T")
Row = tuple[Any, ...]


class Connections:
    """Nothing is connected before the first statement. Raises ConfigError without a usable `url`, StoreError later."""

    def __init__(self, config: Store) -> None:
        self._config = config
        if not (config.url or "").startswith(("postgresql://", "postgres://")):
            raise ConfigError(
                "ingestion.store.url is no address of PostgreSQL, which backend pgvector needs",
                mend="set it, e.g. to postgresql://ragkit@localhost:5432/ragkit",
            )
        with explained(config):
            given = conninfo_to_dict(config.url or "")
        settings: dict[str, Any] = {**SETTINGS, "connect_timeout": max(2, math.ceil(config.timeout_s)), **given}
        if config.password is not None and config.password.get_secret_value():
            settings["password"] = config.password.get_secret_value()
        self._pool = Pool(settings)

    def rows(
        self, query: bytes, values: Mapping[str, Any] | None = None, settings: Mapping[str, object] | None = None
    ) -> list[Row]:
        """What one statement reads; `settings` of the server hold for it alone."""

        def read(connection: Connection) -> list[Row]:
            # Sent at once, so that a server far away is waited for once.
            with connection.pipeline():
                connection.execute(b"BEGIN READ ONLY")
                self._set(connection, settings)
                found = connection.execute(query, values or {})
                connection.execute(b"COMMIT")
            return found.fetchall()

        return self._again_if_lost(read)

    def change(self, step: Callable[[Connection], T], settings: Mapping[str, object] | None = None) -> T:
        """Do a step as one transaction. It must be one that can be done twice: a commit whose answer was lost is."""

        def write(connection: Connection) -> T:
            connection.execute(b"BEGIN")
            self._set(connection, {"synchronous_commit": "on", **(settings or {})})
            done = step(connection)
            connection.execute(b"COMMIT")
            return done

        return self._again_if_lost(write)

    def outside(self, statement: bytes) -> None:
        """A statement that takes its time and is in no transaction, such as VACUUM."""
        self._again_if_lost(lambda connection: connection.execute(statement))

    def close(self) -> None:
        """Close the connections that are not in use."""
        self._pool.close()

    def _set(self, connection: Connection, settings: Mapping[str, object] | None) -> None:
        wanted = {"statement_timeout": math.ceil(self._config.timeout_s * 1000), **(settings or {})}
        calls = ", ".join(["set_config(%s, %s, true)"] * len(wanted))
        pairs = [text for name, value in wanted.items() for text in (name, str(value))]
        connection.execute(f"SELECT {calls}".encode(), pairs)

    def _again_if_lost(self, step: Callable[[Connection], T]) -> T:
        """A second time on a new connection, where the server has started again since the first was idle."""
        with explained(self._config):
            connection: Connection | None = None
            try:
                with self._connection() as connection:
                    return step(connection)
            except psycopg.OperationalError:
                if connection is None or not connection.closed:
                    raise
            self.close()  # the others are of the same server
            with self._connection() as connection:
                return step(connection)

    @contextmanager
    def _connection(self) -> Generator[Connection]:
        with self._pool.connection() as connection:
            try:
                yield connection
            except BaseException:
                with suppress(psycopg.Error):  # of a connection that is lost
                    connection.execute(b"ROLLBACK")
                raise
