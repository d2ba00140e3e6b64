"""A source and what was read from it, as one document."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from typing import Any, cast

from ragkit.ingest.discover import Source, whole_characters
from ragkit.ingest.parse import Parsed
from ragkit.types import Document, MetadataValue, Scalar


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


def plain_metadata(given: Mapping[str, Any], prefix: str = "") -> dict[str, MetadataValue]:
    """Scalars and lists of scalars by name; nested objects become dotted names.

    Nulls and what a store cannot hold (NaN, infinity) are left out; integers beyond 64 bits become text.

    >>> plain_metadata({"a": {"b": 1, "c": None}, "tags": ["x", "y"]})
    {'a.b': 1, 'tags': ['x', 'y']}
    """
    plain: dict[str, MetadataValue] = {}
    for key, value in given.items():
        name = whole_characters(prefix + key)
        if isinstance(value, dict):
            plain |= plain_metadata(cast("dict[str, Any]", value), f"{name}.")
        elif isinstance(value, list):
            scalars = [scalar for item in cast("list[Any]", value) if (scalar := _scalar(item)) is not None]
            if scalars:
                plain[name] = scalars
        elif (scalar := _scalar(value)) is not None:
            plain[name] = scalar
    return plain


def _scalar(value: object) -> Scalar | None:
    if isinstance(value, str):
        return whole_characters(value)
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**63 else str(value)
    return value if isinstance(value, float) and math.isfinite(value) else None
