"""Find where the topic of a text turns, from the vectors of its sentences.

TextTiling (Hearst 1997, "TextTiling: Segmenting Text into Multi-paragraph Subtopic Passages", Computational
Linguistics 23:1) with sentence vectors in place of word counts: compare the few sentences before each gap with the
few after it; a gap is as deep as the similarity falls from the peaks on both sides of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ragkit.config.schema import Embedding
from ragkit.embed import Embedder
from ragkit.embed.models import model_folder
from ragkit.embed.static import StaticSentenceEncoder, has_word_embeddings
from ragkit.embed.tokens import ModelTokens, TokenCounter

if TYPE_CHECKING:
    from numpy.typing import NDArray


class SentenceEncoder(Protocol):
    """Sentences to vectors; each sentence is encoded once, windows are means of them."""

    def encode(self, sentences: Sequence[str]) -> NDArray[np.float32]:
        """One row a sentence."""
        ...


def make_sentence_encoder(config: Embedding, tokens: TokenCounter, embedder: Embedder) -> SentenceEncoder:
    """The embedding model's own word vectors where they lie on this disk, else the embedding service."""
    if isinstance(tokens, ModelTokens):
        folder = model_folder(config.model)
        if has_word_embeddings(folder):
            return StaticSentenceEncoder(folder, tokens)
    return _ServiceSentenceEncoder(embedder)


class _ServiceSentenceEncoder:
    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder

    def encode(self, sentences: Sequence[str]) -> NDArray[np.float32]:
        return self._embedder.embed_passages(sentences)


def gap_depths(vectors: NDArray[np.float32], window: int) -> NDArray[np.float32]:
    """Depth of the gap before each row, shape (n,); the first is 0. Depth is in cosine units, 0 to 4.

    `window` rows before the gap are compared with `window` rows after it.

    >>> rows = np.array([[1, 0], [1, 0], [1, 0], [0, 1], [0, 1], [0, 1]], dtype=np.float32)
    >>> int(gap_depths(rows, window=2).argmax())
    3
    """
    count = len(vectors)
    if count < 2:
        return np.zeros(count, dtype=np.float32)
    sums = np.zeros((count + 1, vectors.shape[1]), dtype=np.float64)
    np.cumsum(vectors, axis=0, out=sums[1:])
    gaps = np.arange(1, count)
    left = sums[gaps] - sums[np.maximum(gaps - window, 0)]
    right = sums[np.minimum(gaps + window, count)] - sums[gaps]
    norms = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    similarity = (left * right).sum(axis=1) / np.maximum(norms, 1e-12)
    depths = (_peaks(similarity) - similarity) + (_peaks(similarity[::-1])[::-1] - similarity)
    return np.concatenate([[0.0], depths]).astype(np.float32)


def topic_breaks(depths: NDArray[np.float32], percentile: float) -> NDArray[np.bool_]:
    """Which gaps are topic breaks: local maxima of depth above the given percentile of this text's depths."""
    if len(depths) < 3:
        return np.zeros(len(depths), dtype=np.bool_)
    threshold = np.percentile(depths[1:], percentile)
    before = np.concatenate([[-np.inf], depths[:-1]])
    after = np.concatenate([depths[1:], [-np.inf]])
    breaks = (depths >= threshold) & (depths >= before) & (depths > after) & (depths > 0)
    breaks[0] = False
    return breaks


def _peaks(similarity: NDArray[np.float64]) -> NDArray[np.float64]:
    """For each gap the height reached by climbing to the left for as long as it rises."""
    peaks = similarity.copy()
    for index in range(1, len(peaks)):
        if similarity[index - 1] >= similarity[index]:
            peaks[index] = peaks[index - 1]
    return peaks
