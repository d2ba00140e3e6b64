"""Open an index for reading, or for one writer, whichever backend the config names."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ragkit.config.schema import Config, Store
from ragkit.errors import StoreError
from ragkit.store import QuestionWeights, StoreReader, StoreWriter
from ragkit.store.folder import (
    MANIFEST,
    SHARD,
    collect_garbage,
    current_generation,
    current_name,
    discard_building,
    forget_kept,
    hold_current,
    keep_current,
    publish,
    release,
    start_building,
)
from ragkit.store.manifest import Manifest

if TYPE_CHECKING:
    from ragkit.store.qdrant_edge import EdgeStore


class NoIndex(StoreError):
    """Nothing was indexed here yet."""


class ServedStore(StoreWriter, Protocol):
    """A store on a server, which an index folder has only the manifest of."""

    def exists(self) -> bool:
        """Whether there is something under the name of the config."""
        ...

    def drop(self) -> None:
        """Delete it, if it is there and ragkit made it."""
        ...

    def missing(self) -> StoreError:
        """What to say where it ought to be there and is not."""
        ...


@dataclass(slots=True)
class Snapshot:
    """What a reader sees: a store and its manifest, unchanged for as long as it is open.

    `generation` changes with every published change; `is_current` says whether a newer one is there.
    """

    store: StoreReader
    manifest: Manifest
    generation: str
    folder: Path
    _release: weakref.finalize[..., StoreReader] | None = None

    @property
    def state(self) -> str:
        """A name that no other state of the index has; "" where it changes under its readers."""
        return "" if self._release is None else self.generation

    def is_current(self) -> bool:
        return self._release is None or current_name(self.folder) == self.generation

    def close(self) -> None:
        self.store.close()
        self.manifest.close()
        if self._release is not None:
            self._release()


@dataclass(slots=True)
class Edit:
    """What a writer works on. Nothing is visible to readers of an embedded index before `publish`."""

    store: StoreWriter
    manifest: Manifest
    _folder: Path
    _embedded: bool
    published: bool = False

    def publish(self, *, keep_journals: bool = False) -> None:
        """Put everything on disk and make it what readers open; `keep_journals` as of `folder.publish`."""
        self.store.finish()
        self._close()
        if self._embedded:
            publish(self._folder, keep_journals=keep_journals)
        self.published = True

    def keep_current(self, until: float) -> None:
        """Keep the generation that this one replaces, until a time (seconds since 1970)."""
        if self._embedded:
            keep_current(self._folder, until)

    def forget_kept(self) -> None:
        """Keep no older generation: what is deleted from the index must not stay in it."""
        if self._embedded:
            forget_kept(self._folder)

    def discard(self) -> None:
        """Give up: an embedded index stays as it was."""
        self._close()
        if self._embedded:
            discard_building(self._folder)

    def _close(self) -> None:
        self.store.close()
        self.manifest.close()


def open_snapshot(config: Config, opened_with: Callable[[Manifest], Config] | None = None) -> Snapshot:
    """The index as it is now. Raises NoIndex when there is none.

    `opened_with` gives the config to open it with, by its manifest; what it raises is raised.
    """
    folder = config.ingestion.store.path
    if is_served(config.ingestion.store):
        if not (folder / MANIFEST).exists():
            raise NoIndex(f"there is no index at {folder}", mend="run: ragkit index PATH")
        manifest = Manifest(folder / MANIFEST, mode="ro")
        try:
            config = config if opened_with is None else opened_with(manifest)
            store = _served_store(config)
        except BaseException:
            manifest.close()
            raise
        try:
            # What is not there reads as empty; with documents in the manifest that is a wrong name or a lost server.
            if manifest.totals()[1] and not store.exists():
                raise store.missing()
        except BaseException:
            store.close()
            manifest.close()
            raise
        return Snapshot(store, manifest, "live", folder)
    held = hold_current(folder)
    if held is None:
        raise NoIndex(f"there is no index at {folder}", mend="run: ragkit index PATH")
    generation, lease = held
    manifest = Manifest(generation / MANIFEST, mode="immutable")
    try:
        config = config if opened_with is None else opened_with(manifest)
        store = _embedded_store(config, generation)
    except BaseException:
        manifest.close()
        release(generation, lease)
        raise
    # A reader that follows the index drops old snapshots while other threads may still search their stores.
    return Snapshot(store, manifest, generation.name, folder, weakref.finalize(store, release, generation, lease))


@contextmanager
def open_manifest(config: Config) -> Generator[Manifest | None]:
    """The manifest alone, for comparing with the sources; None when nothing was indexed yet."""
    folder = config.ingestion.store.path
    embedded = not is_served(config.ingestion.store)
    place = current_generation(folder) if embedded else folder
    if place is None or not (place / MANIFEST).exists():
        yield None
        return
    manifest = Manifest(place / MANIFEST, mode="immutable" if embedded else "ro")
    try:
        yield manifest
    finally:
        manifest.close()


def open_edit(config: Config, *, fresh: bool) -> Edit:
    """A place to write; `fresh` starts from nothing. The caller holds `writer_lock` on the folder."""
    folder = config.ingestion.store.path
    if is_served(config.ingestion.store):
        server = _served_store(config)
        if fresh:
            server.drop()
            (folder / MANIFEST).unlink(missing_ok=True)
        return Edit(server, Manifest(folder / MANIFEST), folder, False)
    collect_garbage(folder)
    building = start_building(folder, fresh)
    return Edit(_embedded_store(config, building), Manifest(building / MANIFEST), folder, True)


def is_served(store: Store) -> bool:
    """Whether chunks lie on a server, where changes are seen at once, and not in generations of the folder.

    >>> is_served(Store()), is_served(Store(backend="pgvector"))
    (False, True)
    """
    return store.backend != "qdrant_edge"


def _embedded_store(config: Config, generation: Path) -> EdgeStore:
    from ragkit.store.qdrant_edge import EdgeStore

    kept = config.ingestion.store.vectors
    return EdgeStore(generation / SHARD, config.retrieval.bm25, _question_weights(config), kept)


def _served_store(config: Config) -> ServedStore:
    store, bm25, splade = config.ingestion.store, config.retrieval.bm25, _question_weights(config)
    if store.backend == "pgvector":
        from ragkit.store.pgvector import PgvectorStore

        return PgvectorStore(store, bm25, splade)
    from ragkit.store.qdrant import QdrantStore

    return QdrantStore(store, bm25, splade=splade)


def _question_weights(config: Config) -> QuestionWeights | None:
    """None, and nothing imported, where `retrieval.sparse` leaves SPLADE out."""
    if config.retrieval.sparse == "bm25":
        return None
    from ragkit.embed.splade import question_weights

    return question_weights(config)


@contextmanager
def editing(config: Config, *, fresh: bool) -> Generator[Edit]:
    """`open_edit` for a block; what the block has not published is given up."""
    edit = open_edit(config, fresh=fresh)
    try:
        yield edit
    finally:
        if not edit.published:
            edit.discard()
