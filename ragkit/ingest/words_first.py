"""Vectors for what is searchable by its words already: in parts, each published when it is done.

With `ingestion.progressive` a run writes everything without vectors first, at the speed of parsing, and publishes that.
Then come the vectors; the parts grow, for each of them costs a copy of the index.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ragkit.ingest.batches import BATCH_CHUNKS, in_batches
from ragkit.ingest.embedding import RunEmbedder
from ragkit.store.open import Edit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ragkit.ingest.run import Progress

FIRST_PART_S = 60.0


def known_rows(
    texts: Sequence[str], vectors: RunEmbedder, splade: RunEmbedder | None, dimensions: int
) -> tuple[NDArray[np.float32], list[NDArray[np.float32]] | None]:
    """What need not be computed: a row a text, of NaN for one without a known vector, and the SPLADE weights beside
    them. A text counts as known if both are."""
    dense = vectors.known(texts)
    sparse = splade.known(texts) if splade else {}
    # What is known of others stays in the journals until their turn comes.
    both = {text for text in dense if splade is None or text in sparse}
    vectors.reused += len(both)
    none = np.full(dimensions, np.nan, dtype=np.float32)
    rows = [dense[text] if text in both else none for text in texts]
    nothing = np.zeros((2, 0), dtype=np.float32)
    weights = [sparse[text] if text in both else nothing for text in texts] if splade else None
    return np.stack(rows) if rows else np.zeros((0, dimensions), dtype=np.float32), weights


def fill(
    edit: Edit,
    vectors: RunEmbedder,
    splade: RunEmbedder | None,
    until: float | None = None,
    progress: Progress | None = None,
    batch_chunks: int = BATCH_CHUNKS,
) -> None:
    """Embed documents that wait for their vectors, all or until the time `until` (of `time.monotonic`); one batch at
    least, of at least `batch_chunks` chunks if there are so many."""
    average: float | None = edit.manifest.meta("average_length")
    waiting = list(edit.manifest.waiting())
    done = 0
    for batch in in_batches(waiting, lambda entry: entry.chunks, batch_chunks):
        if until is not None and done and time.monotonic() > until:
            break
        chunks = [chunk for entry in batch for chunk in edit.store.chunks_of(entry.id)]
        have = edit.store.vectors([chunk.id for chunk in chunks])
        lacking = [chunk for chunk in chunks if chunk.id not in have]
        texts = [chunk.indexed_text for chunk in lacking]
        if lacking:
            rows = vectors.embed(texts)
            edit.store.upsert(lacking, rows, average or 1.0, splade.each(texts) if splade else None)
        edit.manifest.set_waiting([entry.id for entry in batch], False)
        done += len(batch)
        if progress:
            progress(done, len(waiting), vectors.embedded)
