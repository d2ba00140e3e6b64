"""What this machine takes for a chunk and for a question, measured over the user's own index."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from ragkit.capacity.trial import SIZES, Point, anonymous_bytes, points
from ragkit.errors import ConfigError
from ragkit.store.folder import MANIFEST
from ragkit.system import Ragkit

if TYPE_CHECKING:
    from ragkit.config.schema import Config
    from ragkit.types import Chunk

_SAMPLE = 2000
_EMBEDDED = 96
_ASKED = 12

Doing = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Rates:
    """Times are core-seconds: of one core, summed over all that worked.

    `documents` and `chunks` are those of the user's index; `chunk_tokens` their mean, `manifest_bytes` what a document
    takes beside its chunks; `embed_s` of embedding a chunk, 0
    for an API. `question_s` by stage: `embed`, `rerank`, `generate` (all 0 where an API does it). `base_bytes` is the
    memory of a process with its models loaded and no index. `points` are trials of the store.
    """

    documents: int
    chunks: int
    chunk_tokens: float
    manifest_bytes: float
    embed_s: float
    question_s: dict[str, float]
    base_bytes: int
    points: tuple[Point, ...]
    cores: int


def measure(config: Config, sizes: Sequence[int] = (), doing: Doing = lambda _: None) -> Rates:
    """Measure all of it: half a minute or more, most of it for the trial indexes, which lie in a temporary folder.

    Raises:
        ConfigError: The store is no embedded one, or the index holds nothing.
        NoIndex: There is no index of which to learn how documents become chunks.
    """
    if config.ingestion.store.backend != "qdrant_edge":
        raise ConfigError(
            "a plan is measured on the embedded store, not on a server",
            mend="plan with: --set ingestion.store.backend=qdrant_edge, over an index of a part of the documents",
        )
    # Questions of a measurement are nobody's: they neither cost a budget nor are kept as answers.
    unpaid = {"costs": config.costs.model_copy(update={"ledger": None, "budgets": []})}
    uncached = {"cache": config.cache.model_copy(update={"mode": "off"})}
    with Ragkit(config.model_copy(update=unpaid | uncached), follow=False) as rag:
        return _measured(rag, sizes or SIZES, doing)


def _measured(rag: Ragkit, sizes: Sequence[int], doing: Doing) -> Rates:
    snapshot = rag.snapshot()
    documents, count, tokens, _ = snapshot.manifest.totals()
    sample = list(islice(snapshot.store.iter_chunks(), _SAMPLE))
    if not sample:
        raise ConfigError("the index is empty", mend="index a part of the documents first: ragkit index PATH")
    doing("models: passages and questions")
    embed_s, question_s = _model_seconds(rag, sample)
    base = anonymous_bytes()
    dimensions = max((len(vector) for vector in snapshot.store.vectors([sample[0].id]).values()), default=384)
    found: list[Point] = []
    bm25, vectors = rag.config.retrieval.bm25, rag.config.ingestion.store.vectors
    with tempfile.TemporaryDirectory(prefix="ragkit-plan-") as folder:
        doing(f"store: a trial index of {sizes[0]:,} chunks")
        for number, point in enumerate(points(sample, dimensions, bm25, Path(folder), sizes, vectors), 1):
            found.append(point)
            doing(f"store: a trial index of {sizes[min(number, len(sizes) - 1)]:,} chunks")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    manifest = (snapshot.folder / snapshot.generation / MANIFEST).stat().st_size / documents
    return Rates(documents, count, tokens / count, manifest, embed_s, question_s, base, tuple(found), cores)


def _model_seconds(rag: Ragkit, sample: Sequence[Chunk]) -> tuple[float, dict[str, float]]:
    questions = [" ".join(chunk.text.split()[:10]) or "what" for chunk in sample[:: max(1, len(sample) // _ASKED)]]
    local = rag.config.ingestion.embedding.backend == "sentence_transformers"
    texts = [chunk.indexed_text for chunk in sample[:_EMBEDDED]]
    embed_s = 0.0
    seconds = {"embed": 0.0, "rerank": 0.0, "generate": 0.0}
    if local:
        rag.embedder.embed_passages(texts[:8])
        embed_s = _core_seconds(lambda: rag.embedder.embed_passages(texts)) / len(texts)
        rag.embedder.embed_question("warm up")
        seconds["embed"] = _core_seconds(lambda: [rag.embedder.embed_question(each) for each in questions]) / len(
            questions
        )
    if rag.config.retrieval.reranking.backend == "cross_encoder":
        rag.search(questions[0])
        with_reranker = _core_seconds(lambda: [rag.search(each) for each in questions])
        without = _core_seconds(lambda: [rag.search(each, rerank=False) for each in questions])
        seconds["rerank"] = max(0.0, with_reranker - without) / len(questions)
    if rag.config.generation.backend in ("extractive", "llama_cpp") and not rag.config.routing.endpoints:
        asked = questions if rag.config.generation.backend == "extractive" else questions[:2]
        rag.ask(asked[0])
        answering = _core_seconds(lambda: [rag.ask(each) for each in asked])
        searching = _core_seconds(lambda: [rag.search(each) for each in asked])
        seconds["generate"] = max(0.0, answering - searching) / len(asked)
    return embed_s, seconds


def _core_seconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began
