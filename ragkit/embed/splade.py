"""Learned sparse vectors: a model weighs the words of its vocabulary for a text, those that stand there and others.

SPLADE: Formal et al. 2021, arXiv:2107.05720. Run by sentence-transformers' `SparseEncoder`, so any model in that form
does: masked-LM models with SPLADE pooling, those with an encoder for questions of their own, and those that take a
question's weights from a table and run no model for it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ragkit.embed.models import model_window
from ragkit.errors import ModelError
from ragkit.models.resolve import on_this_machine
from ragkit.models.task import check_files, check_listed
from ragkit.models.torch_model import load_torch_model

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ragkit.config.schema import Config

_LARGEST_VOCABULARY = 1 << 24
"""Up to here a float32 holds a token's number exactly."""


def splade_folder(reference: str) -> Path:
    """The folder of the sparse model that a reference names, its bytes checked where hashes are known.

    Raises ModelError when it is not on this machine or its files are those of something else.
    """
    check_listed(reference, "sparse")
    found = on_this_machine(reference)
    check_files(reference, found, "sparse")
    return found.folder


def weighed_by(reference: str) -> str:
    """The reference with what stands for the bytes of its files: where it is the same, so are the vectors."""
    return f"{reference} {on_this_machine(reference).digest()}"


def make_splade(config: Config) -> SpladeEncoder | None:
    """The sparse model of the config, None where `retrieval.sparse` uses none. Loads it when the first text comes.

    One model for all that ask with the same settings.
    """
    if config.retrieval.sparse == "bm25":
        return None
    embedding = config.ingestion.embedding
    return _made(config.retrieval.splade_model, embedding.device, embedding.batch_size)


def question_weights(config: Config) -> Callable[[str], NDArray[np.float32]] | None:
    """What a store needs of the sparse model: `SpladeEncoder.embed_question`, or None where there is none."""
    encoder = make_splade(config)
    return None if encoder is None else encoder.embed_question


class SpladeEncoder:
    """Texts to sparse vectors, each an array of shape (2, n): numbers of tokens, and their weights, above 0.

    Loads the model at the first text. Safe to call from several threads; the calls follow one another.
    """

    def __init__(self, reference: str, device: str | None = None, batch_size: int = 32) -> None:
        self._reference = reference
        self._device = device
        self._batch_size = batch_size
        self._lock = threading.Lock()

    def embed_passages(self, texts: Sequence[str]) -> list[NDArray[np.float32]]:
        """Raises ModelError for a text longer than the model's window: nothing is cut."""
        with self._lock:
            limit: int = self._model.max_seq_length
            # A character is at most four tokens, so a short text needs no counting.
            long = [text for text in texts if len(text) * 4 > limit - 2]
            counts = [len(ids) for ids in self._model.tokenizer(long, truncation=False)["input_ids"]] if long else []
            for text, count in zip(long, counts, strict=True):
                if count > limit:
                    raise ModelError(
                        f"a passage of {count} tokens does not fit {self._reference}, which reads {limit}: "
                        f"{text[:60]!r}...",
                        mend="lower ingestion.chunking.chunk_size or header_tokens",
                    )
            return self._rows(self._model.encode_document, texts)

    def embed_question(self, text: str) -> NDArray[np.float32]:
        """A question longer than the window keeps its beginning."""
        with self._lock:
            return self._rows(self._model.encode_query, [text])[0]

    def _rows(self, encode: Any, texts: Sequence[str]) -> list[NDArray[np.float32]]:
        if not texts:
            return []
        found = encode(list(texts), batch_size=self._batch_size, show_progress_bar=False, save_to_cpu=True).coalesce()
        rows, tokens = found.indices().numpy()
        cuts = np.searchsorted(rows, np.arange(1, len(texts)))
        both = np.stack([tokens.astype(np.float32), found.values().float().numpy()])
        return [row[:, row[1] > 0] for row in np.split(both, cuts, axis=1)]

    @cached_property
    def _model(self) -> Any:
        folder = splade_folder(self._reference)
        model = load_torch_model("SparseEncoder", folder, self._device)
        model.max_seq_length = model.max_seq_length or model_window(folder)
        if (model.get_embedding_dimension() or 0) > _LARGEST_VOCABULARY:
            raise ModelError(f"the vocabulary of {folder} has over {_LARGEST_VOCABULARY:,} tokens")
        return model


@lru_cache(maxsize=2)
def _made(reference: str, device: str | None, batch_size: int) -> SpladeEncoder:
    return SpladeEncoder(reference, device, batch_size)
