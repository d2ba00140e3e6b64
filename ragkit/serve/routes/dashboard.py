"""Figures for those who run a system, or a tenant's part of it."""

from __future__ import annotations

import asyncio
import time
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import Response

from ragkit.gateway.cost_report import Spent
from ragkit.gateway.ledger import Ledger
from ragkit.serve.gate import Admitted
from ragkit.serve.outcomes import spent
from ragkit.serve.problems import Json
from ragkit.serve.schemas import Shown
from ragkit.serve.server import PROBLEMS, Admin, Server, Shared

router = APIRouter(prefix="/v1", tags=["operation"], responses=PROBLEMS)

_DAY_S = 86_400


class AskedLine(Shown):
    """Questions and how they ended. Times are milliseconds, of answers and refusals."""

    questions: int
    refused: int
    failed: int
    degraded: int
    median_ms: float | None
    p95_ms: float | None


class DayLine(AskedLine):
    day: str
    """Of UTC."""


class KeyLine(AskedLine):
    tenant: str
    key: str


class DashboardResponse(Shown):
    """Of the caller's tenant; of all for a key of none."""

    all: AskedLine
    days: list[DayLine]
    keys: list[KeyLine]
    refusals: dict[str, int]
    failures: dict[str, int]
    cache: dict[str, int]
    """Answers by the tier of the cache that they came from."""
    spent: dict[str, list[Spent]] | None
    """By key, tenant and model; null without `costs.ledger`."""
    statuses: dict[str, int] | None
    """Requests by HTTP status since the server started; null for a tenant."""


@router.get("/dashboard", responses={200: {"model": DashboardResponse}})
async def dashboard(admitted: Admin, server: Shared, days: Annotated[int, Query(ge=1, le=366)] = 30) -> Response:
    """Latency, refusals, errors, cache, and tokens and cost by key, tenant and model, of the last days."""
    return Json(await asyncio.to_thread(_figures, admitted, server, days))


def _figures(admitted: Admitted, server: Server, days: int) -> dict[str, Any]:
    caller, kept = admitted.caller, admitted.rag.config.costs
    today = int(time.time()) // _DAY_S * _DAY_S
    since = today - (days - 1) * _DAY_S
    costs = None
    if kept.ledger is not None:
        with closing(Ledger(kept.ledger, kept.ledger_password)) as ledger:
            groups = spent(ledger, caller, datetime.fromtimestamp(since, UTC).strftime("%Y-%m-%d"))
            costs = {by: [asdict(group) for group in found] for by, found in groups.items()}
    figures = server.outcomes.figures(caller, since)
    return {**figures, "spent": costs, "statuses": None if caller.tenant else server.observed.metrics.by_status()}
