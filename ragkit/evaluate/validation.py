"""What is wrong with a row or a suite, in words."""

from __future__ import annotations

import difflib
from typing import Any

from pydantic import BaseModel
from pydantic_core import ErrorDetails


def in_words(error: ErrorDetails, model: type[BaseModel]) -> str:
    """What pydantic found wrong, in one line: the key, and what was meant where it is unknown."""
    key = ".".join(str(step) for step in error["loc"])
    if error["type"] == "extra_forbidden":
        known = _keys_at(error["loc"][:-1], model)
        close = difflib.get_close_matches(str(error["loc"][-1]), known, n=1)
        return f"unknown key {key}; " + (f"did you mean {close[0]}?" if close else f"known: {', '.join(known)}")
    said = error["msg"].removeprefix("Value error, ")
    return f"{key}: {said[0].lower()}{said[1:]}" if key else said


def _keys_at(loc: tuple[int | str, ...], model: type[BaseModel]) -> list[str]:
    """The keys of the part of the model that a location lies in."""
    schema: dict[str, Any] = model.model_json_schema()
    node = schema
    for step in loc:
        node = node.get("items", {}) if isinstance(step, int) else node.get("properties", {}).get(step, {})
        if "$ref" in node:
            node = schema["$defs"][node["$ref"].rsplit("/", 1)[-1]]
    return list(node.get("properties", {}))
