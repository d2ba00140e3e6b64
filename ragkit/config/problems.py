"""What pydantic found wrong, in plain words: where, what was found, what is allowed, what was meant."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from datetime import date
from typing import Any

from pydantic_core import ErrorDetails

from ragkit.config.document import FROM_COMMAND_LINE, Document, Origin, Problem
from ragkit.config.keys import KeyPath, allowed, dotted, is_secret, places, schema_at, siblings
from ragkit.errors import ConfigError


def explain(errors: Sequence[ErrorDetails], document: Document) -> list[Problem]:
    """One problem per wrong key of the document, in the order of the errors.

    Values of secrets and values that came from the environment are never repeated.
    """
    problems: dict[KeyPath, Problem] = {}  # by path: each kind that a filter value may have reports separately
    for error in errors:
        path = _written(error["loc"], document)
        origin = origin_of(path, document)
        if error["type"] == "extra_forbidden":
            text = f"{dotted(path)}: unknown key; {suggestion(path)}"
        elif error["type"] == "value_error":
            # A rule over several keys, in words of the schema: point at the key that it names.
            cause = str(error.get("ctx", {}).get("error", error["msg"]))
            named = next((w for w in re.findall(r"\w+", cause) if (*path, w) in document.origins), None)
            origin = document.origins[*path, named] if named else origin
            text = f"{dotted(path)}: {cause}"
        else:
            text = _wrong_value(path, error["input"], origin)
        problems[path] = Problem(origin, text)
    return list(problems.values())


def raise_for(problems: Sequence[Problem], sources: Sequence[str]) -> None:
    """Raise one `ConfigError` that lists all the problems, in the order of the sources and their lines.

    >>> raise_for([Problem(Origin("a.yaml", 2), "retrieval.top: unknown key")], ["a.yaml"])
    Traceback (most recent call last):
    ragkit.errors.ConfigError: a.yaml:2: retrieval.top: unknown key
    """
    if not problems:
        return
    rank = {source: number for number, source in enumerate(sources)}
    ordered = sorted(problems, key=lambda p: (rank.get(p.origin.source, len(rank)), p.origin.line))
    lines = [f"{origin}{' ' if origin.source == FROM_COMMAND_LINE else ': '}{text}" for origin, text in ordered]
    if len(lines) == 1:
        raise ConfigError(lines[0])
    raise ConfigError("\n  ".join([f"{len(lines)} problems in the configuration", *lines]))


def suggestion(path: KeyPath) -> str:
    """Advice for a key that does not exist: the sibling that looks like it, or the place where it belongs.

    >>> suggestion(("retrieval", "topk"))
    'did you mean top_k?'
    >>> suggestion(("generation", "top_k"))
    'it belongs at retrieval.top_k'
    """
    key, here = str(path[-1]), siblings(path)
    elsewhere = places().get(key, [])
    # A key that exists elsewhere is more likely in the wrong place than misspelt.
    close = difflib.get_close_matches(key, here, n=1, cutoff=0.8 if elsewhere else 0.6)
    parts: list[str] = []
    if close:
        parts.append(f"did you mean {close[0]}?")
    if elsewhere:
        parts.append(f"it belongs at {' or '.join(elsewhere[:3])}")
    if not parts and (far := difflib.get_close_matches(key, list(places()), n=1, cutoff=0.7)):
        parts.append(f"did you mean {' or '.join(places()[far[0]][:3])}?")
    return "; ".join(parts) or f"known here: {', '.join(here)}"


def origin_of(path: KeyPath, document: Document) -> Origin:
    """Where the value at a path, or failing that the nearest part around it, was written."""
    found = (document.origins[path[:end]] for end in range(len(path), -1, -1) if path[:end] in document.origins)
    return next(found, Origin("built-in defaults"))


def _written(loc: tuple[int | str, ...], document: Document) -> KeyPath:
    """The part of pydantic's location that stands in the document; the rest names kinds it tried."""
    for end in range(len(loc), 0, -1):
        if loc[:end] in document.origins:
            return loc[:end]
    return loc


def _wrong_value(path: KeyPath, found: Any, origin: Origin) -> str:
    node = schema_at(path)
    text = f"{dotted(path)}: found {_found(found, origin, hide=is_secret(path) or 'properties' in node)}"
    if "enum" in node and isinstance(found, str) and not origin.variable:
        close = difflib.get_close_matches(found.lower(), [str(value) for value in node["enum"]], n=1)
        meant = f"; did you mean {close[0]}?" if close else ""
    else:
        meant = ""
    return f"{text}; allowed: {allowed(node)}{meant}"


_KINDS: list[tuple[type, str]] = [
    (bool, "true or false"),
    (int, "a number"),
    (float, "a number"),
    (str, "text"),
    (date, "a date"),
    (list, "a list"),
    (dict, "keys and values"),
]


def _found(value: Any, origin: Origin, *, hide: bool) -> str:
    if value is None:
        return "nothing (null)"
    kind = next((words for kind, words in _KINDS if isinstance(value, kind)), type(value).__name__)
    if origin.variable:
        return f"{kind} (from ${{{origin.variable}}})"
    if hide or isinstance(value, list | dict):
        return kind
    if isinstance(value, str):
        return f"the text {value if len(value) <= 40 else value[:37] + '...'!r}"
    return str(value).lower() if isinstance(value, bool) else str(value)
