"""What does the work of a run of the index path, parsing and embedding: this machine, or those of a Ray cluster.

Whichever does it, the run decides what is read and embedded, and writes all of it itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ragkit.config.schema import Chunking, Config
from ragkit.embed import Embedder
from ragkit.embed.splade import make_splade
from ragkit.embed.tokens import TokenCounter
from ragkit.errors import ParseError
from ragkit.ingest.batches import BATCH_CHUNKS
from ragkit.ingest.chunk import chunk_document
from ragkit.ingest.discover import Source
from ragkit.ingest.document import make_document, metadata_changes
from ragkit.ingest.embedding import EmbedsSlices, in_turn
from ragkit.ingest.owner import owned, owner_of
from ragkit.ingest.parse import Parsed
from ragkit.ingest.report import Stopwatch
from ragkit.ingest.settings import fitted_chunking
from ragkit.ingest.topics import SentenceEncoder, make_sentence_encoder
from ragkit.ingest.workers import parse_sources
from ragkit.types import Chunk, Document

if TYPE_CHECKING:
    from ragkit.config.schema import Embedding


@dataclass(frozen=True, slots=True)
class Reading:
    """A source as a document with its chunks. `warnings` are sentences for the report."""

    document: Document
    chunks: list[Chunk]
    warnings: list[str]


class Engine(Protocol):
    """One run has one engine. It may be asked to read in one thread while it embeds for another."""

    @property
    def batch_chunks(self) -> int:
        """How many chunks keep it busy: what is embedded, and then written, at once."""
        ...

    @property
    def vectors(self) -> EmbedsSlices:
        """Slices of texts to their vectors."""
        ...

    @property
    def weights(self) -> EmbedsSlices | None:
        """The same with the SPLADE model; None where the config has none."""
        ...

    def read(self, sources: Sequence[Source], watch: Stopwatch) -> Iterator[tuple[Source, Reading | ParseError]]:
        """What each source became, in the order of the sources; only a bounded number is held."""
        ...

    def close(self) -> None:
        """End its processes, whatever they do."""
        ...


class Chunker:
    """Makes documents with their chunks of what was parsed."""

    def __init__(self, chunking: Chunking, tokens: TokenCounter, embedding: Embedding, embedder: Embedder) -> None:
        self._chunking = chunking
        self._tokens = tokens
        self._sentences: SentenceEncoder | None = (
            make_sentence_encoder(embedding, tokens, embedder) if chunking.strategy == "semantic" else None
        )

    def read(self, source: Source, parsed: Parsed, owner: str | None) -> Reading:
        """`owner` is the tenant whose document it is, if it is one's."""
        document = owned(make_document(source, parsed), owner)
        chunks = chunk_document(document, self._chunking, self._tokens, self._sentences)
        return Reading(document, chunks, [*parsed.warnings, *metadata_changes(parsed.metadata)])


class LocalEngine:
    """This process, with parsers in processes of their own."""

    batch_chunks = BATCH_CHUNKS

    def __init__(self, config: Config, tokens: TokenCounter, embedder: Embedder) -> None:
        self._config = config
        self._chunker = Chunker(fitted_chunking(config, tokens), tokens, config.ingestion.embedding, embedder)
        splade = make_splade(config)
        self.vectors: EmbedsSlices = in_turn(embedder)
        self.weights: EmbedsSlices | None = in_turn(splade) if splade else None

    def read(self, sources: Sequence[Source], watch: Stopwatch) -> Iterator[tuple[Source, Reading | ParseError]]:
        outcomes = parse_sources(sources, self._config.ingestion.parsing)
        for source, parsed in watch.iterate("parse", outcomes):
            if isinstance(parsed, ParseError):
                yield source, parsed
                continue
            with watch.measure("chunk"):
                reading = self._chunker.read(source, parsed, owner_of(source.path, self._config.serve.folder))
            yield source, reading

    def close(self) -> None:
        """Nothing outlives what was read."""


def make_engine(config: Config, tokens: TokenCounter, embedder: Embedder, *, idle: bool = False) -> Engine:
    """The engine of the config, ready to work; where there is nothing to read or to embed (`idle`), one that costs
    nothing. Raises MissingExtra without Ray and ServiceError without a cluster."""
    if config.ingestion.engine == "ray" and not idle:
        from ragkit.ingest.over_ray.engine import RayEngine

        return RayEngine(config, embedder)
    return LocalEngine(config, tokens, embedder)
