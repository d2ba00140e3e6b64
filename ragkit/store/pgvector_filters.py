"""Filters as SQL: the clauses of `ragkit.store.filters` over a `jsonb` column with a chunk's fields by type.

Text is compared with `@>`, which a GIN index with `jsonb_path_ops` answers; so is a number or a date that is asked for
by its value. Ranges are compared row by row.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ragkit.config.schema import Filter
from ragkit.store.filters import All, Clause, Kind, Match, Not, Range, clause_of
from ragkit.types import Scalar

KINDS: tuple[Kind, ...] = ("s", "n", "b", "t")
_SURROGATES = range(0xD800, 0xE000)


def condition_of(filters: Sequence[Filter], column: str) -> tuple[str, dict[str, Any]]:
    """A condition on the column, and the values of its placeholders; without filters it is always true.

    >>> condition_of([Filter(field="page_number", eq=3)], "fields")
    ('fields @> %(filter_0)s::jsonb', {'filter_0': '{"n": {"page_number": [3.0]}}'})
    >>> condition_of([], "fields")
    ('TRUE', {})
    """
    values: dict[str, Any] = {}
    clause = clause_of(filters)
    return ("TRUE" if clause is None else _translate(clause, column, values)), values


def fields_json(typed: Mapping[str, Mapping[str, Sequence[Scalar]]]) -> str:
    """The fields of `typed_payload` as the column holds them.

    >>> fields_json({"s": {"team": ["a", "b"]}, "n": {}})
    '{"s": {"team": ["a", "b"]}, "n": {}}'
    """
    return json.dumps(
        {
            kind: {_fitting(name): [_fitting(value) for value in values] for name, values in fields.items()}
            for kind, fields in typed.items()
        }
    )


def _translate(clause: Clause, column: str, values: dict[str, Any]) -> str:
    if isinstance(clause, Match):
        return _any_of([_contains(clause.key, value, column, values) for value in clause.values])
    if isinstance(clause, Range):
        if clause.gte is not None and clause.gte == clause.lte and clause.gt is None and clause.lt is None:
            return _contains(clause.key, clause.gte, column, values)
        return _in_range(clause, column, values)
    if isinstance(clause, Not):
        return f"NOT {_translate(clause.part, column, values)}"
    parts = [_translate(part, column, values) for part in clause.parts]
    if isinstance(clause, All):
        return f"({' AND '.join(parts)})" if parts else "TRUE"
    return _any_of(parts)


def _any_of(parts: Sequence[str]) -> str:
    return f"({' OR '.join(parts)})" if len(parts) > 1 else parts[0] if parts else "FALSE"


def _contains(key: str, value: Scalar, column: str, values: dict[str, Any]) -> str:
    kind, name = _kind_and_name(key)
    return f"{column} @> {_placeholder(json.dumps({kind: {name: [_fitting(value)]}}), values)}::jsonb"


def _in_range(clause: Range, column: str, values: dict[str, Any]) -> str:
    bounds = {
        name: (sign, bound)
        for name, sign, bound in (
            ("gt", ">", clause.gt),
            ("gte", ">=", clause.gte),
            ("lt", "<", clause.lt),
            ("lte", "<=", clause.lte),
        )
        if bound is not None
    }
    kind, name = _kind_and_name(clause.key)
    test = " && ".join(f"@ {sign} ${variable}" for variable, (sign, _) in bounds.items())
    path = _placeholder(f"$.{kind}.{json.dumps(name)}[*] ? ({test})", values)
    given = _placeholder(json.dumps({variable: bound for variable, (_, bound) in bounds.items()}), values)
    return f"jsonb_path_exists({column}, {path}::jsonpath, {given}::jsonb)"


def _placeholder(value: str, values: dict[str, Any]) -> str:
    name = f"filter_{len(values)}"
    values[name] = value
    return f"%({name})s"


def _kind_and_name(key: str) -> tuple[str, str]:
    """The two parts of a `payload_key`: `kind."name"`."""
    kind, _, name = key.partition(".")
    return kind, _fitting(name[1:-1])


def _fitting(value: Any) -> Any:
    """Text without what `jsonb` has no place for, the character 0 and halves of surrogate pairs: written as escapes,
    and backslashes doubled, so that different text stays different."""
    if not isinstance(value, str):
        return value
    doubled = value.replace("\\", "\\\\").replace("\x00", "\\0")
    return "".join(f"\\u{ord(letter):04x}" if ord(letter) in _SURROGATES else letter for letter in doubled)
