"""Which collection of a server belongs to a generation of the index.

A generation of a served index holds the manifest, and in the file `collection.json` the name of a collection that no
other index has: that of the config and eight random digits. Small changes are made in the current generation's own
collection. What replaces all of it (`--rebuild`, `--blue-green`) goes into a new one, which is searched from the moment
that `CURRENT` names its generation. A collection is deleted before its generation is; nothing else ever is.
"""

from __future__ import annotations

import json
import logging
import secrets
from pathlib import Path
from typing import Protocol

from ragkit.config.schema import Config
from ragkit.durable import write_whole
from ragkit.errors import StoreError
from ragkit.store import QuestionWeights, StoreWriter
from ragkit.store.folder import every_generation

_COLLECTION = "collection.json"
_log = logging.getLogger(__name__)


class ServedStore(StoreWriter, Protocol):
    """A store on a server, which an index folder has only the manifest of."""

    def exists(self) -> bool:
        """Whether there is something under its name. Raises StoreError if ragkit did not make it."""
        ...

    def drop(self) -> None:
        """Delete it, if it is there and ragkit made it."""
        ...

    def missing(self) -> StoreError:
        """What to say where it ought to be there and is not."""
        ...


def new_collection(config: Config, generation: Path) -> None:
    """Let a generation that is begun have a collection of its own, which is made with the first vectors."""
    store = config.ingestion.store
    place = {"backend": store.backend, "name": f"{store.collection}_{secrets.token_hex(4)}"}
    write_whole(generation / _COLLECTION, json.dumps(place))


def backend_of(generation: Path) -> str:
    """Where the chunks of a generation are: `qdrant_edge` in its folder, else on which kind of server."""
    place = _place(generation)
    return "qdrant_edge" if place is None else place[0]


def collection_name(generation: Path) -> str | None:
    """The collection of a generation, None where its chunks are in its folder."""
    place = _place(generation)
    return None if place is None else place[1]


def collection_of(config: Config, generation: Path, splade: QuestionWeights | None = None) -> ServedStore:
    """The store of a generation. Raises StoreError where it has none."""
    name = collection_name(generation)
    if name is None:
        raise StoreError(f"{generation / _COLLECTION} is not there", mend="run: ragkit index --rebuild PATH")
    settings, bm25 = config.ingestion.store.model_copy(update={"collection": name}), config.retrieval.bm25
    if settings.backend == "pgvector":
        from ragkit.store.pgvector import PgvectorStore

        return PgvectorStore(settings, bm25, splade)
    from ragkit.store.qdrant import QdrantStore

    return QdrantStore(settings, bm25, splade=splade)


def drop_collection(config: Config, generation: Path) -> None:
    """Delete the collection of a generation that goes, unless another generation has it too: a rollback makes one that
    does. Raises StoreError where the server is out of reach; of a server that the config does not name it is told."""
    place = _place(generation)
    if place is None or place in {
        _place(other) for other in every_generation(generation.parent) if other != generation
    }:
        return
    backend, name = place
    if backend != config.ingestion.store.backend:
        _log.warning("%s stays on the %s server that the index was in before; delete it there", name, backend)
        return
    store = collection_of(config, generation)
    try:
        store.drop()
    finally:
        store.close()


def _place(generation: Path) -> tuple[str, str] | None:
    """Backend and name; None for a generation without a collection. Raises StoreError for a damaged file."""
    file = generation / _COLLECTION
    try:
        place = json.loads(file.read_text(encoding="utf-8"))
        return str(place["backend"]), str(place["name"])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{file} is damaged", mend="run: ragkit index --rebuild PATH") from error
