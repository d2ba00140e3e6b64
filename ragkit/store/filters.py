"""Metadata filters: which fields a chunk has, what a filter means, and its form for a store.

The meaning, in one sentence each:

- A field has zero, one or many values; a condition holds if it holds for any of them.
- A field that is missing has no values: every condition on it is false, and `not` of it true.
- Types never mix: text matches text exactly, numbers match numbers (1 == 1.0), true and false match only themselves,
  and a date matches text that reads as an ISO 8601 date or time (without a zone: UTC).
- Beside a chunk's own metadata there are two derived fields: `section`, every heading of its trail, and `folder`,
  every folder above its document.

`matches` is that meaning in plain Python; `clause_of` is the same for an engine, over payload fields split by type.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Literal

from ragkit.config.schema import Filter, FilterScalar
from ragkit.errors import ConfigError
from ragkit.types import Chunk, Scalar

_ISO = re.compile(r"\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,6})?)?(?:Z|[+-]\d{2}:?\d{2})?)?")


def fields_of(chunk: Chunk) -> dict[str, list[Scalar]]:
    """Every field of a chunk that a filter can name, with its values."""
    fields: dict[str, list[Scalar]] = {
        name: list(value) if isinstance(value, list) else [value] for name, value in chunk.metadata.items()
    }
    heading = chunk.section_heading
    if heading:
        fields["section"] = list(heading.split(" > "))
    parts = chunk.source_document.split("#", 1)[0].split("/")[:-1]
    if parts:
        fields["folder"] = ["/".join(parts[: depth + 1]) for depth in range(len(parts))]
    return fields


def seconds(value: object) -> float | None:
    """Seconds since 1970 of a date, a time, or a text that reads as one; None for anything else.

    >>> seconds("1970-01-02"), seconds("1970-01-01T01:00:00+01:00"), seconds("soon")
    (86400.0, 0.0, None)
    """
    if isinstance(value, str):
        if not _ISO.fullmatch(value):
            return None
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC).timestamp()
    return None


def matches(condition: Filter, fields: dict[str, list[Scalar]]) -> bool:
    """Whether a chunk with these fields meets the condition.

    >>> matches(Filter(field="page_number", gte=3), {"page_number": [4]})
    True
    >>> matches(Filter(field="page_number", gte=3), {})
    False
    """
    if condition.and_ is not None:
        return all(matches(part, fields) for part in condition.and_)
    if condition.or_ is not None:
        return any(matches(part, fields) for part in condition.or_)
    if condition.not_ is not None:
        return not matches(condition.not_, fields)
    values = fields.get(condition.field or "", [])
    if condition.eq is not None:
        return any(_equal(value, condition.eq) for value in values)
    if condition.any is not None:
        return any(_equal(value, wanted) for value in values for wanted in condition.any)
    return any(_in_range(value, condition) for value in values)


def _equal(value: Scalar, wanted: FilterScalar) -> bool:
    if isinstance(wanted, date):
        return isinstance(value, str) and seconds(value) == seconds(wanted)
    if isinstance(value, bool) or isinstance(wanted, bool):
        return value is wanted
    if isinstance(value, str) or isinstance(wanted, str):
        return value == wanted
    return float(value) == _float(wanted)


def _in_range(value: Scalar, condition: Filter) -> bool:
    bounds = (condition.gt, condition.gte, condition.lt, condition.lte)
    if any(isinstance(bound, date) for bound in bounds):
        number = seconds(value)
    else:
        number = None if isinstance(value, (str, bool)) else float(value)
    if number is None:
        return False
    gt, gte, lt, lte = (_number(bound) for bound in bounds)
    return (
        (gt is None or number > gt)
        and (gte is None or number >= gte)
        and (lt is None or number < lt)
        and (lte is None or number <= lte)
    )


def _number(bound: float | date | None) -> float | None:
    return None if bound is None else seconds(bound) if isinstance(bound, date) else _float(bound)


def _float(wanted: float) -> float:
    """Raises ConfigError for an integer that no engine can compare: it is beyond what a float reaches."""
    try:
        return float(wanted)
    except OverflowError:
        raise ConfigError(
            "a filter compares with a number that is too large to be compared", mend="use one below 1e308"
        ) from None


# --- the same for an engine -------------------------------------------------------------------------------------

Kind = Literal["s", "n", "b", "t"]
"""Payload fields by type: text, number, truth value, time in seconds."""


@dataclass(frozen=True, slots=True)
class Match:
    """The field `key` of the payload holds one of `values`."""

    key: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Range:
    """The field `key` of the payload holds a number within the bounds."""

    key: str
    gt: float | None = None
    gte: float | None = None
    lt: float | None = None
    lte: float | None = None


@dataclass(frozen=True, slots=True)
class All:
    parts: tuple[Clause, ...]


@dataclass(frozen=True, slots=True)
class Any:
    parts: tuple[Clause, ...]


@dataclass(frozen=True, slots=True)
class Not:
    part: Clause


Clause = Match | Range | All | Any | Not


def typed_payload(chunk: Chunk) -> dict[Kind, dict[str, list[Scalar]]]:
    """The fields of a chunk split by type, as the store keeps them for filtering."""
    payload: dict[Kind, dict[str, list[Scalar]]] = {"s": {}, "n": {}, "b": {}, "t": {}}
    for name, values in fields_of(chunk).items():
        for value in values:
            kind: Kind = "b" if isinstance(value, bool) else "s" if isinstance(value, str) else "n"
            kept = float(value) if kind == "n" else _truth(value) if isinstance(value, bool) else value
            payload[kind].setdefault(_safe(name), []).append(kept)
            time = seconds(value) if kind == "s" else None
            if time is not None:
                payload["t"].setdefault(_safe(name), []).append(time)
    return payload


def payload_key(kind: Kind, name: str) -> str:
    """Path of a field in the payload; quoted, as a name may hold dots and blanks."""
    return f'{kind}."{_safe(name)}"'


def clause_of(filters: Sequence[Filter]) -> Clause | None:
    """All filters as one clause, or None if there are none."""
    parts = tuple(_clause(condition) for condition in filters)
    return None if not parts else parts[0] if len(parts) == 1 else All(parts)


def _clause(condition: Filter) -> Clause:
    if condition.and_ is not None:
        return All(tuple(_clause(part) for part in condition.and_))
    if condition.or_ is not None:
        return Any(tuple(_clause(part) for part in condition.or_))
    if condition.not_ is not None:
        return Not(_clause(condition.not_))
    name = condition.field or ""
    if condition.eq is not None:
        return _equals(name, [condition.eq])
    if condition.any is not None:
        return _equals(name, condition.any)
    bounds = (condition.gt, condition.gte, condition.lt, condition.lte)
    kind: Kind = "t" if any(isinstance(bound, date) for bound in bounds) else "n"
    return Range(payload_key(kind, name), *(_number(bound) for bound in bounds))


def _equals(name: str, values: Sequence[FilterScalar]) -> Clause:
    parts: list[Clause] = []
    texts = tuple(value for value in values if isinstance(value, str))
    truths = tuple(_truth(value) for value in values if isinstance(value, bool))
    if texts:
        parts.append(Match(payload_key("s", name), texts))
    if truths:
        parts.append(Match(payload_key("b", name), truths))
    for value in values:
        if isinstance(value, (str, bool)):
            continue
        kind: Kind = "t" if isinstance(value, date) else "n"
        parts.append(Range(payload_key(kind, name), gte=_number(value), lte=_number(value)))
    return parts[0] if len(parts) == 1 else Any(tuple(parts))


def _truth(value: bool) -> str:
    # qdrant-edge-py 0.9 reads a condition on True as one on 1, which no truth value meets.
    return "true" if value else "false"


def _safe(name: str) -> str:
    # Inside a quoted name the engines' path syntax has no place for these two, and no escape.
    return name.replace('"', "%22").replace("\\", "%5C")


OWN_FIELDS = frozenset(
    ("source_document", "title", "page_number", "page_end", "section_heading", "date_created", "section", "folder")
)
"""Fields that ragkit gives chunks; every other one comes from a document's metadata."""


def asked_fields(filters: Sequence[Filter]) -> list[str]:
    """The fields that filters ask for, in order, each once.

    >>> asked_fields([parse_filter("page_number>=3"), parse_filter("team!=service"), parse_filter("page_number<9")])
    ['page_number', 'team']
    """
    found: list[str] = []
    for part in filters:
        inner = [*(part.and_ or ()), *(part.or_ or ()), *([part.not_] if part.not_ else [])]
        found += [part.field] if part.field is not None else asked_fields(inner)
    return list(dict.fromkeys(found))


# --- the command line -------------------------------------------------------------------------------------------

_EXPRESSION = re.compile(r"([\w .\-]+?)\s*(!=|>=|<=|==?|>|<)\s*(.*)", re.DOTALL)


def parse_filter(expression: str) -> Filter:
    """A filter from `field=value` (or `==`), `field=a,b`, `field!=value`, `field>=3`, `field<2026-07-01`.

    Raises ConfigError for anything else, and for numbers that are not finite.

    >>> parse_filter("page_number>=3").gte
    3
    >>> parse_filter("source_document=a.md,b.md").any
    ['a.md', 'b.md']
    """
    found = _EXPRESSION.fullmatch(expression.strip())
    if not found or not found.group(3):
        raise ConfigError(
            f"cannot read the filter {expression!r}", mend="write field=value, field=a,b, field!=value or field>=3"
        )
    name, operator, text = found.group(1).strip(), found.group(2), found.group(3).strip()
    if operator in ("=", "==", "!="):
        values = [_value(part.strip()) for part in text.split(",")]
        # Text that reads as a number or a date may be meant either way.
        both = [
            reading
            for value, part in zip(values, text.split(","), strict=True)
            for reading in dict.fromkeys((value, part.strip()))
        ]
        condition = Filter(field=name, any=both) if len(both) > 1 else Filter(field=name, eq=both[0])
        return Filter.model_validate({"not": condition}) if operator == "!=" else condition
    bound = _value(text)
    if isinstance(bound, (str, bool)):
        raise ConfigError(f"{operator} needs a number or a date, not {text!r}, in the filter {expression!r}")
    bounds = {">": "gt", ">=": "gte", "<": "lt", "<=": "lte"}
    return Filter.model_validate({"field": name, bounds[operator]: bound})


def _value(text: str) -> FilterScalar:
    if text in ("true", "false"):
        return text == "true"
    if _ISO.fullmatch(text):
        try:
            return date.fromisoformat(text) if len(text) == 10 else datetime.fromisoformat(text)
        except ValueError:
            return text
    try:
        number = float(text)
    except ValueError:
        return text
    if not math.isfinite(number):
        raise ConfigError(
            f"{text[:40]!r} in a filter is no number that can be compared",
            mend="use a finite one below 1e308; to find it as text, set retrieval.filters: [{field: NAME, eq: 'TEXT'}]",
        )
    try:
        return int(text)
    except ValueError:
        return number
