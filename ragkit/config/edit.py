"""Change single keys of a config file and leave every other character as it is: comments, order, quotes, line ends.

The text is cut at the marks of PyYAML's nodes. A library that reads a file and writes it anew (ruamel.yaml) keeps
comments, but moves those behind a last key and sets indentation and wrapping by its own rule. What came out is read
again and must differ in nothing but the keys, so that a file that cannot be changed so is left alone.
"""

from __future__ import annotations

import difflib
import json
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import yaml

from ragkit.config.document import Document, read_document, reads_as_text
from ragkit.config.keys import KeyPath, dotted
from ragkit.config.load import load_config, merge
from ragkit.durable import sync
from ragkit.errors import ConfigError

Scalar = str | int | float | bool | None
Value = Scalar | list[str]
"""What a key can be set to."""


def change_config(path: Path, changes: Mapping[KeyPath, Value], *, dry_run: bool = False) -> str:
    """Set keys in a config file, all of them or none; gives back what changed as a unified diff.

    The new file is checked as a config before it takes the place of the old one, in one step. Raises ConfigError for
    values that the config does not take, and for a file in which the keys cannot be set without touching more.
    """
    path = path.resolve()
    with path.open(encoding="utf-8", newline="") as file:
        before = file.read()
    after = edited(before, changes, str(path))
    partial = path.with_name(f".{path.name}.part")
    try:
        with partial.open("w", encoding="utf-8", newline="") as file:
            file.write(after)
        load_config(partial)
        if not dry_run:
            shutil.copymode(path, partial)
            sync(partial)
            partial.replace(path)
            sync(path.parent)
    finally:
        partial.unlink(missing_ok=True)
    names = (path.name, path.name)
    return "\n".join(difflib.unified_diff(before.splitlines(), after.splitlines(), *names, lineterm="", n=2))


def edited(text: str, changes: Mapping[KeyPath, Value], source: str = "the config") -> str:
    """The text with keys set. Raises ConfigError if something else would change with them.

    >>> print(edited("a: 1  # one\\nb: {c: x}\\n", {("a",): 2, ("b", "d"): "no"}), end="")
    a: 2  # one
    b: {c: x, d: no}
    >>> print(edited("a:\\n    b: 1\\n# end\\n", {("a", "c", "d"): 0.5}), end="")
    a:
        b: 1
        c:
          d: 0.5
    # end
    """
    wanted = read_document(text, source, os.environ)
    for path, value in changes.items():
        wanted = merge(wanted, Document(_nested(path, value)))
    result, why = text, ""
    try:
        for path, value in changes.items():
            result = _with(result, path, value)
        same = read_document(result, source, os.environ).data == wanted.data
    except ConfigError as error:
        same, why = False, f": {error.message}"
    except yaml.YAMLError:
        same = False
    if not same:
        raise ConfigError(
            f"{source} cannot be changed in these keys alone{why}", mend=f"write in it: {in_words(changes)}"
        )
    return result


def in_words(changes: Mapping[KeyPath, Value]) -> str:
    """The keys with their values in one line.

    >>> in_words({("retrieval", "top_k"): 5, ("retrieval", "transforms"): ["spelling"]})
    'retrieval.top_k: 5, retrieval.transforms: [spelling]'
    """
    return ", ".join(f"{dotted(path)}: {_written(value)}" for path, value in changes.items())


def _with(text: str, path: KeyPath, value: Value) -> str:
    node: Any = yaml.compose(text, yaml.BaseLoader)
    if node is None or isinstance(node, yaml.ScalarNode):
        return _joined(text, len(text), _block(path, value, 0), text)
    for depth, step in enumerate(path):
        found = next(((key, child) for key, child in node.value if key.value == step), None)
        rest = path[depth:]
        if found is None:
            return _added(text, node, rest, value)
        key, child = found
        if len(rest) == 1:
            start, end = child.start_mark.index, child.end_mark.index
            if isinstance(child, yaml.SequenceNode) and not child.flow_style:
                start, end = key.end_mark.index + 1, _end(child)
            if isinstance(child, yaml.SequenceNode) and "#" in text[start:end]:
                raise ConfigError(f"the list at {dotted(path)} has comments, which would be lost")
            return f"{text[:start]}{' ' if text[start - 1] == ':' else ''}{_written(value)}{text[end:]}"
        if not isinstance(child, yaml.MappingNode):  # a section whose keys are all commented out
            start, end = child.start_mark.index, child.end_mark.index
            emptied = text[:start] + text[end:]
            return _joined(emptied, start, _block(rest[1:], value, key.start_mark.column + 2), text)
        node = child
    raise ConfigError(f"no key stands at {dotted(path)}")


def _added(text: str, node: Any, path: KeyPath, value: Value) -> str:
    """A new key behind the last one of a mapping."""
    if node.flow_style:
        end = node.end_mark.index - 1
        own = text[:end].rstrip()
        return f"{own}{', ' if node.value else ''}{_flow(path, value)}{text[end:]}"
    return _joined(text, _end(node), _block(path, value, node.value[0][0].start_mark.column), text)


def _end(node: Any) -> int:
    """Where the last character of a node stands: the mark of a block is where the next one begins, comments between."""
    if isinstance(node, yaml.MappingNode) and not node.flow_style and node.value:
        return _end(node.value[-1][1])
    if isinstance(node, yaml.SequenceNode) and not node.flow_style and node.value:
        return _end(node.value[-1])
    return node.end_mark.index


def _joined(text: str, at: int, lines: list[str], like: str) -> str:
    """The lines put behind the line in which `at` is."""
    ending = "\r\n" if "\r\n" in like else "\n"
    if at and text[at - 1] == "\n":
        place = at
    else:
        newline = text.find("\n", at)
        place = len(text) if newline < 0 else newline + 1
    before = text[:place]
    between = "" if not before or before.endswith("\n") else ending
    return f"{before}{between}{''.join(line + ending for line in lines)}{text[place:]}"


def _block(path: KeyPath, value: Value, column: int) -> list[str]:
    steps = [f"{' ' * (column + 2 * depth)}{_key(step)}:" for depth, step in enumerate(path)]
    return [*steps[:-1], f"{steps[-1]} {_written(value)}"]


def _flow(path: KeyPath, value: Value) -> str:
    inner = _written(value) if len(path) == 1 else f"{{{_flow(path[1:], value)}}}"
    return f"{_key(path[0])}: {inner}"


def _key(step: str | int) -> str:
    """A key as it is written: in quotes where YAML would read something else.

    >>> _key("top_k"), _key("small: #1"), _key("4")
    ('top_k', '"small: #1"', '"4"')
    """
    if isinstance(step, int):
        return str(step)
    plain = re.fullmatch(r"\w[\w./-]*( [\w./-]+)*", step) and reads_as_text(step)
    return step if plain else json.dumps(step, ensure_ascii=False)


def _written(value: Value) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_written, value))}]"
    if isinstance(value, str):
        value = value.replace("${", "$${")
        plain = re.fullmatch(r"[\w./][\w./ -]*", value) and reads_as_text(value) and value == value.strip()
        return value if plain else json.dumps(value, ensure_ascii=False)
    return json.dumps(value)


def _nested(path: KeyPath, value: Value) -> dict[str, Any]:
    made: Any = value
    for step in reversed(path):
        made = {step: made}
    return cast("dict[str, Any]", made)
