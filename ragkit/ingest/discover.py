"""Find what is to be indexed: files under the given paths, and rows of JSON-lines files.

A source is known by its name, mostly the path relative to the folder that was asked for (`ragkit.ingest.area`); that
name is what citations show.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shlex
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from ragkit.config.schema import Ingestion
from ragkit.errors import ParseError, RagkitError
from ragkit.ingest.area import Area, as_text, base_of, lies_in, path_of, pattern_of
from ragkit.ingest.walk import Unread, walk

_LONGEST_ROW = 64 * 1024 * 1024
_MOST_PAGES = 100  # of one row; a chunk of a document has a few
_DEEPEST_ROW = 100
_TOO_DEEP = f"it is nested deeper than {_DEEPEST_ROW} levels"


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

    `keeps` is a path: what the index holds of that file, or of the files under that folder, cannot be told to be gone.
    """

    name: str
    root: str
    reason: str
    keeps: str | None = None


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A link that is not followed, or a pipe, socket or device: nothing that a corpus is made of."""

    path: Path
    kind: Literal["link", "special file"]


def discover(
    paths: Sequence[str | Path], ingestion: Ingestion, taken: Mapping[str, str] | None = None
) -> Iterator[Source | Rejected | LeftOut]:
    """Sources in a fixed order, each once. `paths` are files, folders, globs and `.jsonl` files.

    `taken` gives the root of each name that the index knows already; `Area` says what follows from it.

    Raises RagkitError when a path does not exist or cannot be reached, or a glob matches nothing; but a file or a glob
    that the index has something from, and that is gone, is a place without files. Hidden files, files that match
    `ingestion.exclude`, and whatever a link loop would bring again are passed over.
    """
    area = Area(paths, ingestion, taken)
    seen: set[Path | tuple[int, int]] = set()
    # Every place is looked up before the first file is read: a misspelt path ends the run at its start.
    for place, files in [(place, _files(place, area, taken or {})) for place in area.asked]:
        for found in files:
            path = found.path if isinstance(found, Unread) else found
            if path not in seen:
                seen.add(path)
                root = area.home(place if base_of(place) == place else str(path)) or place
                yield from (
                    _unread(found, root) if isinstance(found, Unread) else _look_at(found, root, area, ingestion, seen)
                )


def _files(place: str, area: Area, taken: Mapping[str, str]) -> Iterable[Path | Unread]:
    """What lies in a place that was asked for."""
    base = base_of(place)
    rules = area.rules(area.home(place) or base)
    if base != place:
        found = list(walk(Path(base), rules, pattern_of(place)))
        if not found and not (Path(base).is_dir() and _held(place, taken)):
            raise RagkitError(f"no file matches {area.asked[place]!r}", mend=_mend_of_missing(place, area, taken))
        return found
    try:
        is_folder = stat.S_ISDIR(Path(place).stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        held = _held(place, taken)
        if held == {place} and Path(place).parent.is_dir():
            return []
        # A folder that is not there may be a disk that is not mounted: its documents leave the index only when told to.
        raise RagkitError(f"there is no {area.asked[place]!r}", mend=_mend_of_missing(place, area, taken)) from None
    except OSError as error:
        raise RagkitError(
            f"{area.asked[place]!r} cannot be reached: {error.strerror}",
            mend="let the user that runs ragkit enter the folders above it (chmod +x)",
        ) from None
    return walk(Path(place), rules) if is_folder else [Path(place)]


def _held(place: str, taken: Mapping[str, str]) -> set[str]:
    """The files that the index has documents of from a place."""
    return {path for name, root in taken.items() if lies_in(path := path_of(name, root), place)}


def _mend_of_missing(place: str, area: Area, taken: Mapping[str, str]) -> str:
    held = sum(1 for name, root in taken.items() if lies_in(path_of(name, root), place))
    if not held:
        return f"the working directory is {Path.cwd()}"
    documents = "1 document" if held == 1 else f"{held:,} documents"
    asked = shlex.quote(area.asked[place])
    return f"bring it back, or take its {documents} out of the index: ragkit delete --from {asked}"


def _unread(folder: Unread, root: str) -> Iterator[Rejected]:
    inside = os.path.relpath(folder.path, base_of(root))
    name = as_text(folder.path.name if inside == "." else inside)
    yield Rejected(name, root, f"cannot be read: {folder.reason}", keeps=as_text(folder.path))


def _look_at(
    path: Path, root: str, area: Area, ingestion: Ingestion, seen: set[Path | tuple[int, int]]
) -> Iterator[Source | Rejected | LeftOut]:
    """A path that was found as a source, or as the rows of a JSON-lines file, or why it is none."""
    try:
        if path.is_symlink() and not ingestion.follow_symlinks:
            yield LeftOut(path, "link")
            return
        status = path.stat()
    except OSError as error:
        # A link to nothing or to itself, or gone since its folder was listed; else a folder that may not be entered.
        if error.errno not in (errno.ENOENT, errno.ELOOP):
            yield _unreadable(path, *area.name(path, root), error)
        return
    identity = (status.st_dev, status.st_ino)
    if identity in seen and status.st_nlink == 1:
        return
    seen.add(identity)
    if not stat.S_ISREG(status.st_mode):
        yield LeftOut(path, "special file")
        return
    name, root = area.name(path, root)
    limit = ingestion.parsing.max_file_mb
    try:
        if path.suffix.lower() == ".jsonl":
            yield from _rows(path, name, root)
        elif status.st_size > limit * 1e6:
            size = f"{status.st_size / 1e6:.0f} MB" if status.st_size >= 1e7 else f"{status.st_size:,} bytes"
            yield Rejected(name, root, f"is {size}, more than parsing.max_file_mb ({limit:g})")
        else:
            yield Source(name, root, path, _hash_file(path))
    except OSError as error:
        yield _unreadable(path, name, root, error)


def _unreadable(path: Path, name: str, root: str, error: OSError) -> Rejected:
    return Rejected(name, root, f"cannot be read: {error.strerror}", keeps=as_text(path))


def _hash_file(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _rows(path: Path, file_name: str, root: str) -> Iterator[Source | Rejected]:
    """Rows `{"id", "text", "metadata"}`; `_id` (BEIR) and `title` are understood. The name of a row is FILE#ID.

    A null is no value, anywhere. Of metadata, `page_number`, `page_end`, `section_heading` and `date_created` mean
    something to ragkit, and so a row in which they are of another type is refused.
    """
    seen: set[str] = set()
    after, blank = 0, True
    with path.open("rb") as lines:
        for number, line in enumerate(iter(lambda: lines.readline(_LONGEST_ROW), b""), start=1):
            begin, after = after, after + len(line)
            if not line.strip():
                continue
            blank = False
            where = f"{file_name}:{number}"
            try:
                row = _read_row(line)
            except (ValueError, RecursionError) as error:
                reason = _TOO_DEEP if isinstance(error, RecursionError) else str(error)
                yield Rejected(where, root, f"is no JSON object: {reason}", keeps=as_text(path))
                continue
            identity = _row_identity(row)
            if identity is None:
                yield Rejected(where, root, 'has no "id" that is text or a whole number', keeps=as_text(path))
                continue
            reason = f"repeats the id {identity!r}" if identity in seen else _row_fault(row)
            seen.add(identity)
            if reason:
                yield Rejected(f"{file_name}#{identity}", root, f"{reason} (line {number})")
                continue
            yield Source(f"{file_name}#{identity}", root, path, _hash_row(row), begin)
    if blank:
        # Like any emptied file it is reported and keeps what the index has of it: something may have cut it off.
        yield Rejected(file_name, root, "has no rows" if after else "is empty (0 bytes)", keeps=as_text(path))


def read_row(source: Source) -> dict[str, Any]:
    """The row of a JSON-lines source. Raises ParseError if the file is another one than when it was found."""
    try:
        row = _read_row(read_row_line(source))
    except (OSError, ValueError, RecursionError):
        row = None
    if row is None or _hash_row(row) != source.content_hash:
        raise ParseError(f"{source.path.name} was changed while it was read; index again")
    return row


def read_row_line(source: Source) -> bytes:
    """The line that a JSON-lines source stands in, as it is now; b"" behind the end of the file."""
    with source.path.open("rb") as lines:
        lines.seek(source.row_at or 0)
        return lines.readline(_LONGEST_ROW)


def _hash_row(row: Any) -> str:
    return hashlib.sha256(json.dumps(row, sort_keys=True).encode()).hexdigest()


def whole_characters(text: str) -> str:
    """The text with U+FFFD for halves of surrogate pairs ("\\ud83d"), which are no characters and fit no store."""
    return re.sub("[\ud800-\udfff]", "\ufffd", text)


def _read_row(line: bytes) -> dict[str, Any]:
    """Raises ValueError, or the RecursionError of the reader, for what is no object that can be indexed."""
    row: Any = json.loads(line)
    if not isinstance(row, dict):
        raise ValueError(f"found {type(row).__name__}")
    # What is not nested too deep here is not for anything that reads it later, with more calls below it.
    if line.count(b"[") + line.count(b"{") > _DEEPEST_ROW and _is_deeper(row, _DEEPEST_ROW):
        raise ValueError(_TOO_DEEP)
    text = json.dumps(row, ensure_ascii=False)
    whole = whole_characters(text)
    return cast("dict[str, Any]", row) if whole == text else json.loads(whole)


def _is_deeper(value: Any, most: int) -> bool:
    level: list[Any] = [value]
    for _ in range(most):
        parts: list[Any] = []
        for item in level:
            parts += cast("dict[str, Any]", item).values() if isinstance(item, dict) else item
        level = [part for part in parts if isinstance(part, (dict, list))]
    return bool(level)


def _row_identity(row: dict[str, Any]) -> str | None:
    identity = row.get("id", row.get("_id"))
    is_one = isinstance(identity, (str, int)) and not isinstance(identity, bool) and identity != ""
    return str(identity) if is_one else None


def _row_fault(fields: dict[str, Any]) -> str | None:
    if not isinstance(fields.get("text"), str):
        return 'has no "text"'
    if not fields["text"].strip():
        return "has an empty text"
    title, metadata = fields.get("title"), fields.get("metadata")
    if not isinstance(title, str | None):
        return f'has a "title" that is no text: {_short(title)}'
    if metadata is None:
        return None
    if not isinstance(metadata, dict):
        return 'has a "metadata" that is no object'
    known = cast("dict[str, Any]", metadata)
    # Citations name them, and a citation is checked against them.
    for name in ("page_number", "page_end"):
        if not _is_page(known.get(name)):
            return f'has a "{name}" that is no page: {_short(known[name])}'
    first, last = known.get("page_number"), known.get("page_end")
    if last is not None and (first is None or not first <= last <= first + _MOST_PAGES):
        return f'has a "page_end" that does not go with its "page_number": {_short(last)}'
    for name in ("date_created", "section_heading"):
        if not isinstance(known.get(name), str | None):
            return f'has a "{name}" that is no text: {_short(known[name])}'
    return None


def _is_page(value: object) -> bool:
    return value is None or (isinstance(value, int) and not isinstance(value, bool) and 1 <= value < 2**63)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."
