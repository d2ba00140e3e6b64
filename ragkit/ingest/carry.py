"""Vectors of the index as it is, kept for a rebuild: a text that stays the same is not embedded again."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from ragkit.config.schema import Config
from ragkit.errors import StoreError
from ragkit.ingest.vectors import VectorJournal
from ragkit.store import StoreReader
from ragkit.store.manifest import Manifest
from ragkit.store.open import open_snapshot
from ragkit.types import Chunk

_AT_ONCE = 256


def keep_vectors(config: Config, manifest: Manifest, journal: VectorJournal, splade: VectorJournal | None) -> None:
    """Put the vectors of all chunks into the journals of a run that begins, by the text that they stand for.

    Those of another model stay where they are: the manifest says by which each was made, down to the bytes of its
    files. A run that is killed does so again.
    """
    dense = manifest.meta("embedded_by") == journal.model
    sparse = splade is not None and manifest.meta("splade_by") == splade.model
    if not dense and not sparse:
        return
    try:
        snapshot = open_snapshot(config)
    except StoreError:  # what is broken is built anew from nothing
        return
    try:
        if dense:
            for chunks in _several(snapshot.store):
                found = snapshot.store.vectors([chunk.id for chunk in chunks])
                kept = [chunk for chunk in chunks if chunk.id in found]
                journal.put([chunk.indexed_text for chunk in kept], [found[chunk.id] for chunk in kept])
        if sparse and splade is not None:
            for entry in snapshot.manifest.entries():
                found = snapshot.store.splade_of(entry.id)
                kept = [chunk for chunk in snapshot.store.chunks_of(entry.id) if chunk.id in found]
                splade.put([chunk.indexed_text for chunk in kept], [found[chunk.id] for chunk in kept])
    finally:
        snapshot.close()


def _several(store: StoreReader) -> Iterator[list[Chunk]]:
    chunks = store.iter_chunks()
    while part := list(islice(chunks, _AT_ONCE)):
        yield part
