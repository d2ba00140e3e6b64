"""Vectors of the index as it is, kept for a rebuild: a text that stays the same is not embedded again."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from ragkit.config.schema import Config
from ragkit.ingest.vectors import VectorJournal
from ragkit.store import StoreReader
from ragkit.store.manifest import Manifest
from ragkit.store.open import Snapshot, open_snapshot
from ragkit.types import Chunk

if TYPE_CHECKING:
    from numpy.typing import NDArray

_AT_ONCE = 256
_UNIT = 1e-3
"""How far from 1 the length of a kept vector may be."""


def keep_vectors(config: Config, manifest: Manifest, journal: VectorJournal, splade: VectorJournal | None) -> None:
    """Put the vectors of all chunks into the journals of a run that begins, by the text that they stand for.

    Those of another model stay where they are: the manifest says by which each was made, down to the bytes of its
    files. A run that is killed does so again.
    """
    dense = manifest.meta("embedded_by") == journal.model
    sparse = splade is not None and manifest.meta("splade_by") == splade.model
    if not dense and not sparse:
        return
    # What is broken is built anew: a rebuild is the mend of it. The engine's panics are no `Exception`.
    try:
        snapshot = open_snapshot(config)
        try:
            if dense:
                _keep_dense(snapshot.store, journal)
            if sparse and splade is not None:
                _keep_sparse(snapshot, splade)
        finally:
            snapshot.close()
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        logging.getLogger(__name__).warning("not all vectors of the index before could be kept: %s", error)


def _keep_dense(store: StoreReader, journal: VectorJournal) -> None:
    length = None
    for chunks in _several(store):
        found = store.vectors([chunk.id for chunk in chunks])
        length = length or next((len(vector) for vector in found.values()), None)
        kept = [chunk for chunk in chunks if chunk.id in found and _is_whole(found[chunk.id], length)]
        journal.put([chunk.indexed_text for chunk in kept], [found[chunk.id] for chunk in kept])


def _keep_sparse(snapshot: Snapshot, journal: VectorJournal) -> None:
    for entry in snapshot.manifest.entries():
        found = snapshot.store.splade_of(entry.id)
        kept = [chunk for chunk in snapshot.store.chunks_of(entry.id) if chunk.id in found]
        kept = [chunk for chunk in kept if np.isfinite(found[chunk.id]).all() and (found[chunk.id] >= 0).all()]
        journal.put([chunk.indexed_text for chunk in kept], [found[chunk.id] for chunk in kept])


def _is_whole(vector: NDArray[np.float32], length: int | None) -> bool:
    """Whether it can be what was written: of unit length, as stores keep them. Bytes of a damaged disk are not."""
    with np.errstate(over="ignore", invalid="ignore"):
        return len(vector) == length and bool(abs(float(np.linalg.norm(vector)) - 1) < _UNIT)


def _several(store: StoreReader) -> Iterator[list[Chunk]]:
    chunks = store.iter_chunks()
    while part := list(islice(chunks, _AT_ONCE)):
        yield part
