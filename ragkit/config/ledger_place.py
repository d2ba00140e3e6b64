"""Where a ledger lies: a file, or a database on a PostgreSQL server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any
from urllib.parse import parse_qsl

from pydantic import BeforeValidator, WithJsonSchema

POSTGRES_SCHEMES = ("postgresql://", "postgres://")
_WRONG = "this is no ledger; write a file such as .ragkit/ledger.sqlite, or postgresql://user@host/database"


def ledger_place(given: Any) -> Any:
    """A path, or the address of a PostgreSQL database as libpq takes it (several hosts and options too).

    Raises ValueError, without the address, for other schemes, or when the address has a password in it.

    >>> ledger_place("postgresql://ragkit@localhost:5432/ragkit")
    'postgresql://ragkit@localhost:5432/ragkit'
    >>> ledger_place(".ragkit/ledger.sqlite").name
    'ledger.sqlite'
    """
    if isinstance(given, Path):
        return given
    if not isinstance(given, str) or not given:
        raise ValueError(_WRONG)
    if not given.startswith(POSTGRES_SCHEMES):
        if "://" in given:
            raise ValueError(_WRONG)
        return Path(given)
    if not given.isprintable() or " " in given:
        raise ValueError(_WRONG)
    refuse_password(given, "costs.ledger_password")
    return given


def refuse_password(address: str, key: str) -> None:
    """Raise ValueError, without the address, for one of PostgreSQL that has a password in it; `key` is for those."""
    user, at, _ = address.partition("://")[2].rpartition("@")  # a password may hold / and ? and @
    options = parse_qsl(address.partition("?")[2], keep_blank_values=True)
    secret = any(name in ("password", "sslpassword") for name, _ in options)
    if secret or (at and ":" in user):
        raise ValueError(f"a password in the address would be shown; set {key}: ${{POSTGRES_PASSWORD}}")


LedgerPlace = Annotated[Path | str, BeforeValidator(ledger_place), WithJsonSchema({"type": "string"})]
"""A path is a SQLite file, text the address of a PostgreSQL database."""
