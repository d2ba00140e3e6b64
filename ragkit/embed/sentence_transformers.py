"""Embeddings by a sentence-transformers model on this machine."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ragkit.embed import make_token_counter
from ragkit.embed.models import check_dimensions, model_folder, verify_weights
from ragkit.errors import MissingExtra, ModelError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ragkit.config.schema import Embedding


class LocalEmbedder:
    """Loads the model at the first text: importing torch and reading weights takes seconds.

    Safe to call from several threads; the calls follow one another.
    """

    def __init__(self, config: Embedding) -> None:
        self._config = config
        self._tokens = make_token_counter(config)
        self._lock = threading.Lock()

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
        return self._encode(prefixed)

    def embed_question(self, text: str) -> NDArray[np.float32]:
        return self.embed_questions([text])[0]

    def embed_questions(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return self._encode([self._config.query_prefix + text for text in texts])

    def _encode(self, texts: list[str]) -> NDArray[np.float32]:
        if not texts:
            return np.zeros((0, 0), dtype=np.float32)
        with self._lock:
            return np.asarray(
                self._model.encode(
                    texts,
                    batch_size=self._config.batch_size,
                    normalize_embeddings=True,
                    show_progress_bar=False,
                    convert_to_numpy=True,
                ),
                dtype=np.float32,
            )

    @cached_property
    def _model(self) -> Any:
        os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
        folder = model_folder(self._config.model)
        verify_weights(self._config.model)
        try:
            from sentence_transformers import SentenceTransformer
            from transformers.utils import logging as transformers_logging
        except ImportError as error:
            raise MissingExtra("sentence_transformers", "local") from error
        # A bar for reading one local file tells nobody anything and spoils ours.
        transformers_logging.disable_progress_bar()
        try:
            model = SentenceTransformer(
                str(folder),
                device=self._config.device,
                truncate_dim=self._config.dimensions,
                local_files_only=True,
            )
        except Exception as error:  # of five libraries: whatever a file of a model can be
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise ModelError(f"cannot load the embedding model at {folder}: {reason}") from error
        model.max_seq_length = self._tokens.window
        check_dimensions(self._config, model.get_embedding_dimension())
        return model
