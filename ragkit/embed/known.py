"""Embedders for questions whose vectors are known already."""

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
    """Gives the vectors of questions that it has, shape (d,) each, and asks another embedder for all else, once."""

    def __init__(self, embedder: Embedder, vectors: Mapping[str, NDArray[np.float32]]) -> None:
        self._embedder = embedder
        self._vectors = dict(vectors)

    def embed_passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return self._embedder.embed_passages(texts)

    def embed_question(self, text: str) -> NDArray[np.float32]:
        if text not in self._vectors:
            self._vectors[text] = self._embedder.embed_question(text)
        return self._vectors[text]

    def embed_questions(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return self._embedder.embed_questions(texts)


class RecentQuestions:
    """Another embedder that gives the vectors of its last questions again, for one request asks for that of its
    question several times: to guess its task, for the cache, to search, and to choose sentences. For threads."""

    def __init__(self, embedder: Embedder, most: int = 256) -> None:
        self._embedder = embedder
        self._most = most
        self._vectors: OrderedDict[str, NDArray[np.float32]] = OrderedDict()
        self._lock = threading.Lock()

    def embed_passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return self._embedder.embed_passages(texts)

    def embed_question(self, text: str) -> NDArray[np.float32]:
        """The vector of a question, shape (d,), which several may hold: it cannot be written to."""
        with self._lock:
            if text in self._vectors:
                self._vectors.move_to_end(text)
                return self._vectors[text]
        vector = self._embedder.embed_question(text).copy()
        vector.flags.writeable = False
        with self._lock:
            self._vectors[text] = vector
            if len(self._vectors) > self._most:
                self._vectors.popitem(last=False)
        return vector

    def embed_questions(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return self._embedder.embed_questions(texts)
