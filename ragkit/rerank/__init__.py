"""The second look: a slower model scores each candidate against the question."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ragkit.config.schema import Reranking
from ragkit.errors import ConfigError

__all__ = ["Reranker", "make_reranker"]


BATCH_SIZE = 32
"""Pairs that a local model scores at once."""


class Reranker(Protocol):
    """Scores texts against a question."""

    def scores(self, question: str, texts: Sequence[str]) -> list[float]:
        """One score per text, in their order; higher is more relevant, in the model's own scale."""
        ...


def make_reranker(config: Reranking) -> Reranker | None:
    """The reranker of the configuration, ready to score; None for backend none.

    Raises:
        ConfigError: A value that the backend needs is missing.
        MissingExtra: The package that runs the model is not installed.
        ModelError: The model's folder is missing or holds no cross-encoder.

    >>> make_reranker(Reranking()) is None
    True
    """
    if config.backend == "none":
        return None
    if config.backend == "http":
        from ragkit.rerank.http import HttpReranker

        return HttpReranker(config)
    if not config.model:
        raise ConfigError("reranking.model is missing", mend="name a reranking model of: ragkit models list")
    from ragkit.rerank.cross_encoder import load_cross_encoder

    return load_cross_encoder(config.model, config.device)
