"""Embeddings by a model in sentence-transformers format on this machine: by ONNX Runtime, or by torch.

On a processor onnxruntime runs what was exported once (`ragkit/models/onnx_export.py`): a question takes a part
of torch's time, and nothing waits seconds for torch to be imported. Passages go to torch where there is a GPU.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ragkit.embed import make_token_counter
from ragkit.embed.models import check_dimensions, found_model, model_folder
from ragkit.errors import ModelError
from ragkit.models.device import beside_processor

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ragkit.config.schema import Embedding
    from ragkit.models.resolve import Found


class _Encoder(Protocol):
    def encode(self, texts: Sequence[str], batch_size: int = 32) -> NDArray[np.float32]: ...


class LocalEmbedder:
    """Loads the model at the first text. Safe to call from several threads."""

    def __init__(self, config: Embedding) -> None:
        self._config = config
        self._tokens = make_token_counter(config)
        self._loading = threading.RLock()

    def embed_passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
        prefix = self._config.passage_prefix
        prefixed = [prefix + text for text in texts] if prefix else list(texts)
        limit = self._tokens.window - self._tokens.special_tokens
        # A character is at most four tokens (Hangul is taken apart), so a short text needs no counting.
        long = [text for text in prefixed if len(text) * 4 > limit]
        for text, count in zip(long, self._tokens.counts(long), strict=True):
            if count > limit:
                raise ModelError(
                    f"a passage of {count} tokens does not fit the model, which reads {limit}: {text[:60]!r}...",
                    mend="lower ingestion.chunking.chunk_size or header_tokens",
                )
        return self._encode(prefixed, passages=True)

    def embed_question(self, text: str) -> NDArray[np.float32]:
        return self.embed_questions([text])[0]

    def embed_questions(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return self._encode([self._config.query_prefix + text for text in texts], passages=False)

    def _encode(self, texts: list[str], *, passages: bool) -> NDArray[np.float32]:
        if not texts:
            return np.zeros((0, 0), dtype=np.float32)
        with self._loading:
            encoder = self._for_passages if passages else self._for_questions
        vectors = encoder.encode(texts, self._config.batch_size)
        check_dimensions(self._config, vectors.shape[1])
        kept = vectors[:, : self._config.dimensions]
        return kept / np.maximum(np.linalg.norm(kept, axis=1, keepdims=True), 1e-12)

    @cached_property
    def _for_passages(self) -> _Encoder:
        return self._torch if beside_processor(self._config.device) else self._for_questions

    @cached_property
    def _for_questions(self) -> _Encoder:
        """A question is too short for a GPU to be quicker by more than it takes to be started."""
        if self._config.device not in (None, "cpu"):
            return self._torch
        found = found_model(self._config.model)
        found.check()
        return self._by_onnx(found) or self._torch

    def _by_onnx(self, found: Found) -> _Encoder | None:
        from ragkit.embed.onnx_encoder import OnnxEncoder
        from ragkit.models.onnx_export import opened_export

        window = self._tokens.window
        return opened_export(found, "ragkit.embed.onnx_export", lambda file: OnnxEncoder(found.folder, file, window))

    @cached_property
    def _torch(self) -> _Encoder:
        from ragkit.embed.torch_encoder import TorchEncoder

        found_model(self._config.model).check()
        return TorchEncoder(model_folder(self._config.model), self._tokens.window, self._config.device)
