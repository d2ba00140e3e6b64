"""One YAML text as plain data, with the file and line of every key kept beside it.

Scalars are read as in YAML 1.2 (`no` is text, `1e-3` a number), plus ISO dates. A key that takes text keeps
its value as written, so `api_version: 2024-10-21` needs no quotes. `${NAME}` and `${NAME:-default}` stand for
environment variables, `$${` for a literal `${`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, NamedTuple, cast

import yaml

from ragkit.config.keys import KeyPath, dotted, field_at, section_of, takes_null, takes_text
from ragkit.errors import ConfigError


class Origin(NamedTuple):
    """Where a value was written; `variable` is set when (part of) it came from the environment.

    >>> str(Origin("ragkit.yaml", 4, 3))
    'ragkit.yaml:4'
    """

    source: str
    line: int = 0
    column: int = 0
    variable: str | None = None

    def __str__(self) -> str:
        return f"{self.source}:{self.line}" if self.line else self.source


FROM_COMMAND_LINE = "--set"


class Problem(NamedTuple):
    """One thing that is wrong, and where."""

    origin: Origin
    text: str


@dataclass(frozen=True)
class Document:
    """Plain data, the origin of every path in it, and what could not be read."""

    data: dict[str, Any] = field(default_factory=dict[str, Any])
    origins: dict[KeyPath, Origin] = field(default_factory=dict[KeyPath, Origin])
    problems: list[Problem] = field(default_factory=list[Problem])


@dataclass(frozen=True)
class _Reading:
    """What the functions below share while they walk one text."""

    source: str
    environ: Mapping[str, str]
    lines: bool
    origins: dict[KeyPath, Origin]
    problems: list[Problem]

    def origin(self, node: yaml.Node) -> Origin:
        mark = node.start_mark
        return Origin(self.source, mark.line + 1, mark.column + 1) if self.lines else Origin(self.source)


def read_document(text: str, source: str, environ: Mapping[str, str]) -> Document:
    """Read the text of a config file; an empty one gives an empty document.

    Raises `ConfigError` when the text is no YAML or its top level is no mapping; everything else that is
    wrong (missing variables, duplicate keys) is collected in `problems`.

    >>> document = read_document("retrieval: {top_k: 5}", "a.yaml", {})
    >>> document.data, str(document.origins["retrieval", "top_k"])
    ({'retrieval': {'top_k': 5}}, 'a.yaml:1')
    """
    node = _composed(text, source)
    reading = _Reading(source, environ, True, {}, [])
    if node is None or (isinstance(node, yaml.ScalarNode) and node.value == ""):
        return Document()
    if not isinstance(node, yaml.MappingNode):
        what = "a list" if isinstance(node, yaml.SequenceNode) else "a single value"
        raise ConfigError(f"{reading.origin(node)}: the file must hold keys and values; found {what}")
    reading.origins[()] = reading.origin(node)
    return Document(_mapping(node, (), reading, ()), reading.origins, reading.problems)


def read_override(path: tuple[str, ...], text: str, environ: Mapping[str, str]) -> Document:
    """The document that `--set path=text` stands for. Raises `ConfigError` when the value is no YAML.

    >>> read_override(("retrieval", "top_k"), "20", {}).data
    {'retrieval': {'top_k': 20}}
    """
    reading = _Reading(FROM_COMMAND_LINE, environ, False, {}, [])
    for end in range(1, len(path) + 1):
        reading.origins[path[:end]] = Origin(FROM_COMMAND_LINE)
    node = _composed(text, f"{FROM_COMMAND_LINE} {dotted(path)}")
    if node is None:
        node = yaml.ScalarNode(_NULL, "")
    # An empty value is the empty text for a key that cannot be null: --set ingestion.embedding.query_prefix=
    empty = not text.strip() and takes_text(path) and not takes_null(path)
    value: Any = "" if empty else _value(node, path, reading, ())
    for step in reversed(path):
        value = {step: value}
    return Document(value, reading.origins, reading.problems)


_TAG = "tag:yaml.org,2002:"
_NULL = f"{_TAG}null"


class _Loader(yaml.BaseLoader):
    """Tells scalars apart as YAML 1.2 does; PyYAML's own rules are those of 1.1, where `no` is false."""


_DATE = r"\d{4}-\d\d-\d\d"
_SCALARS: list[tuple[str, str, Callable[[str], Any]]] = [
    ("null", r"(~|null|Null|NULL|)", lambda _: None),
    ("bool", r"(true|True|TRUE|false|False|FALSE)", lambda text: text.lower() == "true"),
    (
        "int",
        r"([-+]?\d+|0o[0-7]+|0x[0-9a-fA-F]+)",
        lambda text: int(text, 0 if text[:2] in ("0o", "0x") else 10),
    ),
    (
        "float",
        r"([-+]?(\.\d+|\d+(\.\d*)?)([eE][-+]?\d+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))",
        lambda text: float(text.replace(".inf", "inf").replace(".nan", "nan") if text[-1].isalpha() else text),
    ),
    ("timestamp", rf"{_DATE}[Tt ]\d\d:\d\d:\d\d(\.\d+)?(Z|[-+]\d\d:\d\d)?", datetime.fromisoformat),
    ("timestamp", _DATE, date.fromisoformat),
]
for _name, _pattern, _ in _SCALARS:
    _Loader.add_implicit_resolver(f"{_TAG}{_name}", re.compile(f"^{_pattern}$"), None)

_PLAIN_WORDS = [
    ("'\\t'", "a tab is used for indentation; use spaces"),
    (
        "mapping values are not allowed",
        "a ':' too many: check the indentation, or put quotes around the text",
    ),
    (
        "expected <block end>",
        "the indentation does not fit the lines above, or a bracket or quote is too many",
    ),
    ("expected a single document", "a second document starts here (---); a config file holds one"),
    ("could not find expected ':'", "a key without ':' stands on this or the line before"),
    ("expected ',' or '}'", "a '{' is not closed, or a ',' is missing"),
    ("expected ',' or ']'", "a '[' is not closed, or a ',' is missing"),
    ("unexpected end of stream", "a quote is not closed"),
    ("cannot start any token", "text that starts with @, ` or % needs quotes"),
    ("undefined alias", "an alias (*name) has no anchor (&name); put quotes around text that starts with *"),
    ("expected the node content", "a value is missing, or a bracket is not closed"),
    ("while scanning an alias", "text that starts with * needs quotes"),
]


def reads_as_text(text: str) -> bool:
    """Whether a plain scalar stays text when it is read back, so that it may be written without quotes.

    >>> reads_as_text("no"), reads_as_text("1e-3")
    (True, False)
    """
    return _tag_of(text) == f"{_TAG}str"


def _tag_of(text: str) -> str:
    resolve = cast(Callable[..., str], _Loader("").resolve)
    return resolve(yaml.ScalarNode, text, (True, False))


def _composed(text: str, source: str) -> yaml.Node | None:
    try:
        return yaml.compose(text, _Loader)
    except yaml.MarkedYAMLError as error:
        problem = f"{error.context or ''}: {error.problem or ''}"
        words = next((words for sign, words in _PLAIN_WORDS if sign in problem), error.problem or "unreadable")
        begun, mark = error.context_mark, error.problem_mark
        if mark and "flow" in problem and "${" in text[: mark.index + 1].rpartition("\n")[2]:
            words = "inside { } or [ ] a ${NAME} needs quotes"
        elif begun and mark and begun.line < mark.line and "not closed" in words:
            words += f" (it begins in line {begun.line + 1})"
        # A value given with --set is one line: its key says more than a position in it.
        if mark and not source.startswith(FROM_COMMAND_LINE):
            source = f"{source}:{mark.line + 1}:{mark.column + 1}"
        raise ConfigError(f"{source}: not readable as YAML: {words}") from None
    except yaml.reader.ReaderError as error:
        line = text[: int(str(error.position))].count("\n") + 1
        raise ConfigError(f"{source}:{line}: not readable as YAML: a control character") from None


def _value(node: yaml.Node, path: KeyPath, reading: _Reading, above: tuple[yaml.Node, ...]) -> Any:
    if any(node is other for other in above):
        reading.problems.append(Problem(reading.origins[path], f"{dotted(path)}: an alias contains itself"))
        return None
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, path, reading, (*above, node))
    if isinstance(node, yaml.ScalarNode):
        return _scalar(node, path, reading)
    items: list[Any] = []
    for index, item in enumerate(node.value):
        reading.origins.setdefault((*path, index), reading.origin(item))
        items.append(_value(item, (*path, index), reading, (*above, node)))
    return items


def _mapping(node: yaml.MappingNode, path: KeyPath, reading: _Reading, above: tuple[yaml.Node, ...]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in node.value:
        origin = reading.origin(key)
        if not isinstance(key, yaml.ScalarNode) or key.value == "<<":
            text = "lists and mappings cannot be keys; nor are merge keys (<<) read: use extends: FILE"
            reading.problems.append(Problem(origin, text))
            continue
        here = (*path, key.value)
        if key.value in result:
            first = reading.origins[here]
            text = f"{dotted(here)}: this key stands here twice, first in line {first.line}; keep one of them"
            reading.problems.append(Problem(origin, text))
            continue
        reading.origins[here] = origin
        result[key.value] = _value(value, here, reading, above)
    return result


_VARIABLE = re.compile(r"\$\$\{|\$\{(?P<name>[A-Za-z_]\w*)(?::-(?P<default>[^}]*))?\}|\$\{[^}]*\}?")


def _scalar(node: yaml.ScalarNode, path: KeyPath, reading: _Reading) -> Any:
    text: str = node.value
    tag: str = node.tag
    whole = _VARIABLE.fullmatch(text)
    if "${" in text:
        seen = len(reading.problems)
        text = _VARIABLE.sub(lambda match: _expanded(match, path, reading), text)
        if len(reading.problems) > seen:
            return None
        if whole and whole["name"] and node.style is None:
            tag = _tag_of(text)
            if not text and takes_text(path) and not takes_null(path):
                return ""
    field = field_at(path)
    if tag == _NULL and field is not None and section_of(field) is not None:
        return {}  # a section whose keys are all commented out
    if tag == f"{_TAG}str" or (takes_text(path) and tag != _NULL):
        return text
    for name, pattern, construct in _SCALARS:
        if tag == f"{_TAG}{name}" and re.fullmatch(pattern, text):
            try:
                return construct(text)
            except ValueError:
                break
    kind = tag.removeprefix(_TAG)
    words = {"timestamp": "is no date of the calendar", "int": "is no number"}.get(kind, f"the tag {tag} is not read")
    reading.problems.append(Problem(reading.origins[path], f"{dotted(path)}: {words}"))
    return None


def _expanded(match: re.Match[str], path: KeyPath, reading: _Reading) -> str:
    """The text that one `${...}` stands for; the origin remembers it, so that no message shows its value."""
    name, origin = match["name"], reading.origins[path]
    if match[0] == "$${":
        return "${"
    if name is None:
        text = f"{match[0]} names no variable; write ${{NAME}}, ${{NAME:-default}}, or $${{ for a plain ${{"
        reading.problems.append(Problem(origin, f"{dotted(path)}: {text}"))
        return ""
    value = reading.environ.get(name)
    # As in a shell, :- also stands in for a variable that is set but empty.
    if not value and match["default"] is not None:
        value = match["default"]
    if value is None:
        text = f"the environment variable {name} is not set; set it, or write ${{{name}:-default}}"
        reading.problems.append(Problem(origin, f"{dotted(path)}: {text}"))
        return ""
    reading.origins[path] = origin._replace(variable=name)
    return value
