"""Open an index for reading, or for one writer, whichever backend the config names."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING

from ragkit.config.schema import Config, Store
from ragkit.errors import StoreError
from ragkit.store import QuestionWeights, StoreReader, StoreWriter
from ragkit.store.folder import (
    MANIFEST,
    SHARD,
    Removing,
    collect_garbage,
    current_generation,
    current_name,
    discard_building,
    forget_kept,
    generation_before,
    hold_current,
    keep_current,
    publish,
    release,
    start_building,
)
from ragkit.store.manifest import Manifest
from ragkit.store.served import ServedStore, backend_of, collection_of, drop_collection, new_collection

if TYPE_CHECKING:
    from ragkit.store.qdrant_edge import EdgeStore


_log = logging.getLogger(__name__)


class NoIndex(StoreError):
    """Nothing was indexed here yet."""


@dataclass(slots=True)
class Snapshot:
    """What a reader sees: a store and its manifest. Those of an embedded index are unchanged for as long as it is open;
    in those of one on a server, `live`, small changes are seen at once.

    `generation` changes with every other change; `is_current` says whether a newer one is there.
    """

    store: StoreReader
    manifest: Manifest
    generation: str
    folder: Path
    live: bool
    _release: weakref.finalize[..., StoreReader]

    @property
    def state(self) -> str:
        """A name that no other state of the index has; "" where it changes under its readers."""
        return "" if self.live else self.generation

    def is_current(self) -> bool:
        return current_name(self.folder) == self.generation

    def close(self) -> None:
        self.store.close()
        self.manifest.close()
        self._release()


@dataclass(slots=True)
class Edit:
    """What a writer works on, in a generation: in `building`, of which readers see nothing before `publish`, or in the
    current one of an index on a server (`live`)."""

    store: StoreWriter
    manifest: Manifest
    _config: Config
    _generation: Path
    _live: bool
    published: bool = False

    def publish(self, *, keep_journals: bool = False) -> None:
        """Put everything on disk and make it what readers open; `keep_journals` as of `folder.publish`."""
        self.store.finish()
        self._close()
        if not self._live:
            publish(self._folder, keep_journals=keep_journals, removing=removal(self._config))
        self.published = True

    def keep_current(self, until: float) -> None:
        """Keep the generation that this one replaces, until a time (seconds since 1970)."""
        keep_current(self._folder, until)

    def forget_kept(self) -> None:
        """Keep no older generation: what is deleted from the index must not stay in it."""
        forget_kept(self._generation)
        if self._live:
            clear_up(self._config)

    def discard(self) -> None:
        """Give up: the index stays as it was, or, where changes are seen at once, as far as they have come."""
        self._close()
        if not self._live:
            give_up(self._config)

    @property
    def _folder(self) -> Path:
        return self._config.ingestion.store.path

    def _close(self) -> None:
        self.store.close()
        self.manifest.close()


def open_snapshot(config: Config, opened_with: Callable[[Manifest], Config] | None = None) -> Snapshot:
    """The index as it is now. Raises NoIndex when there is none, and StoreError where its chunks lie elsewhere than the
    config says.

    `opened_with` gives the config to open it with, by its manifest; what it raises is raised.
    """
    folder, live = config.ingestion.store.path, is_served(config.ingestion.store)
    held = hold_current(folder)
    if held is None:
        raise NoIndex(f"there is no index at {folder}", mend="run: ragkit index PATH")
    generation, give_back = held[0], _giving_back(config, *held)
    manifest: Manifest | None = None
    try:
        _refuse_other_backend(config, generation)
        manifest = _manifest(generation)
        config = config if opened_with is None else opened_with(manifest)
        store = _served_store(config, generation, manifest) if live else _embedded_store(config, generation)
    except BaseException:
        if manifest is not None:
            manifest.close()
        give_back()
        raise
    # A reader that follows the index drops old snapshots while other threads may still search their stores.
    return Snapshot(store, manifest, generation.name, folder, live, weakref.finalize(store, give_back))


@contextmanager
def open_manifest(config: Config, *, to_replace: bool = False) -> Generator[Manifest | None]:
    """The manifest alone, for comparing with the sources; None when nothing was indexed yet.

    Raises StoreError where it is damaged or the chunks lie elsewhere than the config says. For who makes all of it anew
    (`to_replace`) a damaged one is none, and chunks may lie anywhere.
    """
    with ExitStack() as opened:
        manifest: Manifest | None = None
        try:
            held = hold_current(config.ingestion.store.path)
            if held is not None:
                opened.callback(_giving_back(config, *held))
                if not to_replace:
                    _refuse_other_backend(config, held[0])
                manifest = _manifest(held[0])
                opened.callback(manifest.close)
                if to_replace:
                    manifest.check()
        except StoreError as error:
            if not to_replace:
                raise
            manifest = None
            _log.warning("%s; what it was made of is not known any more", error.message)
        yield manifest


def open_edit(config: Config, *, fresh: bool) -> Edit:
    """A place to write; `fresh` starts from nothing, whatever is there. The caller holds the folder's `writer_lock`."""
    folder, served = config.ingestion.store.path, is_served(config.ingestion.store)
    current = generation_before(folder) if fresh else current_generation(folder)
    if current is not None and not fresh:
        _refuse_other_backend(config, current)
    clear_up(config)
    if served and (current is None or not fresh):
        return _edit_in_place(config, current or _begun(config))
    building = start_building(folder, fresh)
    if served:
        new_collection(config, building)
        store = collection_of(config, building, _question_weights(config))
    else:
        store = _embedded_store(config, building)
    return Edit(store, Manifest(building / MANIFEST), config, building, False)


def _begun(config: Config) -> Path:
    """The first generation of an index on a server. It is seen while it grows, and what a killed run has written is
    taken up by the next."""
    building = start_building(config.ingestion.store.path, fresh=True)
    new_collection(config, building)
    Manifest(building / MANIFEST).close()
    return publish(config.ingestion.store.path, keep_journals=True)


def _edit_in_place(config: Config, generation: Path) -> Edit:
    manifest = Manifest(generation / MANIFEST)
    try:
        store = _served_store(config, generation, manifest)
    except BaseException:
        manifest.close()
        raise
    return Edit(store, manifest, config, generation, True)


def clear_up(config: Config) -> None:
    """Remove what a killed writer left, and generations that nobody needs, with their chunks if these lie on a server.

    The caller holds `writer_lock` on the folder. Raises StoreError where the server is out of reach.
    """
    folder = config.ingestion.store.path
    discard_building(folder, removal(config))
    collect_garbage(folder, removal(config))


def give_up(config: Config) -> None:
    """Remove what was begun. Raises nothing: what was raised before is what counts, and the next writer clears up."""
    try:
        discard_building(config.ingestion.store.path, removal(config))
    except StoreError as error:
        _log.warning("what was begun is left to the next run: %s", error)


def removal(config: Config) -> Removing:
    """What is to be done before a generation of this index is deleted."""
    return partial(drop_collection, config)


def is_served(store: Store) -> bool:
    """Whether chunks lie on a server, where changes are seen at once, and not in generations of the folder.

    >>> is_served(Store()), is_served(Store(backend="pgvector"))
    (False, True)
    """
    return store.backend != "qdrant_edge"


def _giving_back(config: Config, generation: Path, lease: IO[bytes]) -> Callable[[], object]:
    """What ends a lease. Only writers delete what lies on a server: a reader may not be allowed to."""
    return lease.close if is_served(config.ingestion.store) else partial(release, generation, lease)


def _embedded_store(config: Config, generation: Path) -> EdgeStore:
    from ragkit.store.qdrant_edge import EdgeStore

    kept = config.ingestion.store.vectors
    return EdgeStore(generation / SHARD, config.retrieval.bm25, _question_weights(config), kept)


def _served_store(config: Config, generation: Path, manifest: Manifest) -> ServedStore:
    store = collection_of(config, generation, _question_weights(config))
    try:
        # What is not there reads as empty; with documents in the manifest that is a wrong name or a lost server.
        if manifest.totals()[1] and not store.exists():
            raise store.missing()
    except BaseException:
        store.close()
        raise
    return store


def _refuse_other_backend(config: Config, generation: Path) -> None:
    held, named = backend_of(generation), config.ingestion.store.backend
    if held != named:
        raise StoreError(
            f"the index at {config.ingestion.store.path} was built with ingestion.store.backend {held}, not {named}",
            mend="set it so, name another ingestion.store.path, or run: ragkit index --rebuild",
        )


def _manifest(generation: Path) -> Manifest:
    return Manifest(generation / MANIFEST, mode="immutable" if backend_of(generation) == "qdrant_edge" else "ro")


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
