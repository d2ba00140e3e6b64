"""The retrieval playground: a question, or the saved cases, under other settings; writing settings into the config."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import Field

from ragkit.config.edit import Scalar, change_config, in_words
from ragkit.config.keys import KeyPath, dotted
from ragkit.config.schema import Filter
from ragkit.evaluate.cases import Case
from ragkit.serve.access import Caller
from ragkit.serve.gate import Admitted
from ragkit.serve.problems import Json, Problem
from ragkit.serve.schemas import Body, Question, SearchResponse, Shown, passages
from ragkit.serve.server import PROBLEMS, Admin, Server, Shared, Writer
from ragkit.serve.trial import KEYS, MOST_CASES, Trial, in_force
from ragkit.store.filters import parse_filter

router = APIRouter(prefix="/v1/playground", tags=["playground"], responses=PROBLEMS)

_log = logging.getLogger("ragkit.serve")
_WRITING = threading.Lock()
"""Around reading a config, changing it and putting it back: two at once would lose a change."""
_SHARE_OF_TIME = 0.8
"""Of what a request has left, for the cases; the rest is for the last of them and the answer."""
Share = Annotated[float, Field(ge=0, le=1)]


class Settings(Body):
    """Settings of retrieval; null is what is in force."""

    strategy: Literal["dense", "sparse", "hybrid"] | None = None
    candidates: int | None = Field(default=None, ge=1, le=1000)
    top_k: int | None = Field(default=None, ge=1, le=100)
    fusion: Literal["rrf", "weighted", "dbsf"] | None = None
    rrf_k: int | None = Field(default=None, ge=1, le=1000)
    alpha: Share | None = None
    """Weight of the dense score where fusion is weighted."""
    rerank_candidates: int | None = Field(default=None, ge=1, le=100)
    rerank_weight: Share | None = None
    feedback: Literal["none", "rm3", "rocchio", "both"] | None = None
    neighbours: Literal["none", "smooth"] | None = None
    diversity: Literal["none", "mmr"] | None = None
    diversity_weight: Share | None = None

    @property
    def given(self) -> dict[str, Scalar]:
        return {name: getattr(self, name) for name in KEYS if getattr(self, name) is not None}


class Tried(Body):
    settings: Settings = Settings()
    rerank: bool = True
    """Whether the configured reranker runs; without one it makes no difference."""
    filters: list[Annotated[str, Field(min_length=1, max_length=500)]] = Field(default_factory=list[str], max_length=20)
    """Conditions as `ragkit search --filter` takes them, such as page_number>=3."""


class TriedSearch(Tried):
    question: Question


class ConfigRequest(Body):
    settings: Settings
    rerank: bool = True
    """False turns the reranker off in the config."""


class PlaygroundResponse(Shown):
    settings: dict[str, Any]
    """What is in force."""
    reranker: bool
    cases: int
    """Saved cases of the caller's tenant with evidence."""
    may_write: bool
    """Whether the caller may write settings into the config."""


class CaseFound(Shown):
    id: str
    question: str
    rank: int | None
    """Of the first passage that holds the evidence; null if none of the results does."""


class RecallResponse(Shown):
    recall: float | None
    """Share of the asked cases whose evidence is among the first `top_k`; null without any."""
    top_k: int
    asked: int
    of: int
    """Fewer are asked where there are too many or the time does not last; the newest are."""
    cases: list[CaseFound]


class WrittenResponse(Shown):
    written: dict[str, Any]
    """Keys of the config and their values."""
    in_force: bool
    """No where the server was started with other values, or the config could not be reloaded: its log says why."""


@router.get("", responses={200: {"model": PlaygroundResponse}})
async def playground(admitted: Writer, server: Shared) -> Response:
    """The settings in force, and what can be tried."""
    return Json(await asyncio.to_thread(_state, admitted, server))


def _state(admitted: Admitted, server: Server) -> dict[str, Any]:
    retrieval = admitted.rag.config.retrieval
    return {
        "settings": in_force(retrieval),
        "reranker": retrieval.reranking.backend != "none",
        "cases": len(_with_evidence(server, admitted.caller)),
        "may_write": _may_write(admitted.caller) and server.config_file is not None,
    }


@router.post("/search", responses={200: {"model": SearchResponse}})
async def search(request: TriedSearch, admitted: Writer, server: Shared) -> Response:
    """The passages that match a question under these settings."""
    filters = _filters(request)
    async with asyncio.timeout_at(admitted.deadline):
        found = await server.patiently(lambda: _trial(admitted, request).search(request.question, filters))
    return Json({"passages": passages(found.results), "timings_ms": found.timings_ms})


@router.post("/recall", responses={200: {"model": RecallResponse}})
async def recall(request: Tried, admitted: Writer, server: Shared) -> Response:
    """How many of the saved cases are found under these settings."""
    left = max(0.0, admitted.deadline - asyncio.get_running_loop().time())
    until = time.monotonic() + left * _SHARE_OF_TIME
    filters = _filters(request)
    async with asyncio.timeout_at(admitted.deadline):
        return Json(await server.patiently(_recall, admitted, server, request, filters, until))


def _recall(admitted: Admitted, server: Server, request: Tried, filters: list[Filter], until: float) -> dict[str, Any]:
    cases = _with_evidence(server, admitted.caller)
    trial = _trial(admitted, request)
    found = trial.recall(cases[-MOST_CASES:], filters, until)
    hits = sum(one.rank is not None for one in found)
    return {
        "recall": hits / len(found) if found else None,
        "top_k": trial.retrieval.top_k,
        "asked": len(found),
        "of": len(cases),
        "cases": [asdict(one) for one in found],
    }


@router.post("/config", responses={200: {"model": WrittenResponse}})
async def write(request: ConfigRequest, admitted: Admin, server: Shared) -> Response:
    """Write settings into the config, which is everybody's, and go over to it."""
    if not _may_write(admitted.caller):
        raise Problem(403, "not_allowed", "the config is of all tenants: this needs an admin key without a tenant")
    if server.config_file is None:
        raise Problem(409, "no_config_file", "the server was started without a config file")
    changes: dict[KeyPath, Scalar] = {KEYS[name]: value for name, value in request.settings.given.items()}
    if not request.rerank and admitted.rag.config.retrieval.reranking.backend != "none":
        changes["retrieval", "reranking", "backend"] = "none"
    if not changes:
        raise Problem(400, "invalid_request", "no setting is given")
    try:
        await server.patiently(_change, server.config_file, changes)
    except OSError as error:
        raise Problem(409, "not_writable", f"the config cannot be written: {error.strerror}") from None
    _log.info("the key %r wrote into the config: %s", admitted.caller.name, in_words(changes))
    await asyncio.shield(server.systems.reload())
    now = server.systems.current.config.retrieval
    agreed = in_force(now).items() >= request.settings.given.items()
    off = request.rerank or now.reranking.backend == "none"
    written = {dotted(path): value for path, value in changes.items()}
    return Json({"written": written, "in_force": agreed and off})


def _change(file: Path, changes: Mapping[KeyPath, Scalar]) -> None:
    with _WRITING:
        change_config(file, changes)


def _may_write(caller: Caller) -> bool:
    return caller.may("admin") and not caller.tenant


def _with_evidence(server: Server, caller: Caller) -> list[Case]:
    return [case for case in server.cases.cases(caller) if case.evidence]


def _trial(admitted: Admitted, request: Tried) -> Trial:
    return Trial(admitted.rag, admitted.caller, request.settings.given, request.rerank)


def _filters(request: Tried) -> list[Filter]:
    return [parse_filter(text) for text in request.filters]
