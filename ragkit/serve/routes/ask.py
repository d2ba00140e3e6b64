"""Questions: an answer, at once or as it comes; the passages that match; one passage."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response, StreamingResponse

from ragkit.config.schema import Filter
from ragkit.observe.stages import Ended, Notice, listening
from ragkit.serve.events import Found, Token, answered, encoded, events, kept_alive
from ragkit.serve.gate import Admitted
from ragkit.serve.problems import Json, Problem
from ragkit.serve.schemas import (
    AskRequest,
    AskResponse,
    ChunkResponse,
    SearchRequest,
    SearchResponse,
    answer_fields,
    cost_fields,
    or_events,
    passages,
)
from ragkit.serve.server import PROBLEMS, Reader, Server, Shared
from ragkit.store.payload import is_point_id

router = APIRouter(prefix="/v1", tags=["questions"], responses=PROBLEMS)

_EVENTS = ("retrieved", "reranked", "token", "citations", "cost", "done", "error")


@router.post("/ask", responses=or_events(AskResponse, _EVENTS))
async def ask(request: AskRequest, admitted: Reader, server: Shared) -> Response:
    """Answer a question with citations, or refuse with a reason."""
    if request.stream:
        pieces = _events(server, admitted, request.question, request.filters)
        return StreamingResponse(kept_alive(pieces), media_type="text/event-stream")
    return Json(answer_fields(await answered(server, admitted, request.question, request.filters)))


async def _events(
    server: Server, admitted: Admitted, question: str, filters: Sequence[Filter]
) -> AsyncGenerator[bytes]:
    async for event in events(server, admitted, question, filters):
        if isinstance(event, Token):
            yield encoded({"text": event.text}, "token")
        elif isinstance(event, Found):
            yield encoded({"passages": passages(event.results)}, event.stage)
        elif isinstance(event, Problem):
            yield encoded(event.body(), "error")
        else:
            citations = [asdict(citation) for citation in event.citations]
            yield encoded({"citations": citations}, "citations")
            yield encoded(cost_fields(event), "cost")
            yield encoded(answer_fields(event), "done")


@router.post("/search", responses={200: {"model": SearchResponse}})
async def search(request: SearchRequest, admitted: Reader, server: Shared) -> Response:
    """The passages that match a question, best first."""

    def hear(notice: Notice) -> None:
        if isinstance(notice, Ended):
            server.observed.metrics.stage(notice.stage, notice.ms)

    with listening(hear):
        async with asyncio.timeout_at(admitted.deadline):
            found = await asyncio.to_thread(
                admitted.rag.retrieve,
                request.question,
                top_k=request.top_k,
                strategy=request.strategy,
                filters=[*request.filters, *admitted.caller.conditions],
                rerank=request.rerank,
            )
    return Json({"passages": passages(found.results), "timings_ms": found.timings_ms})


@router.get("/chunks/{chunk_id}", responses={200: {"model": ChunkResponse}})
async def chunk(chunk_id: str, admitted: Reader) -> Response:
    """One passage by its id."""
    found = await asyncio.to_thread(_chunk, admitted, chunk_id) if is_point_id(chunk_id) else None
    if found is None:
        raise Problem(404, "not_found", "there is no such chunk")
    return Json(found)


def _chunk(admitted: Admitted, chunk_id: str) -> dict[str, Any] | None:
    chunk = admitted.rag.snapshot().store.chunks([chunk_id]).get(chunk_id)
    if chunk is None or not admitted.caller.sees(chunk, admitted.rag.config.retrieval.filters):
        return None
    return {
        "chunk_id": chunk.id,
        "document_id": chunk.document_id,
        "source_document": chunk.source_document,
        "page_number": chunk.page_number,
        "section_heading": chunk.section_heading,
        "start": chunk.start,
        "end": chunk.end,
        "text": chunk.text,
        "token_count": chunk.token_count,
        "metadata": dict(chunk.metadata),
    }
