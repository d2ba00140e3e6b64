"""Where a store is that is no folder: a Qdrant server, or a database on a PostgreSQL server."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from ragkit.config.ledger_place import POSTGRES_SCHEMES, refuse_password
from ragkit.service import http_address


def store_address(url: str) -> str:
    """The address: of PostgreSQL as libpq takes it, any other one as `http_address` does.

    Raises ValueError, without the address, for what is none, or when one of PostgreSQL has a password in it.

    >>> store_address("postgresql://ragkit@localhost:5432/ragkit"), store_address("http://localhost:6333/")
    ('postgresql://ragkit@localhost:5432/ragkit', 'http://localhost:6333')
    """
    if not url.startswith(POSTGRES_SCHEMES):
        return http_address(url)
    if not url.isprintable() or " " in url:
        raise ValueError("this is no address of PostgreSQL; write it like postgresql://user@host/database")
    refuse_password(url, "ingestion.store.password")
    return url


StoreAddress = Annotated[str, AfterValidator(store_address)]
