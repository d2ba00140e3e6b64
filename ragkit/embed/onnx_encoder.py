"""Text to vectors by onnxruntime and tokenizers alone: no torch, no seconds of importing it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ragkit.embed.models import padding_token
from ragkit.embed.tokens import read_tokenizer
from ragkit.models.onnx_session import inputs_of, open_session

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BATCH_TOKENS = 2048
"""Tokens of a batch, padding counted: it bounds the memory of a run of the model."""


class OnnxEncoder:
    """An embedding model as one ONNX graph, pooling and all. Safe to call from several threads at once."""

    def __init__(self, folder: Path, model: Path, window: int) -> None:
        """`folder` has the tokenizer, `model` is the graph; a text keeps its first `window` tokens, special ones
        counted. Raises ModelError for files that cannot be read and MissingExtra without onnxruntime."""
        self._tokenizer = read_tokenizer(folder)
        self._tokenizer.enable_truncation(window)
        self._pad_id = padding_token(folder) or 0
        self._session = open_session(model, optimised=True)

    def encode(self, texts: Sequence[str], batch_size: int = 32) -> NDArray[np.float32]:
        """A vector a text, shape (texts, dimensions), as the model gives them."""
        encodings = self._tokenizer.encode_batch(list(texts))
        order = sorted(range(len(texts)), key=lambda index: -len(encodings[index].ids))
        vectors: NDArray[np.float32] | None = None
        begin = 0
        while begin < len(order):
            rows = max(1, min(batch_size, _BATCH_TOKENS // len(encodings[order[begin]].ids)))
            part = order[begin : begin + rows]
            found = self._session.run(None, inputs_of(self._session, [encodings[i] for i in part], self._pad_id))[0]
            if vectors is None:
                vectors = np.zeros((len(texts), found.shape[1]), dtype=np.float32)
            vectors[part] = found
            begin += rows
        return np.zeros((0, 0), dtype=np.float32) if vectors is None else vectors
