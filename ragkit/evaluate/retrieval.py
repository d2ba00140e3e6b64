"""Measure the retrieval of a configured system on a BEIR folder: index it once, ask every judged query, score.

The index lies in the user's cache, under the path of the corpus and the hash of the index settings: a second run with
another strategy, fusion or depth embeds nothing again.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ragkit.config.hashing import config_hash
from ragkit.config.schema import Config, Reranking
from ragkit.embed import Embedder, make_embedder
from ragkit.embed.known import KnownQuestions
from ragkit.evaluate.beir import dataset_hash, read_dataset, unusable
from ragkit.evaluate.metrics import PerQuery, documents_from_chunks, evaluate_run
from ragkit.evaluate.report import RetrievalReport, retrieval_report
from ragkit.evaluate.split import document_clusters
from ragkit.ingest.index import Progress, build_index
from ragkit.ingest.vectors import VectorJournal
from ragkit.rerank import Reranker, make_reranker
from ragkit.retrieve.query_transforms import Rewriter, make_rewriter
from ragkit.retrieve.retriever import retrieve
from ragkit.store.open import Snapshot, open_snapshot

if TYPE_CHECKING:
    pass

Strategy = Literal["dense", "sparse", "hybrid"]

_DEEPEST = 1000


class Evaluation(RetrievalReport):
    """A report with what it was measured on."""

    strategy: str
    reranked: bool
    config_hash: str
    data_hash: str
    dataset: str
    notes: list[str]
    """What of the data set cannot be used."""


def evaluate_retrieval(
    config: Config,
    dataset: Path,
    *,
    strategy: Strategy | None = None,
    rerank: bool = True,
    split: str = "test",
    ignore_identical_ids: bool = False,
    cache: Path | None = None,
    progress: Progress | None = None,
) -> tuple[Evaluation, PerQuery]:
    """The report of one strategy, and the value of each measure for each query.

    A document counts by its best chunk. Intervals take the queries about one document or article together (see
    `split.document_clusters`). `ignore_identical_ids` takes a document out of the result of the query that has
    its id (BEIR's rule for data sets whose queries are documents). Raises RagkitError if the folder is no data set.
    """
    config = _as_asked(config, strategy, rerank)
    data = read_dataset(dataset, split)
    placed = index_of([data.corpus_path], config, cache)
    embedder = make_embedder(config.ingestion.embedding)
    build_index(placed, [data.corpus_path], embedder=embedder, wait_s=3600, progress=progress)
    snapshot = open_snapshot(placed)
    try:
        reranker = make_reranker(config.retrieval.reranking)
        known = embedded_questions(list(data.queries.values()), embedder, question_vectors(config, cache))
        run = ranked_documents(placed, data.queries, snapshot, known, reranker, _rewriter(placed, snapshot, embedder))
    finally:
        snapshot.close()
    values = evaluate_run(run, data.qrels, ignore_identical_ids=ignore_identical_ids)
    return {
        **retrieval_report(values, documents=data.documents, cluster_of=document_clusters(data.qrels)),
        "strategy": config.retrieval.strategy,
        "reranked": reranker is not None,
        "config_hash": config_hash(config),
        "data_hash": dataset_hash(dataset, split),
        "dataset": str(dataset),
        "notes": list(unusable(data)),
    }, values


def _as_asked(config: Config, strategy: Strategy | None, rerank: bool) -> Config:
    """The config that is measured, so that its hash is that of what was measured."""
    changes: dict[str, Any] = {"strategy": strategy or config.retrieval.strategy}
    if not rerank:
        changes["reranking"] = Reranking()
    return config.model_copy(update={"retrieval": config.retrieval.model_copy(update=changes)})


def ranked_documents(
    config: Config,
    queries: Mapping[str, str],
    snapshot: Snapshot,
    embedder: Embedder,
    reranker: Reranker | None,
    rewriter: Rewriter | None = None,
) -> dict[str, list[tuple[str, float]]]:
    """For each query the ids of the data set's documents, best first, as deep as the configured candidates reach."""
    retrieval = config.retrieval.model_copy(update={"top_k": _DEEPEST})
    run: dict[str, list[tuple[str, float]]] = {}
    for query_id, text in queries.items():
        found = retrieve(text, snapshot.store, embedder, retrieval, reranker, rewriter=rewriter)
        run[query_id] = documents_from_chunks(
            [(result.chunk.source_document.split("#", 1)[1], result.score) for result in found.results]
        )
    return run


def _rewriter(config: Config, snapshot: Snapshot, embedder: Embedder) -> Rewriter | None:
    from ragkit.ask import sentence_splitter
    from ragkit.generate import make_generator

    splitter = sentence_splitter(config)
    return make_rewriter(config, snapshot.store, lambda: make_generator(config.generation, splitter, embedder))


def default_cache() -> Path:
    """Where evaluation indexes are kept; deleting it costs only time."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "ragkit" / "eval"


def index_of(documents: Sequence[Path], config: Config, cache: Path | None = None) -> Config:
    """The same system with an embedded index in the cache that is of these documents alone: one for each hash of the
    index settings, and each form that ragkit gave indexes.

    The paths decide, not the bytes: indexing keeps what it knew by another path, and each document would count twice.
    """
    from ragkit.config.hashing import index_hash
    from ragkit.ingest.settings import PARSER_VERSION, as_indexed

    names = "\n".join(str(path.resolve()) for path in documents)
    folder = (cache or default_cache()) / hashlib.sha256(names.encode()).hexdigest()[:16]
    path = folder / f"{index_hash(as_indexed(config))}-{PARSER_VERSION}"
    store = config.ingestion.store.model_copy(update={"backend": "qdrant_edge", "path": path})
    ingestion = config.ingestion.model_copy(update={"store": store})
    return config.model_copy(update={"ingestion": ingestion})


def question_vectors(config: Config, cache: Path | None = None) -> VectorJournal:
    """Where the vectors of questions are kept from run to run, for one embedding model and prefix."""
    embedding = config.ingestion.embedding
    parts = (embedding.backend, embedding.model, embedding.dimensions, embedding.query_prefix, embedding.max_tokens)
    model = "\x1f".join(map(str, parts))
    name = hashlib.sha256(model.encode()).hexdigest()[:16]
    return VectorJournal((cache or default_cache()) / f"questions-{name}.sqlite", model)


def embedded_questions(questions: Sequence[str], embedder: Embedder, kept: VectorJournal) -> KnownQuestions:
    """All questions embedded in one go: the measure is of ranking, not of the time for one question. What `kept` has is
    not embedded again. What a question was rewritten to is embedded when it is searched."""
    vectors = kept.get(questions)
    fresh = sorted({question for question in questions if question not in vectors})
    if fresh:
        found = embedder.embed_questions(fresh)
        kept.put(fresh, found)
        vectors.update(zip(fresh, found, strict=True))
    kept.close()
    return KnownQuestions(embedder, vectors)
