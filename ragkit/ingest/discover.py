"""Find what is to be indexed: files under the given paths, and rows of JSON-lines files.

A source is known by its name, the path relative to the folder that was asked for; that name is what citations show.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from glob import glob, has_magic
from itertools import takewhile
from pathlib import Path
from typing import Any, Literal, cast

import pathspec

from ragkit.config.schema import Ingestion
from ragkit.errors import ParseError, RagkitError

_LONGEST_ROW = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Source:
    """One thing to index. `root` is the path that it was found under.

    `row_at` is the offset in bytes of a row of a JSON-lines file: `read_row` reads it when its turn comes, so that a
    large file is never held whole.
    """

    name: str
    root: str
    path: Path
    content_hash: str
    row_at: int | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """Something that was found and cannot be indexed, with the reason as a sentence fragment.

    `rows_of` names the JSON-lines file whose rows cannot all be told apart any more because of it.
    """

    name: str
    root: str
    reason: str
    rows_of: str | None = None


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A link that is not followed, or a pipe, socket or device: nothing that a corpus is made of."""

    path: Path
    kind: Literal["link", "special file"]


def discover(
    paths: Sequence[str | Path], ingestion: Ingestion, taken: Mapping[str, str] | None = None
) -> Iterator[Source | Rejected | LeftOut]:
    """Sources in a fixed order, each once. `paths` are files, folders, globs and `.jsonl` files.

    `taken` gives the root of each name that the index knows already: another root's file gets another name.

    Raises RagkitError when a path does not exist or a glob matches nothing; but a file or a glob that the index has
    something from, and that is gone, is a root without files. Hidden files, files that match `ingestion.exclude`, and
    whatever a link loop would bring again are passed over.
    """
    roots = [root for path in paths for root in _roots(str(path), taken or {})]
    ignored = pathspec.GitIgnoreSpec.from_lines(ingestion.exclude)
    # A row's name begins with its file's; a file's own name may hold a # too.
    names = {name.split("#", 1)[0]: root for name, root in (taken or {}).items()} | dict(taken or {})
    seen_files: set[tuple[int, int]] = set()
    for root in roots:
        for found in root.files if root.files is not None else _files(root.base, ignored, ingestion.follow_symlinks):
            if found.is_symlink() and root.files is None and not ingestion.follow_symlinks:
                yield LeftOut(found, "link")
                continue
            try:
                status = found.stat()
            except OSError:
                continue  # Gone since the folder was listed.
            identity = (status.st_dev, status.st_ino)
            if identity in seen_files and status.st_nlink == 1:
                continue
            seen_files.add(identity)
            if not stat.S_ISREG(status.st_mode):
                yield LeftOut(found, "special file")
                continue
            name = _name(found, root, names)
            limit = ingestion.parsing.max_file_mb
            if found.suffix.lower() == ".jsonl":
                try:
                    yield from _rows(found, name, root.label)
                except OSError as error:
                    yield Rejected(name, root.label, f"cannot be read: {error.strerror}", rows_of=name)
            elif status.st_size > limit * 1e6:
                size = status.st_size / 1e6
                yield Rejected(name, root.label, f"is {size:.0f} MB, more than parsing.max_file_mb ({limit:g})")
            else:
                try:
                    yield Source(name, root.label, found, _hash_file(found))
                except OSError as error:
                    yield Rejected(name, root.label, f"cannot be read: {error.strerror}")


def root_of(path: str | Path) -> str:
    """What is recorded as the root of the sources under `path`: an absolute path or pattern, there or not.

    >>> root_of("/data/docs/../manuals/*.pdf")
    '/data/manuals/*.pdf'
    """
    expanded = Path(os.path.expanduser(path))  # noqa: PTH111 - a glob is no path that exists
    fixed = list(takewhile(lambda part: not has_magic(part), expanded.parts))
    if expanded.exists() or len(fixed) == len(expanded.parts):
        return str(expanded.resolve())
    return str(Path(*fixed).resolve().joinpath(*expanded.parts[len(fixed) :]))


@dataclass(frozen=True, slots=True)
class _Root:
    """A path that was asked for: `label` names it, `base` is what names are relative to, `files` None means walk it."""

    label: str
    base: Path
    files: list[Path] | None = None


def _roots(path: str, taken: Mapping[str, str]) -> list[_Root]:
    label = root_of(path)
    found = Path(label)
    if found.exists():
        return [_Root(label, found.parent, [found]) if found.is_file() else _Root(label, found)]
    held = [name for name, root in taken.items() if root == label]
    if has_magic(path):
        base = Path(*takewhile(lambda part: not has_magic(part), found.parts))
        matches = [Path(match) for match in sorted(glob(label, recursive=True))]  # noqa: PTH207
        files = [match for match in matches if match.is_file()]
        if files or (held and base.is_dir()):
            return [_Root(label, base, files)]
        raise RagkitError(f"no file matches {path!r}", mend=_mend_of_missing(path, held))
    if held and found.parent.is_dir() and all(name.split("#", 1)[0] == found.name for name in held):
        return [_Root(label, found.parent, [])]
    # A folder that is not there may be a disk that is not mounted: its documents leave the index only when told to.
    raise RagkitError(f"there is no {path!r}", mend=_mend_of_missing(path, held))


def _mend_of_missing(path: str, held: Sequence[str]) -> str:
    if not held:
        return f"the working directory is {Path.cwd()}"
    documents = "1 document" if len(held) == 1 else f"{len(held):,} documents"
    return f"bring it back, or take its {documents} out of the index: ragkit delete --from {shlex.quote(path)}"


def _files(root: Path, ignored: pathspec.GitIgnoreSpec, follow: bool) -> Iterator[Path]:
    """Everything but folders under `root`; a link to a folder counts as a file unless links are followed."""
    visited: set[tuple[int, int]] = set()
    for folder, folders, files in os.walk(root, followlinks=follow):
        status = Path(folder).stat()
        if (status.st_dev, status.st_ino) in visited:
            folders.clear()
            continue
        visited.add((status.st_dev, status.st_ino))
        relative = Path(folder).relative_to(root)
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and not ignored.match_file(f"{(relative / name).as_posix()}/")
        )
        links = [] if follow else [name for name in folders if (Path(folder) / name).is_symlink()]
        for name in sorted([*files, *links]):
            if not name.startswith(".") and not ignored.match_file((relative / name).as_posix()):
                yield Path(folder) / name


def _name(path: Path, root: _Root, names: dict[str, str]) -> str:
    """Relative to the root; with the root's own name before it where two roots have a file of the same name."""
    relative = path.relative_to(root.base).as_posix()
    # A name on disk may be no text; what cannot be written as UTF-8 is written as \\xE9.
    for choice in (relative, f"{root.base.name}/{relative}", path.as_posix()):
        name = os.fsencode(choice).decode("utf-8", "backslashreplace")
        if names.setdefault(name, root.label) == root.label:
            return name
    raise RagkitError(f"two sources are named {relative!r}")


def _hash_file(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _rows(path: Path, file_name: str, root: str) -> Iterator[Source | Rejected]:
    """Rows `{"id", "text", "metadata"}`; `_id` (BEIR) and `title` are understood. The name of a row is FILE#ID."""
    seen: set[str] = set()
    with path.open("rb") as lines:
        after = 0
        for number, line in enumerate(iter(lambda: lines.readline(_LONGEST_ROW), b""), start=1):
            begin, after = after, after + len(line)
            if not line.strip():
                continue
            where = f"{file_name}:{number}"
            try:
                row = _row_object(_whole_row(json.loads(line)))
            except (ValueError, UnicodeDecodeError) as error:
                yield Rejected(where, root, f"is no JSON object: {error}", rows_of=file_name)
                continue
            identity = _row_identity(row)
            if identity is None:
                yield Rejected(where, root, 'has no "id"', rows_of=file_name)
                continue
            reason = f"repeats the id {identity!r}" if identity in seen else _row_fault(row)
            seen.add(identity)
            if reason:
                yield Rejected(f"{file_name}#{identity}", root, f"{reason} (line {number})")
                continue
            yield Source(f"{file_name}#{identity}", root, path, _hash_row(row), begin)


def read_row(source: Source) -> dict[str, Any]:
    """The row of a JSON-lines source. Raises ParseError if the file is another one than when it was found."""
    try:
        with source.path.open("rb") as lines:
            lines.seek(source.row_at or 0)
            row = _whole_row(json.loads(lines.readline(_LONGEST_ROW)))
    except (OSError, ValueError):
        row = None
    if row is None or _hash_row(row) != source.content_hash:
        raise ParseError(f"{source.path.name} was changed while it was read; index again")
    return row


def _hash_row(row: Any) -> str:
    return hashlib.sha256(json.dumps(row, sort_keys=True).encode()).hexdigest()


def whole_characters(text: str) -> str:
    """The text with U+FFFD for halves of surrogate pairs ("\\ud83d"), which are no characters and fit no store."""
    return re.sub("[\ud800-\udfff]", "\ufffd", text)


def _whole_row(row: Any) -> Any:
    text = json.dumps(row, ensure_ascii=False)
    whole = whole_characters(text)
    return row if whole == text else json.loads(whole)


def _row_object(row: object) -> dict[str, Any]:
    if not isinstance(row, dict):
        raise ValueError(f"found {type(row).__name__}")
    return cast("dict[str, Any]", row)


def _row_identity(row: dict[str, Any]) -> str | None:
    identity = row.get("id", row.get("_id"))
    return str(identity) if isinstance(identity, (str, int)) and identity != "" else None


def _row_fault(fields: dict[str, Any]) -> str | None:
    if not isinstance(fields.get("text"), str):
        return 'has no "text"'
    if not fields["text"].strip():
        return "has an empty text"
    if not isinstance(fields.get("metadata", {}), dict):
        return 'has a "metadata" that is no object'
    page = fields.get("metadata", {}).get("page_number", 1)
    # Citations name it, and a citation is checked against it.
    if not isinstance(page, int) or isinstance(page, bool) or page < 1:
        return f'has a "page_number" that is no page: {page!r}'
    return None
