"""Documents in batches that are large enough for the model and small enough to forget."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")

BATCH_CHUNKS = 512
"""Chunks that are held at once: enough to sort by length, few enough to forget."""


def in_batches(documents: Iterable[T], chunks_of: Callable[[T], int], most: int = BATCH_CHUNKS) -> Iterator[list[T]]:
    """Whole documents, together at least `most` chunks.

    >>> list(in_batches([3, 4, 1, 9], chunks_of=int, most=5))
    [[3, 4], [1, 9]]
    """
    batch: list[T] = []
    size = 0
    for document in documents:
        batch.append(document)
        size += chunks_of(document)
        if size >= most:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
