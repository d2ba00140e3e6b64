"""An embedder for questions whose vectors are known already."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ragkit.embed import Embedder


class KnownQuestions:
    """Gives the vectors of questions that it has, shape (d,) each, and asks another embedder for all else, once: a
    request asks for that of its question to guess its task, for the cache, to search, and to choose sentences.

    It keeps what it has asked for, or the last `most` of all. Vectors cannot be written to, as several may hold them.
    Safe to use from several threads.
    """

    def __init__(
        self, embedder: Embedder, vectors: Mapping[str, NDArray[np.float32]] | None = None, most: int | None = None
    ) -> None:
        self._embedder = embedder
        self._vectors = OrderedDict(vectors or {})
        self._most = most
        self._lock = threading.Lock()

    def embed_passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return self._embedder.embed_passages(texts)

    def embed_question(self, text: str) -> NDArray[np.float32]:
        with self._lock:
            if text in self._vectors:
                self._vectors.move_to_end(text)
                return self._vectors[text]
        vector = self._embedder.embed_question(text).copy()
        vector.flags.writeable = False
        with self._lock:
            self._vectors[text] = vector
            if self._most is not None and len(self._vectors) > self._most:
                self._vectors.popitem(last=False)
        return vector

    def embed_questions(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return self._embedder.embed_questions(texts)
