"""One run of the index path: documents in, batch by batch, and the vectors that it need not compute or owes.

Parsing and chunking go on in a thread (`ahead.py`) while the model works; what is embedded is in a journal until it is
published, so that a run which is cut off does not embed it again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Protocol

from ragkit.config.schema import Config
from ragkit.embed import Embedder
from ragkit.embed.models import embedded_by, model_dimensions, model_folder
from ragkit.embed.splade import weighed_by
from ragkit.errors import ParseError
from ragkit.ingest.ahead import ahead
from ragkit.ingest.batches import in_batches
from ragkit.ingest.carry import keep_vectors
from ragkit.ingest.document import document_id
from ragkit.ingest.embedding import RunEmbedder
from ragkit.ingest.engine import Engine
from ragkit.ingest.parse import PLAIN_TYPES
from ragkit.ingest.plan import Plan, relative_root
from ragkit.ingest.report import IndexReport, Stopwatch
from ragkit.ingest.settings import parsers_after, read_with
from ragkit.ingest.vectors import VectorJournal
from ragkit.ingest.words_first import FIRST_PART_S, fill, known_rows
from ragkit.ingest.write import Chunked, count_terms, delete, reweigh, write_batch
from ragkit.store.bm25 import Bm25Encoder, rounded_average_length
from ragkit.store.folder import SPLADE_VECTORS, VECTORS
from ragkit.store.manifest import Failure
from ragkit.store.open import Edit, editing, open_manifest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_SEVERAL = "several"
_MIXED = (
    "holds vectors of two models: the files of the model that its config names have changed; to embed all by one: "
    "ragkit index --rebuild"
)


class Progress(Protocol):
    """Told how far the work is: `done` of `total` documents, and how many chunks were embedded so far."""

    def __call__(self, done: int, total: int, chunks: int) -> None: ...


class Run:
    """What stays the same from batch to batch."""

    def __init__(
        self, config: Config, engine: Engine, embedder: Embedder, report: IndexReport, watch: Stopwatch
    ) -> None:
        self._config = config
        self._embedded_by = embedded_by(config.ingestion.embedding)
        self._splade_by = None if config.retrieval.sparse == "bm25" else weighed_by(config.retrieval.splade_model)
        self._engine = engine
        self._embedder = embedder
        self._bm25 = Bm25Encoder(config.retrieval.bm25)
        self._report = report
        self._watch = watch
        self.failed: list[Failure] = []
        self._used_parser = False

    def bring_in(self, edit: Edit, plan: Plan, progress: Progress | None) -> None:
        """Parse, chunk, embed and write everything of the plan, then take out what is gone."""
        with closing(self._journal()) as journal, self._splade_of_run(edit, plan) as splade:
            vectors = RunEmbedder(self._engine.vectors, journal, _of_before(edit, plan, edit.store.vectors_of))
            average: float | None = edit.manifest.meta("average_length")
            written_with: float | None = None
            total, before = len(plan.to_parse()), 0
            # Parsing and chunking go on while the model runs, which leaves them a core now and then.
            most = self._engine.batch_chunks
            with closing(ahead(self._chunked(plan), most, _size)) as documents:
                for batch in in_batches(documents, _size, most):
                    chunks = [chunk for item in batch for chunk in item.chunks]

                    def told(share: float, before: int = before, here: int = len(batch)) -> None:
                        if progress:
                            progress(before + int(share * here / (2 if splade else 1)), total, vectors.embedded)

                    told(0)
                    if not average:
                        average = rounded_average_length(count_terms(chunks, self._bm25), len(chunks))
                        # Told before it is used: a run after one that was killed is to know that it was.
                        edit.manifest.set_meta("average_length", average)
                    rows, weights = self._rows([chunk.indexed_text for chunk in chunks], vectors, splade, told)
                    with self._watch.measure("store"):
                        write_batch(edit, batch, rows, self._bm25, average, weights)
                    written_with = average
                    self._report.embedded, self._report.reused = vectors.embedded, vectors.reused
                    self._report.repeated = vectors.repeated
                    before += len(batch)
                    if progress:
                        progress(before, total, vectors.embedded)
            if progress:
                progress(self._report.parsed, total, vectors.embedded)
            with self._watch.measure("store"):
                delete(edit, plan.gone)
                for identity, root in plan.rerooted.items():
                    edit.manifest.set_root(identity, relative_root(root, self._config.ingestion.store.path))
                reweigh(edit, written_with)

    def _rows(
        self, texts: Sequence[str], vectors: RunEmbedder, splade: RunEmbedder | None, told: Callable[[float], None]
    ) -> tuple[NDArray[np.float32], list[NDArray[np.float32]] | None]:
        """A vector a text, and its SPLADE weights where there is a model of them; of a progressive run those known."""
        if self._config.ingestion.progressive:
            return known_rows(texts, vectors, splade, self._dimensions)
        with self._watch.measure("embed"):
            rows = vectors.embed(texts, told)
        if splade is None:
            return rows, None
        with self._watch.measure("splade"):
            return rows, splade.each(texts, lambda share: told(1 + share))

    def fill(self, edit: Edit, until: float | None, progress: Progress | None) -> None:
        """Vectors for documents that wait for them, until a time or for all; see `words_first.fill`."""
        weights = self._engine.weights
        with (
            closing(self._journal()) as journal,
            self._splade_journal() as splade_journal,
            self._watch.measure("embed"),
        ):
            vectors = RunEmbedder(self._engine.vectors, journal, {})
            splade = RunEmbedder(weights, splade_journal, {}) if weights and splade_journal else None
            fill(edit, vectors, splade, until, progress, self._engine.batch_chunks)
            self._report.embedded += vectors.embedded
            self._report.reused += vectors.reused
            self._report.repeated += vectors.repeated

    def fill_in_parts(self, progress: Progress | None) -> None:
        """After everything is published without vectors: these, published again and again until all are there."""
        seconds = FIRST_PART_S
        while _some_wait(self._config):
            with editing(self._config, fresh=False) as edit:
                self.fill(edit, time.monotonic() + seconds, progress)
                with self._watch.measure("publish"):
                    edit.publish(keep_journals=True)
            seconds *= 2

    @cached_property
    def _dimensions(self) -> int:
        """How long vectors will be; without asking the model, where its files or the config say so."""
        embedding = self._config.ingestion.embedding
        known = embedding.dimensions
        if embedding.backend == "sentence_transformers":
            known = known or model_dimensions(model_folder(embedding.model))
        return known or self._embedder.embed_passages(["a"]).shape[1]

    def keep_vectors(self) -> None:
        """Before everything is made anew: what the index holds need not be embedded again where its text stays."""
        with (
            open_manifest(self._config, to_replace=True) as manifest,
            closing(self._journal()) as journal,
            self._splade_journal() as splade,
            self._watch.measure("keep"),
        ):
            if manifest is not None:
                keep_vectors(self._config, manifest, journal, splade)

    def note_makers(self, edit: Edit, *, fresh: bool) -> None:
        """Keep by which models the vectors were made, and the versions of the parser; tell of a second one of those."""
        for key, this in (("embedded_by", self._embedded_by), ("splade_by", self._splade_by)):
            before = edit.manifest.meta(key)
            if fresh or before == this:
                edit.manifest.set_meta(key, this)
            elif before is not None:
                edit.manifest.set_meta(key, _SEVERAL)
                self._report.warnings.append(("the index", _MIXED))
        versions, warning = parsers_after(edit.manifest.meta("parsers") or [], used=self._used_parser)
        edit.manifest.set_meta("parsers", versions)
        if warning:
            self._report.warnings.append(("the index", warning))

    def _journal(self) -> VectorJournal:
        return VectorJournal(self._config.ingestion.store.path / VECTORS, self._embedded_by)

    @contextmanager
    def _splade_journal(self) -> Generator[VectorJournal | None]:
        if self._splade_by is None:
            yield None
            return
        with closing(VectorJournal(self._config.ingestion.store.path / SPLADE_VECTORS, self._splade_by)) as journal:
            yield journal

    @contextmanager
    def _splade_of_run(self, edit: Edit, plan: Plan) -> Generator[RunEmbedder | None]:
        """The sparse model with what is known already, as for the vectors; None where the index has no such vectors."""
        weights = self._engine.weights
        with self._splade_journal() as journal:
            if weights is None or journal is None:
                yield None
            else:
                yield RunEmbedder(weights, journal, _of_before(edit, plan, edit.store.splade_of))

    def _chunked(self, plan: Plan) -> Iterator[Chunked]:
        """Each readable source as a document with its chunks; the others go into the report."""
        parsed_with, folder = read_with(self._config), self._config.ingestion.store.path

        @lru_cache  # there are few roots, and each asks the file system for every folder above the index
        def kept_root(root: str) -> str:
            return relative_root(root, folder)

        for source, read in self._engine.read(plan.to_parse(), self._watch):
            if isinstance(read, ParseError):
                self._report.fail(source.name, str(read))
                self.failed.append(Failure(source.name, source.root, source.content_hash, parsed_with, str(read)))
                continue
            self._used_parser |= read.document.media_type not in PLAIN_TYPES
            self._report.add(plan.change_of(source), read.document, read.chunks, read.warnings)
            yield Chunked(read.document, kept_root(source.root), read.chunks)


def _size(item: Chunked) -> int:
    return len(item.chunks)


def _of_before(
    edit: Edit, plan: Plan, vectors_of: Callable[[str], dict[str, NDArray[np.float32]]]
) -> dict[str, NDArray[np.float32]]:
    """Vectors of documents that are about to be replaced or were moved, by the text they stand for."""
    before = [document_id(source.name) for source in plan.edited] + [entry.id for entry in plan.moved.values()]
    reuse: dict[str, NDArray[np.float32]] = {}
    for identity in before:
        vectors = vectors_of(identity)
        chunks = edit.store.chunks_of(identity)
        reuse |= {chunk.indexed_text: vectors[chunk.id] for chunk in chunks if chunk.id in vectors}
    return reuse


def _some_wait(config: Config) -> bool:
    with open_manifest(config) as manifest:
        return manifest is not None and manifest.without_vectors() > 0
