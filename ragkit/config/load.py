"""From a YAML file, what it extends, and `--set` overrides to one checked `Config`.

Everything that is wrong is reported at once, each problem with file and line. Relative paths inside the
config (`ingestion.store.path`, `ingestion.sources`) stay relative to the working directory, wherever the file
lies; only `extends:` is relative to the file that says it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError

from ragkit.config.document import Document, Problem, read_document, read_override
from ragkit.config.keys import KeyPath, dotted
from ragkit.config.problems import explain, raise_for
from ragkit.config.schema import Config, Origins
from ragkit.errors import ConfigError

DEFAULT_FILE = Path("ragkit.yaml")


@dataclass(frozen=True)
class LoadedConfig:
    """A checked config and where it came from."""

    config: Config
    files: tuple[Path, ...]
    """The files read, the extended ones first; empty when the built-in defaults are used."""
    note: str | None
    """Something to tell the user, such as that no file was found."""


def load_config(
    path: Path | None, overrides: Sequence[str] = (), environ: Mapping[str, str] | None = None
) -> LoadedConfig:
    """Read `path`, or ./ragkit.yaml, or nothing but the defaults; apply `--set` overrides; check everything.

    `environ` replaces `os.environ` for `${NAME}`. Keys that nobody wrote stay out of `model_fields_set`, but for the
    prefixes of an embedding model that the catalogue knows: these are filled in.
    Raises `ConfigError` that names every problem with file and line.

    >>> loaded = load_config(None, ["retrieval.top_k=20"])
    >>> loaded.config.retrieval.top_k, loaded.config.origins["retrieval.top_k"]
    (20, '--set')
    """
    environ = os.environ if environ is None else environ
    note = None
    if path is None and DEFAULT_FILE.is_file():
        path = DEFAULT_FILE
    elif path is None:
        note = f"no {DEFAULT_FILE} in {Path.cwd()}: using built-in defaults; `ragkit init` writes one"
    files: list[Path] = []
    document = Document() if path is None else _read_extending(path, environ, files)
    for override in overrides:
        document = merge(document, _override(override, environ))
    config = _checked(document, [str(file) for file in files])
    present = {
        dotted(place): str(origin) for place, origin in document.origins.items() if place and _holds(document, place)
    }
    return LoadedConfig(config.read_from(Origins(present)), tuple(files), note)


def merge(base: Document, top: Document) -> Document:
    """`top` over `base`: mappings are merged key by key, everything else (lists too) is replaced.

    >>> low, high = Document({"a": {"b": [1, 2], "c": 3}}), Document({"a": {"b": [9]}})
    >>> merge(low, high).data
    {'a': {'b': [9], 'c': 3}}
    """
    origins = {**base.origins, **top.origins}
    return Document(_merged(base.data, top.data), origins, [*base.problems, *top.problems])


def _merged(base: dict[str, Any], top: dict[str, Any]) -> dict[str, Any]:
    result = dict(base)
    for key, value in top.items():
        below = result.get(key)
        both = isinstance(below, dict) and isinstance(value, dict)
        result[key] = _merged(cast(dict[str, Any], below), cast(dict[str, Any], value)) if both else value
    return result


def _read_extending(
    path: Path, environ: Mapping[str, str], files: list[Path], chain: tuple[Path, ...] = ()
) -> Document:
    """The file merged over the one that it extends; adds both to `files`, the extended one first."""
    document = read_document(_text(path), str(path), environ)
    chain = (*chain, path)
    if "extends" not in document.data:
        files.append(path)
        return document
    target = document.data.pop("extends")
    origin = document.origins.pop(("extends",))
    if not isinstance(target, str) or not target:
        if not document.problems:  # otherwise a variable in it is missing, which is said already
            document.problems.append(Problem(origin, "extends: name one YAML file"))
        files.append(path)
        return document
    below = Path(os.path.normpath(path.parent / target))
    if below.resolve() in [seen.resolve() for seen in chain]:
        circle = " extends ".join(str(step) for step in (*chain, below))
        raise ConfigError(f"{origin}: extends: goes in a circle: {circle}")
    if not below.is_file():
        raise ConfigError(f"{origin}: extends: there is no file {below} (relative to {path.name})")
    base = _read_extending(below, environ, files, chain)
    files.append(path)
    return merge(base, document)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"there is no config file {path}", mend=f"run: ragkit init {path}") from None
    except IsADirectoryError:
        raise ConfigError(f"{path} is a folder", mend=f"name a YAML file, e.g. {path / DEFAULT_FILE}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text (byte {error.start})") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None


def _override(override: str, environ: Mapping[str, str]) -> Document:
    name, equals, text = override.partition("=")
    if not equals or not re.fullmatch(r"\s*\w+(\.\w+)*\s*", name):
        # Only what looks like the key is repeated: the rest may be a secret.
        shown = match[0] if (match := re.match(r"[\w.]+", override)) else "..."
        raise ConfigError(f"--set {shown}: write it as key=value, e.g. --set retrieval.top_k=20")
    return read_override(tuple(name.strip().split(".")), text, environ)


def _checked(document: Document, sources: Sequence[str]) -> Config:
    try:
        config = Config.model_validate(document.data)
    except ValidationError as error:
        errors = error.errors(include_url=False)
        if document.problems:
            # A value that could not be read is null here: what follows from that is no news.
            known = {problem.origin for problem in document.problems}
            errors = [e for e in errors if document.origins.get(e["loc"]) not in known and e["type"] != "value_error"]
        found = explain(errors, document)
    else:
        raise_for(document.problems, sources)
        return config
    # Outside the except block, so that pydantic's error, which repeats values, is not chained to ours.
    raise_for([*document.problems, *found], sources)
    raise ConfigError("the configuration is wrong")  # not reached: an error always has a problem


def _holds(document: Document, path: KeyPath) -> bool:
    """Whether the merged data still has this path, and a value (not a section) stands there."""
    value: Any = document.data
    for step in path:
        if isinstance(value, dict) and step in value:
            value = cast(dict[str | int, Any], value)[step]
        else:
            return False
    return not isinstance(value, dict)
