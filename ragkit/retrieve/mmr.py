"""Against near-duplicates among the results: maximal marginal relevance.

Carbonell and Goldstein (1998), "The Use of MMR, Diversity-Based Reranking for Reordering Documents and Producing
Summaries": the next chunk is always the one with the greatest

    weight * relevance - (1 - weight) * (greatest likeness to a chunk that stands before it)

Relevance is the score of the stage before, brought to 0..1 among the chunks; likeness is the cosine of the vectors in
the index. What was greatest never grows from one step to the next, so the value is a score like any other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ragkit.retrieve.fusion import Fused

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def diversified(
    ranked: Sequence[tuple[str, float]], vectors: Mapping[str, NDArray[np.float32]], weight: float
) -> Fused:
    """The chunks in their new order, each with its value above; equal ones stay in the order they had.

    A chunk without a vector is like no other.

    >>> import numpy as np
    >>> vectors = {name: np.array(vector, dtype=np.float32) for name, vector in
    ...     {"a": (1, 0), "a again": (1, 0), "b": (0, 1)}.items()}
    >>> [name for name, _ in diversified([("a", 0.9), ("a again", 0.8), ("b", 0.5)], vectors, 0.5)]
    ['a', 'b', 'a again']
    """
    import numpy as np

    scores = [score for _, score in ranked]
    low, high = min(scores, default=0.0), max(scores, default=0.0)
    relevance = np.asarray([(score - low) / (high - low) if high > low else 1.0 for score in scores])
    likeness = cosines([vectors.get(chunk_id) for chunk_id, _ in ranked])
    worst = np.zeros(len(ranked))  # greatest likeness of each to one that has been taken
    left = np.ones(len(ranked), dtype=bool)
    order: Fused = []
    while left.any():
        value = np.where(left, weight * relevance - (1.0 - weight) * worst, -np.inf)
        best = int(value.argmax())
        order.append((ranked[best][0], float(value[best])))
        left[best] = False
        worst = np.maximum(worst, likeness[best])
    return order


def cosines(vectors: Sequence[NDArray[np.float32] | None]) -> NDArray[np.float64]:
    """The likeness of each to each, -1 to 1; 0 for what has no vector."""
    import numpy as np

    length = next((len(vector) for vector in vectors if vector is not None), 1)
    rows = (
        np.stack([np.zeros(length) if vector is None else vector for vector in vectors])
        if vectors
        else np.zeros((0, 1))
    )
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    unit = np.divide(rows, norms, out=np.zeros_like(rows, dtype=np.float64), where=norms > 0)
    return unit @ unit.T
