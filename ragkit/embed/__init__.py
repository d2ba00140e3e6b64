"""Text to vectors. `make_embedder` gives what the config names; nothing heavy loads before the first text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ragkit.config.schema import Embedding
    from ragkit.embed.tokens import TokenCounter


class Embedder(Protocol):
    """Turns passages and questions into unit vectors of one length."""

    def embed_passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """One row a text. Raises ModelError for a text longer than the model's window: nothing is cut."""
        ...

    def embed_question(self, text: str) -> NDArray[np.float32]:
        """The vector of a question. A question longer than the window keeps its beginning."""
        ...

    def embed_questions(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Many questions at once, one row each."""
        ...


def make_embedder(config: Embedding) -> Embedder:
    """The embedder of the config. Loads its model when the first text comes."""
    if config.backend == "openai":
        from ragkit.embed.openai import OpenAIEmbedder

        return OpenAIEmbedder(config)
    from ragkit.embed.sentence_transformers import LocalEmbedder

    return LocalEmbedder(config)


def make_token_counter(config: Embedding) -> TokenCounter:
    """The tokenizer of the embedding model, ready without loading the model."""
    from ragkit.embed.models import model_folder, model_window
    from ragkit.embed.tokens import ModelTokens, TiktokenTokens

    if config.backend == "openai":
        return TiktokenTokens(config.max_tokens or 8191)
    folder = model_folder(config.model)
    return ModelTokens(folder, config.max_tokens or model_window(folder))
