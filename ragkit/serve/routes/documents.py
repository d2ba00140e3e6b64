"""Documents: list, read, delete, upload; and the uploads on their way."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, UploadFile
from fastapi.responses import Response

from ragkit.ingest.area import path_of
from ragkit.ingest.plan import absolute_root
from ragkit.serve.gate import Admitted
from ragkit.serve.problems import Json, Problem
from ragkit.serve.schemas import (
    DeletedResponse,
    DocumentResponse,
    DocumentsResponse,
    UploadResponse,
    UploadsResponse,
)
from ragkit.serve.server import PROBLEMS, Reader, Server, Shared, Writer
from ragkit.serve.uploads import Upload, checked_file_name
from ragkit.store.manifest import Entry
from ragkit.store.open import NoIndex, Snapshot
from ragkit.types import Document

router = APIRouter(prefix="/v1", tags=["documents"], responses=PROBLEMS)

_WAIT_FOR_WRITER_S = 10.0
_UPLOADED: dict[int | str, dict[str, Any]] = {202: {"model": UploadResponse}}


@router.get("/documents", responses={200: {"model": DocumentsResponse}})
async def documents(
    admitted: Reader,
    after: Annotated[str, Query(max_length=4096)] = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Response:
    """The documents of the index in the order of their names."""
    return Json(await asyncio.to_thread(_documents, admitted, after, limit))


def _documents(admitted: Admitted, after: str, limit: int) -> dict[str, Any]:
    try:
        snapshot = admitted.rag.snapshot()
    except NoIndex:
        return {"documents": [], "next": None}
    filters = admitted.rag.config.retrieval.filters
    entries = admitted.caller.entries(snapshot.manifest, _text(after), limit)
    shown = [entry for entry in entries if not filters or admitted.caller.sees_all_of(entry, snapshot, filters)]
    fields = ("name", "title", "media_type", "pages", "chunks", "tokens")
    lines = [{name: getattr(entry, name) for name in fields} for entry in shown]
    return {"documents": lines, "next": entries[-1].name if len(entries) == limit else None}


@router.post("/documents", status_code=202, responses=_UPLOADED)
async def upload(file: UploadFile, admitted: Writer, server: Shared) -> Response:
    """Take a document on. It is indexed in the background; `/v1/uploads/ID` says how far it is."""
    serve = admitted.rag.config.serve
    name = checked_file_name(_text(file.filename or ""), serve.upload_types)
    if file.size is not None and file.size > serve.max_upload_mb * 1e6:
        raise Problem(413, "too_large", f"files of more than {serve.max_upload_mb:g} MB are not taken")
    waiting = serve.max_uploads_waiting
    taken = await server.patiently(server.uploads.add, admitted.caller, name, file.file, waiting)
    server.indexer.wake()
    return Json(_shown(taken), 202, {"Location": f"/v1/uploads/{taken.id}"})


@router.get("/documents/{name:path}", responses={200: {"model": DocumentResponse}})
async def document(name: str, admitted: Reader) -> Response:
    """A document with its text and the places of its chunks."""
    return Json(await asyncio.to_thread(_document, admitted, name))


def _document(admitted: Admitted, name: str) -> dict[str, Any]:
    snapshot, entry = find_entry(admitted, name)
    document = _read(snapshot, entry)
    names = ("start", "end", "page_number", "section_heading", "token_count")
    chunks = [
        {"chunk_id": chunk.id, **{field: getattr(chunk, field) for field in names}}
        for chunk in snapshot.store.chunks_of(entry.id)
    ]
    return {
        "name": document.source,
        "title": document.title,
        "media_type": document.media_type,
        "date_created": document.date_created,
        "metadata": dict(document.metadata),
        "pages": list(document.pages),
        "text": document.text,
        "chunks": chunks,
    }


def find_document(admitted: Admitted, name: str) -> Document:
    """A document of the caller. Raises Problem (404) alike for one of others and for none."""
    return _read(*find_entry(admitted, name))


def _read(snapshot: Snapshot, entry: Entry) -> Document:
    document = snapshot.manifest.document(entry.id)
    if document is None:
        raise Problem(404, "not_found", "there is no such document")
    return document


@router.delete("/documents/{name:path}", responses={200: {"model": DeletedResponse}})
async def delete(name: str, admitted: Writer, server: Shared) -> Response:
    """Take a document out of the index, and its file away if it was uploaded."""
    return Json(await server.patiently(_delete, admitted, server, name))


def _delete(admitted: Admitted, server: Server, name: str) -> dict[str, Any]:
    """The file goes first: a kill in between leaves a document that the next run over the uploads takes out."""
    snapshot, entry = find_entry(admitted, name)
    root = absolute_root(entry.root, admitted.rag.config.ingestion.store.path)
    path = Path(path_of(entry.name, root))
    del snapshot  # the receipt would count the generation that it holds open
    uploaded = path.is_relative_to(server.uploads.folder) and path.is_file()
    aside = server.uploads.aside(uuid.uuid4().hex)
    if uploaded:
        path.replace(aside)
    try:
        receipt = admitted.rag.delete([entry.name], wait_s=_WAIT_FOR_WRITER_S).as_dict()
    except BaseException:
        if uploaded and not path.exists():
            aside.replace(path)
        raise
    aside.unlink(missing_ok=True)
    return {"deleted": entry.name, **receipt, "returns": not uploaded}


def find_entry(admitted: Admitted, name: str) -> tuple[Snapshot, Entry]:
    """The line of a document that the caller sees all of. Raises Problem (404) alike for one of others and for none."""
    try:
        snapshot = admitted.rag.snapshot()
    except NoIndex:
        snapshot = None
    entry = snapshot.manifest.find(_text(name)) if snapshot is not None else None
    filters = admitted.rag.config.retrieval.filters
    if snapshot is None or entry is None or not admitted.caller.sees_all_of(entry, snapshot, filters):
        raise Problem(404, "not_found", "there is no such document")
    return snapshot, entry


def _text(given: str) -> str:
    """What SQLite can be asked for: halves of surrogate pairs are in no name."""
    return given.encode("utf-8", "replace").decode()


@router.get("/uploads", responses={200: {"model": UploadsResponse}})
async def uploads(admitted: Reader, server: Shared, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> Response:
    """The last uploads, newest first."""
    listed = await asyncio.to_thread(server.uploads.listed, admitted.caller, limit)
    return Json({"uploads": [_shown(one) for one in listed]})


@router.get("/uploads/{upload_id}", responses={200: {"model": UploadResponse}})
async def upload_status(upload_id: str, admitted: Reader, server: Shared) -> Response:
    """How far an upload is."""
    return Json(_shown(await asyncio.to_thread(_upload, admitted, server, upload_id)))


@router.delete("/uploads/{upload_id}", responses={200: {"model": UploadResponse}})
async def cancel_upload(upload_id: str, admitted: Writer, server: Shared) -> Response:
    """Stop an upload that is not done yet; what is over stays as it is."""
    found = await asyncio.to_thread(_upload, admitted, server, upload_id)
    return Json(_shown(await asyncio.to_thread(server.uploads.cancel, found)))


def _upload(admitted: Admitted, server: Server, upload_id: str) -> Upload:
    found = server.uploads.find(admitted.caller, _text(upload_id))
    if found is None:
        raise Problem(404, "not_found", "there is no such upload")
    return found


def _shown(upload: Upload) -> dict[str, Any]:
    fields = asdict(upload)
    return {name: fields[name] for name in UploadResponse.model_fields}
