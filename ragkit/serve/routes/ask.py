"""Questions: an answer, at once or as it comes; the passages that match; one passage."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response, StreamingResponse

from ragkit.ingest.discover import whole_characters
from ragkit.observe.stages import Ended, Notice, listening
from ragkit.serve.conversation import Turn, stand_alone
from ragkit.serve.events import Found, Token, answered, encoded, events, kept_alive
from ragkit.serve.gate import Admitted
from ragkit.serve.problems import Json, Problem, problem_of
from ragkit.serve.schemas import (
    AskRequest,
    AskResponse,
    ChunkResponse,
    Forgotten,
    SearchRequest,
    SearchResponse,
    SessionResponse,
    answer_fields,
    cost_fields,
    or_events,
    passages,
)
from ragkit.serve.server import PROBLEMS, Reader, Server, Shared
from ragkit.serve.writing import writer
from ragkit.store.payload import is_point_id
from ragkit.types import Answer

router = APIRouter(prefix="/v1", tags=["questions"], responses=PROBLEMS)

_EVENTS = ("retrieved", "reranked", "token", "citations", "cost", "done", "error")


@router.post("/ask", responses=or_events(AskResponse, _EVENTS))
async def ask(request: AskRequest, admitted: Reader, server: Shared) -> Response:
    """Answer a question with citations, or refuse with a reason."""
    if request.stream:
        return StreamingResponse(kept_alive(_events(server, admitted, request)), media_type="text/event-stream")
    question = await _question(server, admitted, request)
    answer = await answered(server, admitted, question, request.filters, request.task)
    await _remember(server, admitted, request, question, answer)
    return Json(answer_fields(question, answer))


async def _question(server: Server, admitted: Admitted, request: AskRequest) -> str:
    """What is asked of the documents: in a conversation the question as it stands alone."""
    if request.session_id is None:
        return request.question
    write, budget = writer(admitted), admitted.rag.config.serve.memory_tokens
    async with asyncio.timeout_at(admitted.deadline):
        memory = await server.patiently(server.sessions.recall, admitted.caller, request.session_id, budget, write)
        return await server.patiently(stand_alone, request.question, memory, write)


async def _remember(server: Server, admitted: Admitted, request: AskRequest, question: str, answer: Answer) -> None:
    if request.session_id is not None:
        turn = Turn(question, whole_characters(answer.text))
        await asyncio.to_thread(server.sessions.add, admitted.caller, request.session_id, turn)


async def _events(server: Server, admitted: Admitted, request: AskRequest) -> AsyncGenerator[bytes]:
    try:
        question = await _question(server, admitted, request)
    except Exception as error:
        yield encoded(problem_of(error).body(), "error")
        return
    async for event in events(server, admitted, question, request.filters, request.task):
        if isinstance(event, Token):
            yield encoded({"text": event.text}, "token")
        elif isinstance(event, Found):
            yield encoded({"question": question, "passages": passages(event.results)}, event.stage)
        elif isinstance(event, Problem):
            yield encoded(event.body(), "error")
        else:
            await _remember(server, admitted, request, question, event)
            citations = [asdict(citation) for citation in event.citations]
            yield encoded({"citations": citations}, "citations")
            yield encoded(cost_fields(event), "cost")
            yield encoded(answer_fields(question, event), "done")


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
                payer=admitted.caller.payer,
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


@router.get("/sessions/{session_id}", responses={200: {"model": SessionResponse}})
async def session(session_id: str, admitted: Reader, server: Shared) -> Response:
    """What is remembered of a conversation of the caller's key."""
    found = await asyncio.to_thread(server.sessions.find, admitted.caller, session_id)
    if found is None:
        raise Problem(404, "not_found", "there is no such session")
    turns = [{"question": turn.question, "answer": turn.answer} for turn in found.memory.turns]
    return Json({"id": found.id, "summary": found.memory.summary, "turns": turns, "changed": found.changed})


@router.delete("/sessions/{session_id}", responses={200: {"model": Forgotten}})
async def forget(session_id: str, admitted: Reader, server: Shared) -> Response:
    """Forget a conversation of the caller's key."""
    if not await asyncio.to_thread(server.sessions.forget, admitted.caller, session_id):
        raise Problem(404, "not_found", "there is no such session")
    return Json({"forgotten": True})
