"""The ask path: question - retrieve - fuse - rerank - answerable? - (expand) - generate - verify citations - Answer.

Reads top to bottom as that line. The stages know nothing of one another; `ragkit.system` holds what they need.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace

from ragkit.config.schema import Config, Filter
from ragkit.embed import Embedder
from ragkit.gateway.cost import cost_lines
from ragkit.generate import Generated
from ragkit.generate import Generator as AnswerGenerator
from ragkit.generate.answerability import READ, confidence, least_confidence, scaled
from ragkit.generate.citations import resolve
from ragkit.generate.expansion import DocumentOf, Evidence, expand
from ragkit.generate.extractive import MODEL as EXTRACTIVE
from ragkit.generate.generated import says_nothing, whole_of
from ragkit.generate.reader import Reader
from ragkit.generate.support import support_score
from ragkit.ingest.sentences import split_sentences
from ragkit.observe.stages import Ended, tell
from ragkit.observe.trace import trace_id
from ragkit.rerank import Reranker
from ragkit.retrieve.query_transforms import Rewriter
from ragkit.retrieve.retriever import Retrieved, retrieve
from ragkit.store import StoreReader
from ragkit.types import (
    REFUSAL_TEXT,
    Answer,
    Chunk,
    Citation,
    CostLine,
    Excerpt,
    RefusalReason,
    RemovedCitation,
    ScoredChunk,
    Stage,
    Usage,
)


@dataclass(frozen=True, slots=True)
class Stages:
    """What the path runs on: the opened index and the configured stages."""

    config: Config
    config_hash: str
    store: StoreReader
    embedder: Embedder
    reranker: Reranker | None
    generator: AnswerGenerator
    document: DocumentOf
    reader: Reader | None = None
    rewriter: Rewriter | None = None


@dataclass(slots=True)
class _Question:
    """A question on its way: what was found for it, what of that is read, why it does not do (`refusal`), the clock."""

    text: str
    results: list[ScoredChunk] = field(default_factory=list[ScoredChunk])
    evidence: Evidence = field(default_factory=lambda: Evidence([], {}))
    embedded: tuple[str, ...] = ()
    rewriting: Usage | None = None
    confidence: float = 0.0
    refusal: RefusalReason | None = None
    ranked: dict[Stage, tuple[str, ...]] = field(default_factory=dict[Stage, tuple[str, ...]])
    timings: dict[str, float] = field(default_factory=dict[str, float])
    began: float = field(default_factory=time.perf_counter)

    @contextmanager
    def timed(self, stage: str) -> Generator[None]:
        began = time.perf_counter()
        yield
        self.timings[stage] = (time.perf_counter() - began) * 1e3
        tell(Ended(stage, self.timings[stage]))

    def charge(self, stage: str, began: float) -> None:
        """Add what has passed since `began` to a stage that works in pieces: the reader's pauses are not its time."""
        self.timings[stage] = self.timings.get(stage, 0.0) + (time.perf_counter() - began) * 1e3


def ask(question: str, stages: Stages, filters: Sequence[Filter] = ()) -> Answer:
    """Answer a question from the index, or refuse with a reason; see `Answer`."""
    asked = _retrieve(question, stages, filters)
    if asked.refusal:
        return _refuse(asked, stages, asked.refusal)
    with asked.timed("generate"):
        generated = stages.generator.generate(question, asked.evidence.passages)
    return _verified(asked, stages, generated)


async def aask(question: str, stages: Stages, filters: Sequence[Filter] = ()) -> Answer:
    """`ask` without blocking the event loop."""
    asked = await asyncio.to_thread(_retrieve, question, stages, filters)
    if asked.refusal:
        return _refuse(asked, stages, asked.refusal)
    with asked.timed("generate"):
        generated = await stages.generator.agenerate(question, asked.evidence.passages)
    return await asyncio.to_thread(_verified, asked, stages, generated)


def stream(question: str, stages: Stages, filters: Sequence[Filter] = ()) -> Iterator[str | Answer]:
    """Pieces of the answer as they come and, last, the checked `Answer`, whose text replaces the pieces."""
    asked = _retrieve(question, stages, filters)
    if asked.refusal:
        yield REFUSAL_TEXT
        yield _refuse(asked, stages, asked.refusal)
        return
    last: str | Generated = ""
    began = time.perf_counter()
    for last in stages.generator.stream(question, asked.evidence.passages):
        asked.charge("generate", began)
        if isinstance(last, str):
            yield last
        began = time.perf_counter()
    asked.charge("generate", began)
    yield _verified(asked, stages, whole_of(last))


async def astream(question: str, stages: Stages, filters: Sequence[Filter] = ()) -> AsyncIterator[str | Answer]:
    """`stream` without blocking the event loop."""
    asked = await asyncio.to_thread(_retrieve, question, stages, filters)
    if asked.refusal:
        yield REFUSAL_TEXT
        yield _refuse(asked, stages, asked.refusal)
        return
    last: str | Generated = ""
    began = time.perf_counter()
    async for last in stages.generator.astream(question, asked.evidence.passages):
        asked.charge("generate", began)
        if isinstance(last, str):
            yield last
        began = time.perf_counter()
    asked.charge("generate", began)
    yield await asyncio.to_thread(_verified, asked, stages, whole_of(last))


def passages_for(question: str, stages: Stages, filters: Sequence[Filter] = ()) -> list[ScoredChunk]:
    """What the generator would be given for a question; nothing where it would not be asked."""
    return _retrieve(question, stages, filters).evidence.passages


def _retrieve(question: str, stages: Stages, filters: Sequence[Filter]) -> _Question:
    asked = _Question(question)
    found: Retrieved = retrieve(
        question, stages.store, stages.embedder, stages.config.retrieval, stages.reranker, filters, stages.rewriter
    )
    asked.results, asked.embedded, asked.rewriting = found.results, found.embedded, found.usage
    asked.ranked = found.ranked
    asked.timings.update(found.timings_ms)
    asked.refusal = _weak_evidence(asked, stages)
    if asked.refusal is None:
        asked.evidence = _expanded(asked, stages, [*stages.config.retrieval.filters, *filters])
    return asked


def _expanded(asked: _Question, stages: Stages, conditions: Sequence[Filter]) -> Evidence:
    generation = stages.config.generation
    with asked.timed("expand") if generation.expand != "none" else nullcontext():
        return expand(asked.results, generation, stages.store, stages.document, conditions)


def _weak_evidence(asked: _Question, stages: Stages) -> RefusalReason | None:
    """Why the evidence does not do, or None if it does. Decided before any model is paid."""
    if not asked.results:
        return "nothing_retrieved"
    with asked.timed("answerable"):
        texts = [result.chunk.indexed_text for result in asked.results[:READ]]
        readings = stages.reader.read(asked.text, texts) if stages.reader else None
        chance = confidence(asked.text, asked.results, readings)
        asked.confidence = scaled(chance, stages.config.generation.refusal)
    least = least_confidence(stages.config.generation)
    return "evidence_too_weak" if asked.confidence < least else None


def _verified(asked: _Question, stages: Stages, generated: Generated) -> Answer:
    """Check what the generator wrote: its refusal, its citations, and what no citation backs."""
    if generated.refused:
        # The extractive generator has no opinion: it found nothing to quote.
        extractive = generated.model in (EXTRACTIVE, "none")
        return _refuse(asked, stages, "evidence_too_weak" if extractive else "model_refused", generated)
    with asked.timed("verify"):
        split = sentence_splitter(stages.config)
        resolved = resolve(generated.text, generated.used, support_score, split, asked.text)
    if says_nothing(resolved.plain):
        return _refuse(asked, stages, "model_refused", generated, resolved.removed)
    return Answer(
        text=resolved.text,
        refused=False,
        citations=tuple(_in_its_chunk(citation, asked.evidence) for citation in resolved.citations),
        removed_citations=resolved.removed,
        unsupported=resolved.unsupported,
        notes=generated.notes,
        attempts=generated.attempts,
        degraded=generated.degraded,
        results=tuple(asked.results),
        ranked=asked.ranked,
        context=asked.evidence.chunk_ids(generated.used),
        prompt=_excerpts(generated.used),
        model=generated.model,
        usage=generated.usage,
        cost=_cost(asked, stages, generated),
        confidence=asked.confidence,
        config_hash=stages.config_hash,
        trace_id=trace_id(),
        timings_ms=_total(asked),
    )


def _excerpts(used: Sequence[Chunk]) -> tuple[Excerpt, ...]:
    return tuple(Excerpt(passage.id, passage.start, passage.end) for passage in used)


def _in_its_chunk(citation: Citation, evidence: Evidence) -> Citation:
    """The citation with the chunk of the index that has its quote, where the passage is made of several."""
    return replace(citation, chunk_id=evidence.chunk_id_at(citation.chunk_id, citation.start, citation.end))


def _refuse(
    asked: _Question,
    stages: Stages,
    reason: RefusalReason,
    generated: Generated | None = None,
    removed: tuple[RemovedCitation, ...] = (),
) -> Answer:
    return Answer(
        text=REFUSAL_TEXT,
        refused=True,
        reason=reason,
        citations=(),
        removed_citations=removed,
        results=tuple(asked.results),
        ranked=asked.ranked,
        context=asked.evidence.chunk_ids(generated.used) if generated else (),
        prompt=_excerpts(generated.used) if generated else (),
        model=generated.model if generated else "none",
        usage=generated.usage if generated else Usage(),
        notes=generated.notes if generated else (),
        attempts=generated.attempts if generated else (),
        degraded=generated is not None and generated.degraded,
        cost=_cost(asked, stages, generated),
        confidence=asked.confidence,
        config_hash=stages.config_hash,
        trace_id=trace_id(),
        timings_ms=_total(asked),
    )


def _cost(asked: _Question, stages: Stages, generated: Generated | None) -> tuple[CostLine, ...]:
    model, usage = (generated.model, generated.usage) if generated else (None, None)
    attempts = generated.attempts if generated else ()
    return cost_lines(stages.config, asked.embedded, asked.timings, model, usage, asked.rewriting, attempts)


def _total(asked: _Question) -> dict[str, float]:
    return {**asked.timings, "total": (time.perf_counter() - asked.began) * 1e3}


def sentence_splitter(config: Config) -> Callable[[str], list[tuple[int, int]]]:
    """The sentence splitter of the config's language."""
    language = config.ingestion.chunking.language
    return lambda text: split_sentences(text, language)
