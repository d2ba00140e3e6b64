"""Which collection of a server belongs to a generation of the index.

A generation of a served index holds the manifest, and in the file `collection` what follows the name that the config
gives: nothing in the first generation, `_2` or more in one that was built beside another. Small changes are made in the
current generation's own collection. What replaces all of it (`--rebuild`, `--blue-green`) goes into a collection of its
own, which is searched from the moment that `CURRENT` names its generation.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Protocol

from ragkit.config.schema import Config
from ragkit.durable import write_whole
from ragkit.errors import StoreError
from ragkit.store import QuestionWeights, StoreWriter
from ragkit.store.folder import every_generation
from ragkit.store.served_faults import Foreign, held_elsewhere

_COLLECTION = "collection"


class ServedStore(StoreWriter, Protocol):
    """A store on a server, which an index folder has only the manifest of."""

    def exists(self) -> bool:
        """Whether there is something under the name of the config. Raises Foreign if ragkit did not make it."""
        ...

    def drop(self) -> None:
        """Delete it, if it is there and ragkit made it."""
        ...

    def missing(self) -> StoreError:
        """What to say where it ought to be there and is not."""
        ...


def lies_on_server(generation: Path) -> bool:
    """Whether the chunks of a generation are in a collection, and not in its folder."""
    return _suffix(generation) is not None


def collection_of(config: Config, generation: Path, splade: QuestionWeights | None = None) -> ServedStore:
    """The store of a generation."""
    return _named(config, _suffix(generation) or "", splade)


def first_collection(config: Config, building: Path, *, replace: bool) -> None:
    """Let a generation that no other one was before have the collection that the config names, empty.

    Raises StoreError for a collection that is there already, unless it is to be replaced: it belongs to the index of
    another folder, which may be searched, or to one whose folder is lost.
    """
    store = _named(config, "")
    try:
        if replace:
            store.drop()
        elif store.exists():
            raise held_elsewhere(config.ingestion.store)
    finally:
        store.close()
    write_whole(building / _COLLECTION, "")


def another_collection(config: Config, building: Path) -> None:
    """Let a generation have a collection that is not there yet."""
    taken = {_suffix(generation) for generation in every_generation(building.parent)}
    suffix = next(each for each in _suffixes() if each not in taken and _is_free(config, each))
    write_whole(building / _COLLECTION, suffix)


def drop_collection(config: Config, generation: Path) -> None:
    """Delete the collection of a generation that goes, unless another generation has it too: a rollback makes one that
    does. Raises StoreError where the server is out of reach."""
    suffix = _suffix(generation)
    others = {_suffix(other) for other in every_generation(generation.parent) if other != generation}
    if suffix is None or suffix in others:
        return
    store = _named(config, suffix)
    try:
        store.drop()
    finally:
        store.close()


def _suffixes() -> Iterator[str]:
    yield ""
    for number in count(2):
        yield f"_{number}"


def _suffix(generation: Path) -> str | None:
    """None before it is chosen, and after the generation was deleted."""
    try:
        return (generation / _COLLECTION).read_text(encoding="ascii")
    except FileNotFoundError:
        return None


def _is_free(config: Config, suffix: str) -> bool:
    store = _named(config, suffix)
    try:
        return not store.exists()
    except Foreign:
        return False
    finally:
        store.close()


def _named(config: Config, suffix: str, splade: QuestionWeights | None = None) -> ServedStore:
    settings, bm25 = config.ingestion.store, config.retrieval.bm25
    settings = settings.model_copy(update={"collection": settings.collection + suffix})
    if settings.backend == "pgvector":
        from ragkit.store.pgvector import PgvectorStore

        return PgvectorStore(settings, bm25, splade)
    from ragkit.store.qdrant import QdrantStore

    return QdrantStore(settings, bm25, splade=splade)
