"""Pages of PDFs: their picture, and where on it a range of the document's text stands."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.params import Path as InPath
from fastapi.responses import Response

from ragkit.ingest.area import path_of
from ragkit.ingest.plan import absolute_root
from ragkit.serve.gate import Admitted
from ragkit.serve.problems import Json, Problem
from ragkit.serve.routes.documents import find_entry
from ragkit.serve.schemas import Shown
from ragkit.serve.server import PROBLEMS, Reader, Server, Shared
from ragkit.store.manifest import Entry
from ragkit.types import Document

router = APIRouter(prefix="/v1", tags=["documents"], responses=PROBLEMS)

_PDF = "application/pdf"
_LARGEST_OFFSET = 10**9
Number = Annotated[int, InPath(ge=1, le=100_000)]
Offset = Annotated[int, Query(ge=0, le=_LARGEST_OFFSET)]


class Mark(Shown):
    """A rectangle in shares of the page's width and height, from its upper left corner."""

    left: float
    top: float
    width: float
    height: float


class MarksResponse(Shown):
    marks: list[Mark]
    """Line by line; empty where the words are not found on the page."""


@router.get("/sheets/{number}/{name:path}", responses={200: {"content": {"image/png": {"schema": {"type": "string"}}}}})
async def sheet(
    number: Number, name: str, admitted: Reader, server: Shared, width: Annotated[int, Query(ge=100, le=2000)] = 1000
) -> Response:
    """A page of a PDF as a picture, so many pixels wide."""
    drawn = await server.patiently(_picture, admitted, server, name, number, width)
    return Response(drawn, media_type="image/png")


def _picture(admitted: Admitted, server: Server, name: str, number: int, width: int) -> bytes:
    return server.sheets.picture(_pdf(admitted, name, number)[0], number, width)


@router.get("/marks/{number}/{name:path}", responses={200: {"model": MarksResponse}})
async def marks(number: Number, name: str, admitted: Reader, server: Shared, start: Offset, end: Offset) -> Response:
    """Where on a page of a PDF the characters from `start` to `end` of the document's text stand."""
    return Json(await server.patiently(_marks, admitted, server, name, number, start, end))


def _marks(admitted: Admitted, server: Server, name: str, number: int, start: int, end: int) -> dict[str, Any]:
    path, document = _pdf(admitted, name, number)
    first = document.pages[number - 1]
    last = document.pages[number] if number < len(document.pages) else len(document.text)
    quote = document.text[max(start, first) : min(end, last)]
    boxes = server.sheets.boxes(path, number, quote, document.text[first : max(start, first)]) if quote else []
    fields = ("left", "top", "width", "height")
    return {"marks": [dict(zip(fields, box, strict=True)) for box in boxes]}


def _pdf(admitted: Admitted, name: str, number: int) -> tuple[Path, Document]:
    """The file of a PDF that the caller sees, which is still the one that was indexed. Raises Problem (404)."""
    snapshot, entry = find_entry(admitted, name)
    document = snapshot.manifest.document(entry.id) if entry.media_type == _PDF else None
    if document is None or number > len(document.pages):
        raise Problem(404, "not_found", "there is no such page of a PDF")
    path = Path(path_of(entry.name, absolute_root(entry.root, admitted.rag.config.ingestion.store.path)))
    if not _unchanged(path, entry):
        raise Problem(404, "not_found", "the file is not there any more, or is another one than was indexed")
    return path, document


def _unchanged(path: Path, entry: Entry) -> bool:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == entry.content_hash
    except OSError:
        return False
