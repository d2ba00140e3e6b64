"""What the native routes take and give, as pydantic models: they check requests and make the OpenAPI document."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Annotated, Any, Literal, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from ragkit.config.schema import Filter
from ragkit.ingest.discover import whole_characters
from ragkit.types import Answer, Citation, CostLine, RemovedCitation, ScoredChunk, Span, StageScore, Usage

_LONGEST_QUESTION = 20_000
_MOST_CONDITIONS = 100


class Body(BaseModel):
    """Base of requests: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class Shown(BaseModel):
    """Base of responses."""

    model_config = ConfigDict(use_attribute_docstrings=True)


def _filters(given: object) -> object:
    """Read as JSON, where a text may be a date; raises ValueError where there are too many conditions."""
    if not isinstance(given, list):
        return given
    texts = [json.dumps(item) for item in cast("list[object]", given)]
    if sum(text.count("{") for text in texts) > _MOST_CONDITIONS:
        raise ValueError(f"more than {_MOST_CONDITIONS} conditions")
    return [Filter.model_validate_json(text) for text in texts]


Filters = Annotated[list[Filter], BeforeValidator(_filters)]
Question = Annotated[str, Field(min_length=1, max_length=_LONGEST_QUESTION)]


class AskRequest(Body):
    question: Question
    filters: Filters = Field(default_factory=list[Filter])
    """Conditions that every passage must meet, beside those of the config."""
    stream: bool = False
    """Answer with server-sent events: retrieved, reranked, token, citations, cost, done; error if it fails."""
    session_id: str | None = Field(default=None, pattern="^[A-Za-z0-9_-]{1,64}$")
    """A name of the caller's for a conversation, which is remembered: the question may point back to what was said."""
    task: str | None = Field(default=None, min_length=1, max_length=100)
    """What the question asks of a model, such as summarisation or code, where `routing` goes by it."""


class SearchRequest(Body):
    question: Question
    filters: Filters = Field(default_factory=list[Filter])
    top_k: int | None = Field(default=None, ge=1, le=100)
    strategy: Literal["dense", "sparse", "hybrid"] | None = None
    rerank: bool = True


class FeedbackRequest(Body):
    trace_id: str = Field(pattern="^[0-9a-f]{32}$")
    """Of the answer that this is about."""
    verdict: Literal["up", "down"]
    reason: str = Field(default="", max_length=2000)
    question: str = Field(default="", max_length=_LONGEST_QUESTION)
    """Kept only if it is given; so is the answer."""
    answer: str = Field(default="", max_length=_LONGEST_QUESTION)


class Passage(Shown):
    """A passage that was found."""

    chunk_id: str
    source_document: str
    page_number: int | None
    section_heading: str | None
    start: int
    end: int
    text: str
    score: float
    stages: dict[str, StageScore]

    @classmethod
    def of(cls, result: ScoredChunk) -> Passage:
        chunk = result.chunk
        return cls(
            chunk_id=chunk.id,
            source_document=chunk.source_document,
            page_number=chunk.page_number,
            section_heading=chunk.section_heading,
            start=chunk.start,
            end=chunk.end,
            text=chunk.text,
            score=result.score,
            stages={str(stage): score for stage, score in result.stages.items()},
        )


class Cost(Shown):
    stage: str
    nano_usd: int | None
    """Null where no price is known."""
    detail: str
    model: str

    @classmethod
    def of(cls, line: CostLine) -> Cost:
        return cls(stage=line.stage, nano_usd=line.nano_usd, detail=line.detail, model=line.model)


class AskResponse(Shown):
    question: str
    """As it was asked of the documents: a follow-up question stands alone here."""
    answer: str
    refused: bool
    reason: str | None
    confidence: float | None
    citations: list[Citation]
    unsupported: list[Span]
    removed_citations: list[RemovedCitation]
    notes: list[str]
    passages: list[Passage]
    model: str
    degraded: bool
    """No endpoint gave the answer that was asked for; this one stands in for it."""
    usage: Usage
    cost_usd: float | None
    cost: list[Cost]
    timings_ms: dict[str, float]
    cache: str
    config_hash: str
    trace_id: str


class SearchResponse(Shown):
    passages: list[Passage]
    timings_ms: dict[str, float]


class ChunkResponse(Shown):
    chunk_id: str
    document_id: str
    source_document: str
    page_number: int | None
    section_heading: str | None
    start: int
    end: int
    text: str
    token_count: int
    metadata: dict[str, Any]


class DocumentLine(Shown):
    name: str
    title: str
    media_type: str
    pages: int
    chunks: int
    tokens: int


class DocumentsResponse(Shown):
    documents: list[DocumentLine]
    next: str | None
    """Give it as `after` for those that follow; null at the end."""


class ChunkPlace(Shown):
    chunk_id: str
    start: int
    end: int
    page_number: int | None
    section_heading: str | None
    token_count: int


class DocumentResponse(Shown):
    name: str
    title: str
    media_type: str
    date_created: str | None
    metadata: dict[str, Any]
    pages: list[int]
    """Where in the text each page begins."""
    text: str
    chunks: list[ChunkPlace]


class ReceiptLeft(Shown):
    vectors: int
    bm25: int
    manifest: int
    files: int


class DeletedResponse(Shown):
    """Proof of a deletion: what is left, counted by reading the index back."""

    deleted: str
    documents: int
    left: ReceiptLeft
    returns: bool
    """Whether its source is a file of the operator's, from which `ragkit index` brings it in again."""


class UploadResponse(Shown):
    id: str
    name: str
    bytes: int
    state: Literal["queued", "indexing", "done", "failed", "cancelled"]
    progress: float
    """0 to 1, of the run that indexes it."""
    reason: str
    """Why it failed."""
    documents: list[str]
    created: float
    changed: float


class UploadsResponse(Shown):
    uploads: list[UploadResponse]


class TurnLine(Shown):
    question: str
    answer: str


class SessionResponse(Shown):
    id: str
    summary: str
    """Of what lies further back than the turns."""
    turns: list[TurnLine]
    changed: float


class Forgotten(Shown):
    forgotten: bool


class FeedbackLine(Shown):
    trace_id: str
    tenant: str
    key: str
    verdict: Literal["up", "down"]
    reason: str
    question: str
    answer: str
    at: float


class FeedbackResponse(Shown):
    feedback: list[FeedbackLine]


class Noted(Shown):
    noted: bool


def or_events(model: type[BaseModel], events: Sequence[str] = ()) -> dict[int | str, dict[str, Any]]:
    """For the OpenAPI document: a route that answers with this, or with server-sent events of these names."""
    fields: dict[str, Any] = {"data": {"type": "string"}}
    if events:
        fields["event"] = {"type": "string", "enum": list(events)}
    event = {"type": "object", "properties": fields, "required": list(fields)}
    return {200: {"model": model, "content": {"text/event-stream": {"schema": event}}}}


def answer_fields(question: str, answer: Answer) -> dict[str, Any]:
    """An answer as plain data, in the shape of `AskResponse`."""
    return {
        "question": question,
        "answer": whole_characters(answer.text),
        "refused": answer.refused,
        "reason": answer.reason,
        "confidence": answer.confidence,
        "citations": [asdict(citation) for citation in answer.citations],
        "unsupported": [asdict(span) for span in answer.unsupported],
        "removed_citations": [asdict(removed) for removed in answer.removed_citations],
        "notes": list(answer.notes),
        "passages": passages(answer.results),
        **cost_fields(answer),
        "model": answer.model,
        "degraded": answer.degraded,
        "timings_ms": dict(answer.timings_ms),
        "cache": answer.cache,
        "config_hash": answer.config_hash,
        "trace_id": answer.trace_id,
    }


def cost_fields(answer: Answer) -> dict[str, Any]:
    lines = [Cost.of(line).model_dump() for line in answer.cost]
    return {"usage": asdict(answer.usage), "cost_usd": answer.cost_usd, "cost": lines}


def passages(results: Sequence[ScoredChunk]) -> list[Mapping[str, Any]]:
    return [Passage.of(result).model_dump() for result in results]
