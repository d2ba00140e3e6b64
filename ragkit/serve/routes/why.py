"""Why a chunk is, or is not, among the results of a question."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import Field

from ragkit.config.schema import Filter
from ragkit.retrieve.why import describe, why
from ragkit.serve.gate import Admitted
from ragkit.serve.problems import Json, Problem
from ragkit.serve.schemas import Body, Filters, Question, Shown
from ragkit.serve.server import PROBLEMS, Reader, Shared
from ragkit.store.payload import is_point_id

router = APIRouter(prefix="/v1", tags=["questions"], responses=PROBLEMS)


class WhyRequest(Body):
    question: Question
    chunk_id: str
    filters: Filters = Field(default_factory=list[Filter])


class StandingLine(Shown):
    stage: str
    rank: int | None
    """Null if the stage does not have the chunk."""
    score: float | None
    ranked: int
    """How many chunks the stage ranked, of those that the caller sees."""
    kept: int
    """How many of them went on."""
    used: bool
    passed: bool


class WordLine(Shown):
    text: str
    state: str
    """matched, missing, or ignored (a stop word)."""


class ChangeLine(Shown):
    settings: dict[str, Any]
    """Keys of the config with values that would bring the chunk in."""
    rank: int
    reranker: bool


class WhyResponse(Shown):
    chunk_id: str
    rank: int | None
    top_k: int
    stages: list[StandingLine]
    words: list[WordLine]
    dropped_by: list[str]
    changes: list[ChangeLine]


@router.post("/why", responses={200: {"model": WhyResponse}})
async def explain(request: WhyRequest, admitted: Reader, server: Shared) -> Response:
    """The place of a chunk at every stage, and what would have brought it into the results."""
    async with asyncio.timeout_at(admitted.deadline):
        return Json(await server.patiently(_why, admitted, request))


def _why(admitted: Admitted, request: WhyRequest) -> dict[str, Any]:
    rag, caller = admitted.rag, admitted.caller
    if rag.config.costs.budgets and rag.config.searches_by_api:
        raise Problem(
            403, "not_allowed", "what asks models of an API is not explained under budgets, which do not count it"
        )
    store, retrieval = rag.snapshot().store, rag.config.retrieval
    chunk = store.chunks([request.chunk_id]).get(request.chunk_id) if is_point_id(request.chunk_id) else None
    if chunk is None or not caller.sees(chunk, retrieval.filters):
        raise Problem(404, "not_found", "there is no such chunk")
    conditions = [*request.filters, *caller.conditions]
    found = why(
        request.question, chunk.document_id, store, rag.embedder, retrieval, rag.reranker, conditions, chunk.id,
        rag.rewriter(),
    )  # fmt: skip
    return {
        "chunk_id": chunk.id,
        "rank": found.rank,
        "top_k": found.top_k,
        "stages": [asdict(standing) | {"passed": standing.passed} for standing in found.standings],
        "words": [asdict(word) for word in found.words],
        "dropped_by": [describe(condition) for condition in found.dropped_by],
        "changes": [asdict(change) for change in found.changes],
    }
