"""The question vectors of a scope in memory, in the order in which they came: which are nearest to a question.

Every vector is compared, which for ten thousand of them takes about a millisecond and misses none.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


_SCOPES = 64


class ScopeVectors:
    """Grows by `add`; an entry that is gone meanwhile stays until `keep_only`."""

    def __init__(self) -> None:
        self._ids: list[int] = []
        self._rows = np.zeros((0, 0), dtype=np.float32)

    def __len__(self) -> int:
        return len(self._ids)

    @property
    def last(self) -> int:
        """The largest id, 0 without any."""
        return self._ids[-1] if self._ids else 0

    def add(self, ids: Sequence[int], vectors: Sequence[NDArray[np.float32]]) -> None:
        """Vectors of entries with larger ids than before; those of another length than the first are left out."""
        width = self._rows.shape[1] or (len(vectors[0]) if vectors else 0)
        fits = [place for place, vector in enumerate(vectors) if len(vector) == width]
        if not fits:
            return
        fresh = np.stack([vectors[place] for place in fits]).astype(np.float32)
        fresh /= np.maximum(np.linalg.norm(fresh, axis=1, keepdims=True), 1e-12)
        held = len(self._ids)
        if held + len(fits) > len(self._rows):
            grown = np.zeros((max(64, 2 * (held + len(fits))), width), dtype=np.float32)
            if held:
                grown[:held] = self._rows[:held]
            self._rows = grown
        self._rows[held : held + len(fits)] = fresh
        self._ids += [ids[place] for place in fits]

    def keep_only(self, ids: set[int]) -> None:
        """Let go of the others."""
        places = [place for place, identity in enumerate(self._ids) if identity in ids]
        self._rows = self._rows[places]
        self._ids = [self._ids[place] for place in places]

    def nearest(self, vector: NDArray[np.float32], most: int, least: float) -> list[tuple[int, float]]:
        """At most `most` ids with a cosine of at least `least`, nearest first.

        >>> vectors = ScopeVectors()
        >>> vectors.add([1, 2], [np.array([1.0, 0.0]), np.array([0.0, 1.0])])
        >>> vectors.nearest(np.array([0.8, 0.6], dtype=np.float32), 5, 0.7)
        [(1, 0.800000011920929)]
        """
        if not self._ids or len(vector) != self._rows.shape[1]:
            return []
        cosines = self._rows[: len(self._ids)] @ (vector / max(float(np.linalg.norm(vector)), 1e-12))
        best = np.argsort(-cosines, kind="stable")[:most]
        return [(self._ids[place], float(cosines[place])) for place in best if cosines[place] >= least]


class VectorsByScope:
    """Those of the scopes that were asked for last; the others are read again when they are."""

    def __init__(self) -> None:
        self._scopes: OrderedDict[str, ScopeVectors] = OrderedDict()

    def of(self, scope: str) -> ScopeVectors:
        found = self._scopes.setdefault(scope, ScopeVectors())
        self._scopes.move_to_end(scope)
        while len(self._scopes) > _SCOPES:
            self._scopes.popitem(last=False)
        return found

    def clear(self) -> None:
        self._scopes.clear()
