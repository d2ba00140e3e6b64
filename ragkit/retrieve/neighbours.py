"""Neighbour evidence: what lies near a good chunk is a little better for it.

The cluster hypothesis says that documents alike are relevant to the same questions. A chunk's fused score is moved
towards the mean of those of its nearest chunks:

    (1 - weight) * score + weight * sum(exp(likeness / 0.1) * score of neighbour) / sum(exp(likeness / 0.1))

Diaz (2005), "Regularizing Ad Hoc Retrieval Scores", smooths like this over the best documents of a question. So here:
neighbours are looked for among the candidates, when the question is asked, by the vectors that are in the index. There
is no graph to build, to keep or to bring up to date, and filters hold by themselves. Chunks of the same document are no
neighbours: they are alike whatever the question is. scripts/neighbour_forms.py compares this form with others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ragkit.config.schema import Neighbours
from ragkit.retrieve.fusion import Fused
from ragkit.retrieve.mmr import cosines
from ragkit.store import StoreReader

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_WARMTH = 0.1  # how fast a neighbour's weight falls with its likeness


def exchange(ranked: Fused, store: StoreReader, neighbours: Neighbours) -> Fused:
    """The ranking after its first `among` chunks have exchanged scores; what follows stays as it is."""
    head = ranked[: neighbours.among]
    identities = [chunk_id for chunk_id, _ in head]
    documents = {identity: chunk.document_id for identity, chunk in store.chunks(identities).items()}
    return [*smoothed(head, store.vectors(identities), documents, neighbours), *ranked[neighbours.among :]]


def smoothed(
    ranked: Fused, vectors: Mapping[str, NDArray[np.float32]], documents: Mapping[str, str], neighbours: Neighbours
) -> Fused:
    """The chunks with their new scores, best first, ties in the order they had.

    A chunk without a neighbour keeps its score. No score leaves the range of those given, so that chunks which stood
    below all of these still do.

    Args:
        ranked: Chunk ids with scores that may be added up: not those of reciprocal ranks, which lose their margins.
        vectors: By chunk id; a chunk without one has no neighbours.
        documents: The document that each chunk is of.
        neighbours: How many (`k`) and how much (`weight`).

    >>> import numpy as np
    >>> vectors = {"a": np.array([1, 0]), "b": np.array([0, 1]), "like a": np.array([1, 0.1])}
    >>> ranked = [("a", 1.0), ("b", 0.6), ("like a", 0.5)]
    >>> once = Neighbours(method="smooth", k=1, weight=0.5)
    >>> smoothed(ranked, vectors, {"a": "1", "b": "2", "like a": "3"}, once)
    [('a', 0.75), ('like a', 0.75), ('b', 0.55)]
    """
    import numpy as np

    if len(ranked) < 2:
        return ranked
    scores = np.asarray([score for _, score in ranked])
    likeness = cosines([vectors.get(chunk_id) for chunk_id, _ in ranked])
    _, same = np.unique([documents.get(chunk_id, "") for chunk_id, _ in ranked], return_inverse=True)
    has_vector = np.asarray([chunk_id in vectors for chunk_id, _ in ranked])
    apart = (same[:, None] != same[None, :]) & has_vector[:, None] & has_vector[None, :]
    likeness = np.where(apart, likeness, -np.inf)
    kept = min(neighbours.k, len(ranked) - 1)
    nearest = np.argsort(-likeness, axis=1, kind="stable")[:, :kept]
    weights = np.exp(np.take_along_axis(likeness, nearest, axis=1) / _WARMTH)
    total = weights.sum(axis=1)
    theirs = np.divide((weights * scores[nearest]).sum(axis=1), total, out=scores.copy(), where=total > 0)
    moved = (1.0 - neighbours.weight) * scores + neighbours.weight * theirs
    moved = np.clip(moved, scores.min(), scores.max())  # not past the others by rounding
    order = np.argsort(-moved, kind="stable")
    return [(ranked[place][0], float(moved[place])) for place in order]
