"""Connections to a PostgreSQL server, shared by the threads of a process: a few, kept while they work."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from ragkit.errors import MissingExtra

try:
    import psycopg
    from psycopg.pq import TransactionStatus
except ImportError:  # also where psycopg finds no libpq
    raise MissingExtra("psycopg", "postgres") from None

Connection = psycopg.Connection[tuple[Any, ...]]

SETTINGS: Mapping[str, Any] = {
    "application_name": "ragkit",
    "client_encoding": "utf8",
    # A server that vanished without a word is noticed within half a minute.
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,
}
"""What the address may set otherwise."""
_CONNECTIONS = 8
"""Most of a process; more threads wait for one another."""
_LEFT_BEHIND: list[object] = []
"""What a forked process must keep and not touch: those of the process before, which goes on with them."""


class Pool:
    """Nothing is connected before the first use. Connections commit each statement that is in no transaction, so their
    state does not matter between two uses, nor a pooler between."""

    def __init__(self, settings: Mapping[str, Any], prepare: Callable[[Connection], None] | None = None) -> None:
        """`settings` as psycopg.connect takes them; `prepare` is called with each new connection."""
        self._settings = dict(settings)
        self._prepare = prepare
        self._start()

    @contextmanager
    def connection(self) -> Generator[Connection]:
        """One that is idle, or a new one. What is left inside a transaction or lost is closed afterwards: the server
        undoes what was begun. Raises psycopg.Error."""
        if self._process != os.getpid():
            _LEFT_BEHIND.append(self._idle)
            self._start()
        with self._room:
            try:
                connection = self._idle.pop()
            except IndexError:
                connection = self._connected()
            try:
                yield connection
            finally:
                if connection.info.transaction_status == TransactionStatus.IDLE:
                    self._idle.append(connection)
                else:
                    connection.close()

    def close(self) -> None:
        """Close the connections that are not in use."""
        with suppress(IndexError):
            while True:
                self._idle.pop().close()

    def _start(self) -> None:
        self._process = os.getpid()
        self._idle: deque[Connection] = deque()
        self._room = threading.BoundedSemaphore(_CONNECTIONS)

    def _connected(self) -> Connection:
        connection = psycopg.connect(**self._settings, autocommit=True, prepare_threshold=None)
        try:
            if self._prepare is not None:
                self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection
