"""The fields that conditions can be put on, with some of their values: what a client offers as filters."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Literal

from fastapi import APIRouter
from fastapi.responses import Response

from ragkit.ingest.owner import FIELD
from ragkit.serve.gate import Admitted
from ragkit.serve.problems import Json
from ragkit.serve.schemas import Shown
from ragkit.serve.server import PROBLEMS, Reader
from ragkit.store.filters import seconds
from ragkit.store.open import NoIndex
from ragkit.types import Document, Scalar

router = APIRouter(prefix="/v1", tags=["questions"], responses=PROBLEMS)

Kind = Literal["text", "number", "date", "truth", "any"]

_MOST_DOCUMENTS = 200
_MOST_TOKENS = 2_000_000
_MOST_VALUES = 100
_LONGEST_VALUE = 200


class FieldLine(Shown):
    name: str
    kind: Kind
    """What its values are; `any` where they are of several kinds, or not known."""
    values: list[str]
    """Some of its texts, in order."""


class FieldsResponse(Shown):
    fields: list[FieldLine]
    documents: int
    """How many documents were looked at; others may have further fields and values."""


@dataclass(slots=True)
class _Seen:
    kinds: set[Kind] = field(default_factory=set[Kind])
    values: set[str] = field(default_factory=set[str])


@router.get("/fields", responses={200: {"model": FieldsResponse}})
async def fields(admitted: Reader) -> Response:
    """The fields of the first documents that the caller sees."""
    return Json(await asyncio.to_thread(_fields, admitted))


def _fields(admitted: Admitted) -> dict[str, Any]:
    seen: dict[str, _Seen] = {"source_document": _Seen({"text"}), "title": _Seen({"text"})}
    count = 0
    for document in _documents(admitted):
        count += 1
        for name, value in _values(document):
            if name == FIELD and admitted.caller.tenant:
                continue  # it may name those with whom a document is shared
            one = seen.setdefault(name, _Seen())
            one.kinds.add(_kind(value))
            if isinstance(value, str) and len(value) <= _LONGEST_VALUE and len(one.values) < _MOST_VALUES:
                one.values.add(value)
    lines = [{"name": name, "kind": _joint(one.kinds), "values": sorted(one.values)} for name, one in seen.items()]
    return {"fields": lines, "documents": count}


def _documents(admitted: Admitted) -> Iterator[Document]:
    try:
        snapshot = admitted.rag.snapshot()
    except NoIndex:
        return
    filters, tokens = admitted.rag.config.retrieval.filters, 0
    for entry in admitted.caller.entries(snapshot.manifest, "", _MOST_DOCUMENTS):
        tokens += entry.tokens
        if tokens > _MOST_TOKENS:
            return
        if not filters or admitted.caller.sees_all_of(entry, snapshot, filters):
            document = snapshot.manifest.document(entry.id)
            if document is not None:
                yield document


def _values(document: Document) -> Iterator[tuple[str, Scalar]]:
    """What the chunks of a document are filtered by, as `ragkit.store.filters.fields_of` has it."""
    yield "source_document", document.source
    yield "title", document.title
    for folder in list(PurePosixPath(document.source.split("#", 1)[0]).parents)[:-1]:
        yield "folder", str(folder)
    for section in document.sections:
        for heading in section.path:
            yield "section", heading
    if document.pages:
        yield "page_number", 1
    if document.date_created:
        yield "date_created", document.date_created
    for name, value in document.metadata.items():
        for one in value if isinstance(value, list) else [value]:
            yield name, one


def _kind(value: Scalar) -> Kind:
    if isinstance(value, bool):
        return "truth"
    if not isinstance(value, str):
        return "number"
    return "text" if seconds(value) is None else "date"


def _joint(kinds: set[Kind]) -> Kind:
    """
    >>> _joint({"date", "text"}), _joint({"date"}), _joint({"number", "text"})
    ('text', 'date', 'any')
    """
    return "text" if kinds == {"date", "text"} else next(iter(kinds)) if len(kinds) == 1 else "any"
