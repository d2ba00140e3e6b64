"""What the schema says about one key: is it text, is it secret, what may stand there, where else is it.

The other modules of this package ask here instead of walking pydantic models themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, cast, get_args

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from ragkit.config.schema import Config

KeyPath = tuple[str | int, ...]
"""Where a value stands: ("retrieval", "filters", 0, "eq")."""


def dotted(path: KeyPath) -> str:
    """The path as people write it.

    >>> dotted(("retrieval", "filters", 0, "eq"))
    'retrieval.filters[0].eq'
    """
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).lstrip(".")


def leaves(part: type[BaseModel] = Config, above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], FieldInfo]]:
    """Every key that holds a value (not a section), in the order of the schema, with its field.

    >>> next(path for path, _ in leaves() if path[-1] == "top_k")
    ('retrieval', 'top_k')
    """
    for name, field in part.model_fields.items():
        path = (*above, field.serialization_alias or name)
        section = section_of(field)
        if section is None:
            yield path, field
        else:
            yield from leaves(section, path)


def section_of(field: FieldInfo) -> type[BaseModel] | None:
    """The model of a field that is a section of its own, None for a field that holds a value."""
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def is_runtime(field: FieldInfo) -> bool:
    """Whether the field was made with `runtime(...)`: it cannot change a result."""
    extra = field.json_schema_extra
    return isinstance(extra, dict) and extra.get("runtime") is True


def field_at(path: KeyPath) -> FieldInfo | None:
    """The field behind a path, None when there is none (or the path ends in a list).

    >>> field_at(("retrieval", "top_k")).default
    10
    >>> field_at(("retrieval", "no_such_key")) is None
    True
    >>> field_at(("routing", "endpoints", 0, "weight")).default
    1.0
    """
    part: type[BaseModel] | None = Config
    field: FieldInfo | None = None
    for step in path:
        if isinstance(step, int):
            part = None if field is None else _listed_section(field)
            field = None
            continue
        field = None if part is None else part.model_fields.get(step)
        part = None if field is None else section_of(field)
        if field is None:
            return None
    return field


def _listed_section(field: FieldInfo) -> type[BaseModel] | None:
    """The model of the items of a field that is a list of sections."""
    kind = next(iter(get_args(field.annotation)), None)
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def takes_null(path: KeyPath) -> bool:
    """Whether null is a value of this key."""
    field = field_at(path)
    return field is not None and type(None) in get_args(field.annotation)


def takes_text(path: KeyPath) -> bool:
    """Whether the key, or the list that the path points into, holds text and nothing else (null aside).

    >>> takes_text(("generation", "model")), takes_text(("retrieval", "top_k"))
    (True, False)
    >>> takes_text(("ingestion", "sources", 0))
    True
    """
    listed = bool(path) and isinstance(path[-1], int)
    field = field_at(path[:-1] if listed else path)
    if field is None:
        return False
    if listed:
        return field.annotation == list[str]
    kinds = set[Any](get_args(field.annotation) or [field.annotation]) - {type(None)}
    return len(kinds) == 1 and kinds <= {str, SecretStr, Path}


def is_secret(path: KeyPath) -> bool:
    """Whether the key, or one above it, is a secret, whose value is never shown."""
    field = next((found for end in range(len(path), 0, -1) if (found := field_at(path[:end]))), None)
    return field is not None and SecretStr in (field.annotation, *get_args(field.annotation))


@cache
def json_schema() -> dict[str, Any]:
    """pydantic's JSON Schema of the tree, computed once; callers must not change it."""
    return Config.model_json_schema()


def schema_at(path: KeyPath) -> dict[str, Any]:
    """The JSON Schema of one key, references resolved; empty when the path is unknown."""
    node = json_schema()
    for step in path:
        node = _resolved(node)
        below = node.get("items") if isinstance(step, int) else _named(node, step)
        if below is None:
            return {}
        node = below
    return _resolved(node)


def _named(node: Mapping[str, Any], name: str) -> dict[str, Any] | None:
    """What stands under a name: a key of a section, or any name where the user gives names."""
    # `additionalProperties` is false in a section, whose names are fixed.
    return node.get("properties", {}).get(name) or node.get("additionalProperties") or None


def _resolved(node: Mapping[str, Any]) -> dict[str, Any]:
    """Follow a $ref; of `X or null` take X when it is a structure, since only that has keys and items."""
    if "$ref" in node:
        return json_schema()["$defs"][str(node["$ref"]).rsplit("/", 1)[-1]]
    for option in cast(list[dict[str, Any]], node.get("anyOf", [])):
        if "$ref" in option or "items" in option:
            return _resolved(option)
    return dict(node)


def siblings(path: KeyPath) -> list[str]:
    """The keys known at the level of the last step of `path`.

    >>> siblings(("retrieval", "fusion", "methud"))
    ['method', 'k', 'alpha']
    """
    return list(schema_at(path[:-1]).get("properties", {}))


@cache
def places() -> dict[str, list[str]]:
    """Every key name of the tree (sections too), with the dotted paths at which it exists.

    >>> places()["top_k"]
    ['retrieval.top_k']
    """
    found: dict[str, list[str]] = {}
    for path, _ in leaves():
        for end in range(1, len(path) + 1):
            known = found.setdefault(path[end - 1], [])
            if (name := dotted(path[:end])) not in known:
                known.append(name)
    return found


_KINDS = {"boolean": "true or false", "null": "null", "object": "keys and values"}
_TEXTS = {"date": "a date", "date-time": "a date and time"}
_BOUNDS = {
    "minimum": "at least",
    "exclusiveMinimum": "above",
    "maximum": "at most",
    "exclusiveMaximum": "below",
}


def allowed(node: Mapping[str, Any]) -> str:
    """What a piece of JSON Schema allows, in words.

    >>> allowed(schema_at(("retrieval", "top_k")))
    'a whole number, at least 1, at most 1000'
    >>> allowed(schema_at(("retrieval", "strategy")))
    'dense, sparse or hybrid'
    """
    if "$ref" in node:
        node = _resolved(node)
    if "anyOf" in node:
        options = [allowed(option) for option in node["anyOf"]]
        return _listed([option for i, option in enumerate(options) if option not in options[:i]])
    if "enum" in node:
        return _listed([str(value) for value in node["enum"]])
    kind = node.get("type", "")
    if kind == "array":
        most = f" of at most {node['maxItems']}" if "maxItems" in node else ""
        return f"a list{most}, each item {allowed(node['items'])}" if "items" in node else f"a list{most}"
    if kind == "object" and "properties" in node:
        return f"a section with the keys {', '.join(node['properties'])}"
    if kind == "string":
        return _TEXTS.get(node.get("format", ""), "text that is not empty" if node.get("minLength") else "text")
    if kind in ("integer", "number"):
        bounds = [f"{words} {node[bound]:g}" for bound, words in _BOUNDS.items() if bound in node]
        return ", ".join(["a whole number" if kind == "integer" else "a number", *bounds])
    return _KINDS.get(kind, "a value")


def _listed(options: list[str]) -> str:
    *first, last = options
    # A choice may hold commas itself (bounds), so that "or null" is set off.
    return f"{', '.join(first)}{',' if last == 'null' else ''} or {last}" if first else last
