"""Whether the server lives, whether it can answer, and its metrics."""

from __future__ import annotations

import asyncio
from typing import Literal

from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import BaseModel

from ragkit.serve.problems import Json, Problem
from ragkit.serve.server import PROBLEMS, Admin, Shared

router = APIRouter(tags=["operation"])


class Health(BaseModel):
    status: Literal["ok"]


class Ready(BaseModel):
    ready: bool
    models: bool
    index: Literal["open", "none", "unusable"]


@router.get("/health", responses={200: {"model": Health}})
async def health() -> Response:
    """The process answers."""
    return Json({"status": "ok"})


@router.get("/ready", responses={200: {"model": Ready}, 503: {"model": Ready}})
async def ready(server: Shared) -> Response:
    """The models are loaded and have run, and the index is open, or can be begun by an upload."""
    state = await server.systems.look()
    body = {"ready": state.ready, "models": state.models, "index": state.index}
    return Json(body, 200 if state.ready else 503)


@router.get("/metrics", responses={**PROBLEMS, 200: {"content": {"text/plain": {"schema": {"type": "string"}}}}})
async def metrics(admitted: Admin, server: Shared) -> Response:
    """For Prometheus; they count every tenant, so the key must be of none."""
    if admitted.caller.tenant:
        raise Problem(403, "not_allowed", "metrics are of all tenants: this needs an admin key without a tenant")
    uploads = await asyncio.to_thread(server.uploads.counts)
    text = server.observed.metrics.text(uploads)
    return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")
