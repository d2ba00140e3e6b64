"""Saved cases: a question with where its answer stands, for evaluations and the playground."""

from __future__ import annotations

import asyncio
import uuid
from typing import Annotated, Any

from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import AfterValidator, Field

from ragkit.evaluate.cases import Case, Evidence
from ragkit.ingest.discover import whole_characters
from ragkit.serve.gate import Admitted
from ragkit.serve.problems import Json, Problem
from ragkit.serve.routes.documents import find_entry
from ragkit.serve.schemas import Body, Shown
from ragkit.serve.server import PROBLEMS, Server, Shared, Writer

router = APIRouter(prefix="/v1", tags=["cases"], responses=PROBLEMS)

_SEGMENT = "saved"


def _said(text: str) -> str:
    if not text.strip():
        raise ValueError("the text is empty")
    return whole_characters(text)


Said = Annotated[str, Field(min_length=1, max_length=20_000), AfterValidator(_said)]


class Place(Body):
    document: Said
    quote: str = Field(default="", max_length=20_000)
    """What stands there, word for word; without it the whole document, or page, is meant."""
    page: int | None = Field(default=None, ge=1)


class CaseRequest(Body):
    question: Said
    answers: list[Said] = Field(default_factory=list[str], max_length=20)
    """Spellings of the right answer."""
    evidence: list[Place] = Field(default_factory=list[Place], max_length=50)
    answerable: bool = True


class CaseLine(Shown):
    id: str
    question: str
    answers: list[str]
    evidence: list[dict[str, Any]]
    answerable: bool


class CasesResponse(Shown):
    cases: list[CaseLine]


class Removed(Shown):
    removed: bool


@router.post("/cases", status_code=201, responses={201: {"model": CaseLine}})
async def save(request: CaseRequest, admitted: Writer, server: Shared) -> Response:
    """Save a question as a case of the caller's tenant."""
    return Json(await asyncio.to_thread(_save, admitted, server, request), 201)


def _save(admitted: Admitted, server: Server, request: CaseRequest) -> dict[str, Any]:
    if not request.answerable and (request.answers or request.evidence):
        raise Problem(422, "invalid_request", "an unanswerable question has neither answers nor evidence")
    for place in request.evidence:
        find_entry(admitted, place.document)
    case = Case(
        id=uuid.uuid4().hex,
        question=request.question,
        answers=tuple(request.answers),
        evidence=tuple(
            Evidence(
                document=place.document, quote=whole_characters(place.quote), pages=(place.page,) if place.page else ()
            )
            for place in request.evidence
        ),
        answerable=request.answerable,
        segment=_SEGMENT,
        tenant=admitted.caller.tenant,
    )
    server.cases.add(admitted.caller, case)
    return _line(case)


@router.get("/cases", responses={200: {"model": CasesResponse}})
async def listed(admitted: Writer, server: Shared) -> Response:
    """The saved cases of the caller's tenant, oldest first."""
    cases = await asyncio.to_thread(server.cases.cases, admitted.caller)
    return Json({"cases": [_line(case) for case in cases]})


@router.delete("/cases/{case_id}", responses={200: {"model": Removed}})
async def remove(case_id: str, admitted: Writer, server: Shared) -> Response:
    """Take a saved case out."""
    if not await asyncio.to_thread(server.cases.remove, admitted.caller, case_id):
        raise Problem(404, "not_found", "there is no such case")
    return Json({"removed": True})


def _line(case: Case) -> dict[str, Any]:
    fields = case.model_dump(mode="json")
    return {name: fields[name] for name in CaseLine.model_fields}
