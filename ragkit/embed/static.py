"""Sentence vectors at almost no cost: the mean of the embedding model's own input word vectors.

Good enough to see where the topic turns (docs/decisions/2026-11-23-semantic-chunking.md has the figures), hundreds
of times quicker than the model, and without torch. Frequent tokens weigh less: Arora, Liang, Ma (2017), "A Simple
but Tough-to-Beat Baseline for Sentence Embeddings", with the token's rank in the vocabulary standing for its
frequency by Zipf's law, as model2vec does.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ragkit.embed.tokens import ModelTokens
from ragkit.errors import ModelError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SIF = 1e-5


class StaticSentenceEncoder:
    """Reads one table of the model's safetensors file; `encode` gives unit vectors (or zeros for no tokens)."""

    def __init__(self, folder: Path, tokens: ModelTokens) -> None:
        self._folder = folder
        self._tokens = tokens

    def encode(self, sentences: Sequence[str]) -> NDArray[np.float32]:
        table, mean, weights = self._tables
        vectors = np.zeros((len(sentences), table.shape[1]), dtype=np.float32)
        for row, tokens in enumerate(self._tokens.ids(sentences)):
            share = weights[tokens]
            # The sum of weight * (word vector - mean), without building a table of all weighted vectors first.
            vectors[row] = share @ table[tokens] - share.sum() * mean
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors / np.maximum(norms, 1e-12)

    @cached_property
    def _tables(self) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """The word vectors, their mean, and the weight of each token."""
        table = word_embeddings(self._folder)
        ranks = np.arange(1, len(table) + 1, dtype=np.float32)
        probability = 1.0 / (ranks * np.log(len(table)))
        return table, table.mean(axis=0), (_SIF / (_SIF + probability)).astype(np.float32)


def has_word_embeddings(folder: Path) -> bool:
    """Whether the model's weights lie there in a form that `word_embeddings` reads."""
    return (folder / "model.safetensors").is_file()


def word_embeddings(folder: Path) -> NDArray[np.float32]:
    """The table of input embeddings, (vocabulary, dimensions). Raises ModelError if the file has none."""
    from safetensors import SafetensorError, safe_open

    file = folder / "model.safetensors"
    try:
        # `safe_open` has no type stubs for what it yields.
        opened: Any = safe_open(str(file), framework="np")
        with opened as tensors:
            for name in tensors.keys():  # noqa: SIM118 - not a mapping
                if name.endswith(("word_embeddings.weight", "embed_tokens.weight", "wte.weight")):
                    return np.asarray(tensors.get_tensor(name), dtype=np.float32)
    except (SafetensorError, OSError) as error:
        raise ModelError(f"cannot read {file}: {error}", mend="get the model anew") from error
    raise ModelError(f"{folder} has no table of word embeddings", mend="set ingestion.chunking.strategy: recursive")
