"""What goes wrong with any store on a server: it is not there, is somebody else's, or is of another model."""

from __future__ import annotations

from ragkit import service
from ragkit.config.schema import Store
from ragkit.errors import StoreError

_CALLED = {"qdrant": ("Qdrant", "collection"), "pgvector": ("pgvector", "table")}


def shown(config: Store) -> str:
    """The server's address without user, password and options.

    >>> shown(Store(backend="qdrant", url="https://user:secret@qdrant.example:6333/?k=1"))
    'https://qdrant.example:6333'
    """
    return f"the {_CALLED[config.backend][0]} store" if config.url is None else service.shown_url(config.url)


def missing(config: Store) -> StoreError:
    """The collection or table is gone, or never was there."""
    return StoreError(
        f"{shown(config)} has no {_named(config)}",
        mend="mend ingestion.store.url, or run: ragkit index --rebuild PATH",
    )


def foreign(config: Store) -> StoreError:
    """What has that name is not of ragkit's form: it belongs to something else."""
    return StoreError(
        f"the {_named(config)} at {shown(config)} was not made by ragkit",
        mend="name another one in ingestion.store.collection",
    )


def wrong_dimensions(config: Store, held: int, given: int) -> StoreError:
    """Vectors of one model and a collection or table of another."""
    return StoreError(
        f"the {_named(config)} holds vectors of {held} dimensions, not {given}",
        mend="run: ragkit index --rebuild, or set ingestion.embedding as the index was built",
    )


def _named(config: Store) -> str:
    return f"{_CALLED[config.backend][1]} {config.collection!r}"
