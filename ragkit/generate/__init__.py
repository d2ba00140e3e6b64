"""From question and evidence to an answer: what a generator is, and how the configured one is made."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from ragkit.config.schema import Generation
from ragkit.embed import Embedder
from ragkit.generate.generated import Generated
from ragkit.generate.prompt import SplitSentences
from ragkit.generate.reader import Reader
from ragkit.types import ScoredChunk

__all__ = ["Generated", "Generator", "make_generator", "make_reader"]


class Generator(Protocol):
    """Answers a question from retrieved chunks; citations in the text are not checked yet.

    A stream yields pieces of the text and, last, the whole `Generated`. All methods raise `ServiceError` when
    a remote service fails; a stream may do so after some pieces.
    """

    def generate(self, question: str, results: Sequence[ScoredChunk]) -> Generated: ...

    def stream(self, question: str, results: Sequence[ScoredChunk]) -> Iterator[str | Generated]: ...

    async def agenerate(self, question: str, results: Sequence[ScoredChunk]) -> Generated: ...

    def astream(self, question: str, results: Sequence[ScoredChunk]) -> AsyncIterator[str | Generated]: ...


def make_generator(
    config: Generation, split_sentences: SplitSentences, embedder: Embedder, reader: Reader | None = None
) -> Generator:
    """The generator of the configuration; its packages are loaded now, its server is not called yet.

    Args:
        config: The generation part of a configuration.
        split_sentences: Where a passage that is too long for the prompt may be cut.
        embedder: Compares question and sentences; used by `extractive` only.
        reader: Says which sentences answer; used by `extractive` only.

    Raises:
        ConfigError: The backend is not there yet, or needs a key that is not set.
        MissingExtra: The package of the backend is not installed.

    """
    if config.backend == "openai":
        from ragkit.generate.openai import OpenAIGenerator

        return OpenAIGenerator(config, split_sentences)
    if config.backend == "vllm":
        from ragkit.generate.vllm import VllmGenerator, load_engine

        return VllmGenerator(config, split_sentences, load_engine(config))
    if config.backend == "llama_cpp":
        from ragkit.generate.llama_cpp import LlamaCppGenerator

        return LlamaCppGenerator(config, split_sentences)
    from ragkit.generate.extractive import ExtractiveGenerator

    return ExtractiveGenerator(config, split_sentences, embedder, reader)


def make_reader(config: Generation) -> Reader | None:
    """The reader of the configuration, loaded; None if it has none. Raises as `Reader` does."""
    if config.reader is None:
        return None
    return Reader(Path(config.reader))
