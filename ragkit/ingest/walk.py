"""Walk a folder, whole or by a pattern: what is looked at, and what is passed over."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import pathspec


@dataclass(frozen=True, slots=True)
class Unread:
    """A folder that is there and cannot be listed, with the system's reason."""

    path: Path
    reason: str


@dataclass(frozen=True, slots=True)
class Rules:
    """What a walk passes over: what `ignored` matches relative to the folder `top`, and links unless `follow`."""

    top: Path
    ignored: pathspec.GitIgnoreSpec
    follow: bool

    def pass_over(self, path: str, is_folder: bool) -> bool:
        """Whether a path under `top` is left out by the ignore patterns."""
        relative = os.path.relpath(path, self.top)
        return self.ignored.match_file(f"{relative}/" if is_folder else relative)

    def comes_by(self, place: Path) -> bool:
        """Whether a walk of `top` would reach this place under it: neither hidden nor left out, nor in such a folder.

        >>> Rules(Path("/docs"), pathspec.GitIgnoreSpec([]), follow=False).comes_by(Path("/docs/.trash/a.md"))
        False
        """
        last = not os.path.isdir(place)  # noqa: PTH112 - Path.is_dir raises in a folder that may not be entered
        steps = [place, *place.parents][: len(place.parts) - len(self.top.parts)]
        return not any(
            step.name.startswith(".") or self.pass_over(str(step), is_folder=not (last and step == place))
            for step in steps
        )


def walk(start: Path, rules: Rules, pattern: Sequence[str] = ()) -> Iterator[Path | Unread]:
    """Everything but folders under `start`, in a fixed order, each folder once however many links lead to it.

    A link to a folder counts as a file unless links are followed. `pattern` is what a path must match part by part;
    without one all are taken but hidden files and folders.
    """
    visited: set[tuple[int, int]] = set()
    # A list, not recursion: folders may be nested deeper than Python's stack.
    waiting = [(start, after(frozenset((0,)), pattern))]
    while waiting:
        folder, places = waiting.pop()
        try:
            status = folder.stat()
            if (status.st_dev, status.st_ino) in visited:
                continue
            visited.add((status.st_dev, status.st_ino))
            with os.scandir(folder) as listing:
                items = sorted(listing, key=lambda item: item.name)
        except (FileNotFoundError, NotADirectoryError):
            continue  # Gone since its parent was listed.
        except OSError as error:
            yield Unread(folder, str(error.strerror))
            continue
        below: list[tuple[Path, frozenset[int]]] = []
        for item in items:
            is_folder = _is_folder(item)
            matched = step(places, item.name, pattern)
            if not (matched if pattern else not item.name.startswith(".")) or rules.pass_over(item.path, is_folder):
                continue
            if is_folder and (rules.follow or not item.is_symlink()):
                if not pattern or min(matched) < len(pattern):
                    below.append((folder / item.name, matched))
            elif not pattern or len(pattern) in matched or is_folder:
                yield folder / item.name
        waiting += reversed(below)


def _is_folder(item: os.DirEntry[str]) -> bool:
    try:
        return item.is_dir()
    except OSError:
        return False  # A link to itself.


def matches(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether a path matches a pattern part by part, as a shell's globs do: `**` stands for any number of folders,
    and a hidden name is matched only by a part that begins with a dot too.

    >>> matches(["a", "b", "c.md"], ["**", "*.md"]), matches(["a", ".b", "c.md"], ["**", "*.md"])
    (True, False)
    """
    places = after(frozenset((0,)), pattern)
    for part in parts:
        places = step(places, part, pattern)
    return len(pattern) in places


def step(places: frozenset[int], name: str, pattern: Sequence[str]) -> frozenset[int]:
    """Where in the pattern one may stand after one more part of a path; nowhere if the path cannot match."""
    reached: set[int] = set()
    for place in places:
        if place == len(pattern) or (name.startswith(".") and not pattern[place].startswith(".")):
            continue
        if pattern[place] == "**":
            reached.add(place)
        elif fnmatchcase(name, pattern[place]):
            reached.add(place + 1)
    return after(frozenset(reached), pattern)


def after(places: frozenset[int], pattern: Sequence[str]) -> frozenset[int]:
    """The same, counting that `**` may stand for no folder at all."""
    reached = set(places)
    for place, part in enumerate(pattern):
        if place in reached and part == "**":
            reached.add(place + 1)
    return frozenset(reached)
