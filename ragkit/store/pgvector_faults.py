"""What went wrong at a PostgreSQL server with pgvector, said in one line with the mend and without the password."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import psycopg
from psycopg import errors

from ragkit import service
from ragkit.config.schema import Store
from ragkit.errors import StoreError
from ragkit.store.served_faults import missing, shown

OLDEST = (0, 8)
"""Since this version an HNSW index goes on until as many rows as are asked for meet a condition."""


@contextmanager
def explained(config: Store) -> Generator[None]:
    """Turn whatever psycopg raises inside the block into a StoreError; the cause, which may quote, is not chained."""
    try:
        yield
    except psycopg.Error as error:
        raise fault(config, error) from None


def no_extension(config: Store, version: str | None) -> StoreError:
    """The database has no pgvector, or one before `OLDEST`."""
    if version is None:
        return StoreError(
            f"{shown(config)} has no pgvector",
            mend="install it on the server, then run in this database: CREATE EXTENSION vector",
        )
    return StoreError(
        f"{shown(config)} has pgvector {version}, and ragkit needs {'.'.join(map(str, OLDEST))}",
        mend="install a newer one on the server, then run in this database: ALTER EXTENSION vector UPDATE",
    )


def fault(config: Store, error: psycopg.Error) -> StoreError:
    """What an error of psycopg means."""
    where, said = shown(config), service.quoted(str(error), _secret(config))
    if isinstance(error, errors.QueryCanceled):
        return StoreError(
            f"{where} gave no answer within {config.timeout_s:g} s",
            mend="raise ingestion.store.timeout_s, or see what keeps the server busy",
        )
    if isinstance(error, errors.UndefinedTable):
        return missing(config)
    if isinstance(error, errors.InsufficientPrivilege):
        return StoreError(
            f"{where} does not allow it ({said})", mend="give the user of ingestion.store.url the right to do so"
        )
    if isinstance(error, errors.DiskFull | errors.OutOfMemory | errors.TooManyConnections):
        return StoreError(f"{where} has no room ({said})", mend="see the server's log")
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return StoreError(
            f"{where} cannot be used ({said})",
            mend="start the server, or mend ingestion.store.url and ingestion.store.password",
        )
    return StoreError(f"{where} refused: {said}")


def _secret(config: Store) -> str:
    return config.password.get_secret_value() if config.password else ""
