"""The retrieval playground: a question, or the saved cases, under other settings; writing settings into the config."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import Field

from ragkit.config.edit import Scalar, Value, change_config, in_words
from ragkit.config.keys import KeyPath, dotted
from ragkit.config.schema import Filter, Reranking, Transform
from ragkit.evaluate.cases import Case
from ragkit.models.catalogue import listed
from ragkit.retrieve.retriever import Retrieved
from ragkit.serve.access import Caller
from ragkit.serve.gate import Admitted
from ragkit.serve.problems import Json, Problem
from ragkit.serve.schemas import Body, Question, SearchResponse, Shown, passages
from ragkit.serve.server import PROBLEMS, Admin, Server, Shared, Writer
from ragkit.serve.trial import KEYS, MOST_CASES, TRANSFORMS, Trial, in_force, tried_transforms
from ragkit.serve.trial_rerankers import State, choice, choices
from ragkit.store.filters import parse_filter

router = APIRouter(prefix="/v1/playground", tags=["playground"], responses=PROBLEMS)

_log = logging.getLogger("ragkit.serve")
_WRITING = threading.Lock()
"""Around reading a config, changing it and putting it back: two at once would lose a change."""
_SHARE_OF_TIME = 0.8
"""Of what a request has left, for the cases; the rest is for the last of them and the answer."""
Share = Annotated[float, Field(ge=0, le=1)]
RerankerName = Annotated[str, Field(min_length=1, max_length=200)]


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
    """Whether a reranker runs; without `reranker` the configured one, if there is one."""
    reranker: RerankerName | None = None
    """A reranker of the catalogue in the place of the configured one; which can be tried says `GET /v1/playground`."""
    transforms: list[Transform] | None = Field(default=None, max_length=len(TRANSFORMS))
    """What is done to the question; null is what is in force. Those that ask a language model are left out."""
    filters: list[Annotated[str, Field(min_length=1, max_length=500)]] = Field(default_factory=list[str], max_length=20)
    """Conditions as `ragkit search --filter` takes them, such as page_number>=3."""


class TriedSearch(Tried):
    question: Question


class ConfigRequest(Body):
    settings: Settings
    rerank: bool = True
    """False turns the reranker off in the config."""
    reranker: RerankerName | None = None
    """A reranker of the catalogue that is on this machine: the one of the config from then on."""
    transforms: list[Transform] | None = Field(default=None, max_length=len(TRANSFORMS))
    """All that is done to the question from then on; null leaves it as it is."""


class TransformLine(Shown):
    name: Transform
    in_force: bool
    tried: bool
    """No for one that would ask the language model."""


class RerankerLine(Shown):
    name: str
    size: str
    state: State
    fetch: str
    """The command that brings it to the machine of the server."""


class PlaygroundResponse(Shown):
    settings: dict[str, Any]
    """What is in force."""
    reranker: bool
    """Whether one is configured."""
    reranker_name: str
    """The configured one; "" where none is, or a service chooses."""
    rerankers: list[RerankerLine]
    transforms: list[TransformLine]
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
    config = admitted.rag.config
    retrieval, tried = config.retrieval, tried_transforms(config)
    transforms = [
        {"name": name, "in_force": name in retrieval.transforms, "tried": name in tried} for name in TRANSFORMS
    ]
    return {
        "settings": in_force(retrieval),
        "reranker": retrieval.reranking.backend != "none",
        "reranker_name": _configured(retrieval.reranking),
        "rerankers": [asdict(one) for one in choices()],
        "transforms": transforms,
        "cases": len(_with_evidence(server, admitted.caller)),
        "may_write": _may_write(admitted.caller) and server.config_file is not None,
    }


@router.post("/search", responses={200: {"model": SearchResponse}})
async def search(request: TriedSearch, admitted: Writer, server: Shared) -> Response:
    """The passages that match a question under these settings."""
    filters, until = _filters(request), time.monotonic() + _left(admitted)
    async with asyncio.timeout_at(admitted.deadline):
        found = await server.patiently(_search, admitted, server, request, filters, until)
    return Json({"passages": passages(found.results), "timings_ms": found.timings_ms})


def _search(admitted: Admitted, server: Server, request: TriedSearch, filters: list[Filter], until: float) -> Retrieved:
    with _trial(admitted, server, request, until) as trial:
        return trial.search(request.question, filters)


@router.post("/recall", responses={200: {"model": RecallResponse}})
async def recall(request: Tried, admitted: Writer, server: Shared) -> Response:
    """How many of the saved cases are found under these settings."""
    filters, until = _filters(request), time.monotonic() + _left(admitted) * _SHARE_OF_TIME
    async with asyncio.timeout_at(admitted.deadline):
        return Json(await server.patiently(_recall, admitted, server, request, filters, until))


def _recall(admitted: Admitted, server: Server, request: Tried, filters: list[Filter], until: float) -> dict[str, Any]:
    cases = _with_evidence(server, admitted.caller)
    with _trial(admitted, server, request, until) as trial:
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
    changes: dict[KeyPath, Value] = {KEYS[name]: value for name, value in request.settings.given.items()}
    transforms = _in_order(request.transforms, admitted.rag.config.retrieval.transforms)
    if transforms is not None:
        changes["retrieval", "transforms"] = [*transforms]
    if not request.rerank:
        if admitted.rag.config.retrieval.reranking.backend != "none":
            changes["retrieval", "reranking", "backend"] = "none"
    elif request.reranker is not None:
        name = (await asyncio.to_thread(choice, request.reranker)).name
        changes["retrieval", "reranking", "backend"] = "cross_encoder"
        changes["retrieval", "reranking", "model"] = name
    if not changes:
        raise Problem(400, "invalid_request", "no setting is given")
    try:
        await server.patiently(_change, server.config_file, changes)
    except OSError as error:
        raise Problem(409, "not_writable", f"the config cannot be written: {error.strerror}") from None
    _log.info("the key %r wrote into the config: %s", admitted.caller.name, in_words(changes))
    await asyncio.shield(server.systems.reload())
    now = server.systems.current.config.retrieval
    given = {dotted(path): value for path, value in changes.items()}
    agreed = in_force(now).items() >= request.settings.given.items() and transforms in (None, now.transforms)
    reranking = {f"retrieval.reranking.{name}": getattr(now.reranking, name) for name in ("backend", "model")}
    same = all(given[key] == value for key, value in reranking.items() if key in given)
    return Json({"written": given, "in_force": agreed and same})


def _in_order(wanted: list[Transform] | None, now: list[Transform]) -> list[Transform] | None:
    """Those that are wanted, the ones in force in their order and the others behind.

    >>> _in_order(["spelling", "hyde"], ["hyde", "acronyms"])
    ['hyde', 'spelling']
    """
    if wanted is None:
        return None
    return [name for name in dict.fromkeys([*now, *TRANSFORMS]) if name in wanted]


def _change(file: Path, changes: Mapping[KeyPath, Value]) -> None:
    with _WRITING:
        change_config(file, changes)


def _may_write(caller: Caller) -> bool:
    return caller.may("admin") and not caller.tenant


def _with_evidence(server: Server, caller: Caller) -> list[Case]:
    return [case for case in server.cases.cases(caller) if case.evidence]


def _left(admitted: Admitted) -> float:
    """Seconds until the deadline of the request; in the event loop only."""
    return max(0.0, admitted.deadline - asyncio.get_running_loop().time())


@contextmanager
def _trial(admitted: Admitted, server: Server, request: Tried, until: float) -> Generator[Trial]:
    rag, given, transforms = admitted.rag, request.settings.given, request.transforms
    name = request.reranker if request.rerank else None
    if name is None or name == _configured(rag.config.retrieval.reranking):
        yield Trial(rag, admitted.caller, given, rag.reranker if request.rerank else None, transforms)
        return
    with server.rerankers.used(name, until - time.monotonic()) as reranker:
        yield Trial(rag, admitted.caller, given, reranker, transforms, local=True)


def _configured(reranking: Reranking) -> str:
    """What the configured reranker is called: its name in the catalogue, or the last part of its place."""
    if reranking.backend == "none" or not reranking.model:
        return ""
    known = listed(reranking.model) if reranking.backend == "cross_encoder" else None
    return known.name if known else Path(reranking.model).name


def _filters(request: Tried) -> list[Filter]:
    return [parse_filter(text) for text in request.filters]
