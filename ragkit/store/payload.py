"""A chunk as the payload of a point, and back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from uuid import UUID

from ragkit.store.filters import typed_payload
from ragkit.types import Chunk

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def vectors_by_id(points: Iterable[tuple[object, Any]], name: str) -> dict[str, NDArray[np.float32]]:
    """The vectors of this name, of points given as id and named vectors; those without one are left out."""
    import numpy as np

    return {
        str(identity): np.asarray(vectors[name], dtype=np.float32)
        for identity, vectors in points
        if name in (vectors or {})
    }


def has_none(vector: NDArray[np.float32]) -> bool:
    """Whether a row stands for no vector yet.

    >>> import numpy as np
    >>> has_none(np.full(3, np.nan)), has_none(np.zeros(3))
    (True, False)
    """
    return bool(vector[0] != vector[0])


def sparse_of(vector: NDArray[np.float32]) -> tuple[list[int], list[float]]:
    """The tokens and the weights of a SPLADE vector, of shape (2, n) or (2 * n,), as an engine takes them.

    >>> import numpy as np
    >>> sparse_of(np.array([7, 9, 0.5, 2], dtype=np.float32))
    ([7, 9], [0.5, 2.0])
    """
    tokens, weights = vector.reshape(2, -1)
    return [int(token) for token in tokens], weights.tolist()


def splade_by_id(points: Iterable[tuple[object, Any]], name: str) -> dict[str, NDArray[np.float32]]:
    """The sparse vectors of this name, each of shape (2, n), of points given as id and named vectors; those without
    one are left out."""
    import numpy as np

    return {
        str(identity): np.asarray([vectors[name].indices, vectors[name].values], dtype=np.float32)
        for identity, vectors in points
        if name in (vectors or {})
    }


def to_payload(chunk: Chunk) -> dict[str, Any]:
    """Everything of the chunk but its id, and its fields by type for filtering."""
    typed: dict[str, Any] = {kind: fields for kind, fields in typed_payload(chunk).items() if fields}
    return {
        "document_id": chunk.document_id,
        "text": chunk.text,
        "header": chunk.header,
        "start": chunk.start,
        "end": chunk.end,
        "token_count": chunk.token_count,
        "page_starts": list(chunk.page_starts),
        "metadata": dict(chunk.metadata),
        **typed,
    }


def from_payload(chunk_id: str, payload: dict[str, Any]) -> Chunk:
    """The chunk that `to_payload` was given."""
    return Chunk(
        id=chunk_id,
        document_id=payload["document_id"],
        text=payload["text"],
        start=payload["start"],
        end=payload["end"],
        token_count=payload["token_count"],
        metadata=payload["metadata"],
        header=payload["header"],
        page_starts=tuple(payload["page_starts"]),
    )


def is_point_id(text: str) -> bool:
    """Whether a chunk can have this id: Qdrant raises on one that is no UUID.

    >>> is_point_id("6f1c1f0e-8a3c-5b52-9a51-0a8a4c1f2d3e"), is_point_id("7 of 9")
    (True, False)
    """
    try:
        UUID(text)
    except ValueError:
        return False
    return True
