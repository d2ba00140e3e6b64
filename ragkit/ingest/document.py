"""A source and what was read from it, as one document."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from typing import Any, cast

from ragkit.ingest.discover import Source, whole_characters
from ragkit.ingest.parse import Parsed
from ragkit.types import Document, MetadataValue, Scalar

# Fields of every chunk that follow from the document's name and title: a row's own would contradict its citations.
_OURS = frozenset({"source_document", "folder", "title"})


def document_id(name: str) -> str:
    """Stable over edits: a hash of the source's name."""
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def make_document(source: Source, parsed: Parsed) -> Document:
    """The document of a source. A JSON-lines row brings its own title and metadata; a file without a title is known
    by its name."""
    metadata = plain_metadata(parsed.metadata)
    date = metadata.pop("date_created", None) or parsed.date_created
    title = whole_characters(parsed.title or (source.path.stem if source.row_at is None else ""))
    return Document(
        id=document_id(source.name),
        text=whole_characters(parsed.text),
        source=source.name,
        media_type=parsed.media_type,
        title=title,
        content_hash=source.content_hash,
        pages=parsed.pages,
        sections=parsed.sections,
        date_created=str(date) if date else None,
        metadata=metadata,
    )


def plain_metadata(given: Mapping[str, Any]) -> dict[str, MetadataValue]:
    """Scalars and lists of scalars by name; nested objects become dotted names.

    A null is no value and goes without a word. `metadata_changes` tells of what else a store cannot hold.

    >>> plain_metadata({"a": {"b": 1, "c": None}, "tags": ["x", "y"], "score": float("nan"), "n": 2**64})
    {'a.b': 1, 'tags': ['x', 'y'], 'n': '18446744073709551616'}
    """
    plain: dict[str, MetadataValue] = {}
    for name, value in _leaves(given):
        if name in _OURS:
            continue
        if isinstance(value, list):
            scalars = [scalar for item in cast("list[Any]", value) if (scalar := _scalar(item)) is not None]
            if scalars:
                plain[name] = scalars
        elif (scalar := _scalar(value)) is not None:
            plain[name] = scalar
    return plain


def metadata_changes(given: Mapping[str, Any]) -> list[str]:
    """A sentence for each field of which `plain_metadata` leaves something out or keeps it in another form.

    >>> metadata_changes({"score": float("nan"), "n": 2**64, "note": None})
    ['metadata "score": NaN and infinity are left out', 'metadata "n": integers beyond 64 bits are kept as text']
    """
    found: dict[str, None] = {}
    seen: set[str] = set()
    for name, value in _leaves(given):
        if name in seen:
            found[f'metadata "{name}": said twice, once as an object; the last one is kept'] = None
        seen.add(name)
        if name in _OURS and value is not None:
            found[f'metadata "{name}": left out, since ragkit gives this field itself'] = None
            continue
        for item in cast("list[Any]", value) if isinstance(value, list) else [value]:
            if isinstance(item, (list, dict)):
                found[f'metadata "{name}": lists and objects inside a list are left out'] = None
            elif isinstance(item, float) and not math.isfinite(item):
                found[f'metadata "{name}": NaN and infinity are left out'] = None
            elif isinstance(item, int) and not _fits(item):
                found[f'metadata "{name}": integers beyond 64 bits are kept as text'] = None
    return list(found)


def _leaves(given: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in given.items():
        name = whole_characters(prefix + key)
        if isinstance(value, dict):
            yield from _leaves(cast("dict[str, Any]", value), f"{name}.")
        else:
            yield name, value


def _fits(number: int) -> bool:
    return -(2**63) <= number < 2**63


def _scalar(value: object) -> Scalar | None:
    if isinstance(value, str):
        return whole_characters(value)
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if _fits(value) else str(value)
    return value if isinstance(value, float) and math.isfinite(value) else None
