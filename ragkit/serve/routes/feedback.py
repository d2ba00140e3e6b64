"""What people say of answers."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import Response

from ragkit.serve.problems import Json, Problem
from ragkit.serve.schemas import FeedbackRequest, FeedbackResponse, Noted
from ragkit.serve.server import PROBLEMS, Admin, Reader, Shared

router = APIRouter(prefix="/v1", tags=["feedback"], responses=PROBLEMS)


@router.post("/feedback", status_code=201, responses={201: {"model": Noted}})
async def give(request: FeedbackRequest, admitted: Reader, server: Shared) -> Response:
    """Say whether an answer was good; a second time replaces the first."""
    caller = admitted.caller
    if not await asyncio.to_thread(server.answers.judge, caller, request.model_dump()):
        raise Problem(404, "not_found", "there is no such answer")
    verdict = await asyncio.to_thread(server.answers.verdict, caller, request.trace_id)
    right = None if verdict is None else verdict == "up"
    await asyncio.to_thread(admitted.rag.judge_cached, request.trace_id, right, tenant=caller.tenant)
    return Json({"noted": True}, 201)


@router.get("/feedback", responses={200: {"model": FeedbackResponse}})
async def listed(admitted: Admin, server: Shared, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> Response:
    """The last feedback, newest first."""
    return Json({"feedback": await asyncio.to_thread(server.answers.feedback, admitted.caller, limit)})
