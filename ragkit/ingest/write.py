"""Bring documents into an index and out of it; every step can be done again after a crash."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ragkit.store.bm25 import Bm25Encoder, rounded_average_length
from ragkit.store.manifest import Entry, Manifest
from ragkit.store.open import Edit
from ragkit.store.payload import has_none
from ragkit.types import Chunk, Document

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Chunked:
    """A document on its way into the index, with the path that it was found under."""

    document: Document
    root: str
    chunks: list[Chunk]


def write_batch(
    edit: Edit,
    batch: Sequence[Chunked],
    vectors: NDArray[np.float32],
    bm25: Bm25Encoder,
    average: float,
    splade: Sequence[NDArray[np.float32]] | None = None,
) -> None:
    """Write whole documents: noted as pending, written, freed of the chunks of their old versions, noted as done.

    Documents of which a vector is missing (a row of NaN) are noted as waiting for it.
    """
    counts = {
        item.document.id: (
            len(item.chunks),
            sum(chunk.token_count for chunk in item.chunks),
            count_terms(item.chunks, bm25),
        )
        for item in batch
    }
    edit.manifest.begin([(item.document, item.root) for item in batch], counts)
    edit.store.upsert(_chunks(batch), vectors, average, splade)
    keep = {item.document.id: [chunk.id for chunk in item.chunks] for item in batch}
    edit.store.delete_documents(list(keep), keep)
    lacking = {chunk.document_id for chunk, row in zip(_chunks(batch), vectors, strict=True) if has_none(row)}
    if lacking or edit.manifest.without_vectors():
        edit.manifest.set_waiting(lacking, True)
        edit.manifest.set_waiting([identity for identity in keep if identity not in lacking], False)
    edit.manifest.set_state(list(keep), "done")


def _chunks(batch: Sequence[Chunked]) -> list[Chunk]:
    return [chunk for item in batch for chunk in item.chunks]


def count_terms(chunks: Sequence[Chunk], bm25: Bm25Encoder) -> int:
    """Number of BM25 terms in the chunks, repetitions counted."""
    return sum(sum(bm25.terms(chunk.indexed_text).values()) for chunk in chunks)


def delete(edit: Edit, entries: Sequence[Entry]) -> None:
    """Take documents out of the store, then out of the manifest."""
    identities = [entry.id for entry in entries]
    edit.manifest.set_state(identities, "deleting")
    edit.store.delete_documents(identities)
    edit.manifest.remove(identities)


def is_weighed(manifest: Manifest) -> bool:
    """Whether BM25's average length is that of the corpus: not where a run over a store on a server was killed just
    before it brought that in line."""
    return not manifest.totals()[1] or manifest.meta("average_length") == _average_length(manifest)


def reweigh(edit: Edit, written_with: float | None) -> None:
    """Bring BM25's average length in line with the corpus.

    `written_with` is the average that this run gave its new chunks, None if it wrote none.
    """
    average = _average_length(edit.manifest)
    recorded: float | None = edit.manifest.meta("average_length")
    if any(used is not None and used != average for used in (written_with, recorded)):
        edit.store.reweigh(average)
    edit.manifest.set_meta("average_length", average)


def _average_length(manifest: Manifest) -> float:
    """Of all chunks that the manifest knows, in terms."""
    _, chunks, _, terms = manifest.totals()
    return rounded_average_length(terms, chunks)
