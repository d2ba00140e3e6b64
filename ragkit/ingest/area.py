"""Which part of the disk a run looks at, and what each file in it is called.

A document belongs to a root, the widest folder that was asked for and that it lies in; its name is relative to that.
docs/decisions/2026-11-25-one-document-per-file.md says why.
Paths are looked up with os.path here: for what lies in a folder that may not be entered it says that nothing is there,
where the methods of Path raise an error.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from glob import has_magic
from pathlib import Path

import pathspec

from ragkit.config.schema import Ingestion
from ragkit.errors import RagkitError
from ragkit.ingest.walk import Rules, matches

_FILE_OF_ROW = re.compile(r".*?\.jsonl(?=#)", re.IGNORECASE)


def root_of(path: str | Path) -> str:
    """A path that was asked for as it is compared and recorded: an absolute path or pattern, there or not.

    >>> root_of("/data/docs/../manuals/*.pdf")
    '/data/manuals/*.pdf'
    """
    expanded = os.path.expanduser(path)  # noqa: PTH111 - a glob is no path that exists
    fixed = Path(base_of(expanded))
    return str(fixed.resolve().joinpath(*Path(expanded).parts[len(fixed.parts) :]))


def base_of(root: str) -> str:
    """The part of a root before the first one with a magic sign: of a path the whole path.

    >>> base_of("/data/manuals/*/en.pdf"), base_of("/data/manuals/en.pdf")
    ('/data/manuals', '/data/manuals/en.pdf')
    """
    if not has_magic(root):
        return root
    # A file or folder may be named like a pattern.
    base = ""
    for part in Path(root).parts:
        longer = os.path.join(base, part)  # noqa: PTH118
        if has_magic(part) and not os.path.exists(longer):  # noqa: PTH110
            break
        base = longer
    return base


def file_of(name: str) -> str:
    """The file's part of a document's name.

    >>> file_of("faq.jsonl#17"), file_of("a#b.md")
    ('faq.jsonl', 'a#b.md')
    """
    row = _FILE_OF_ROW.match(name)
    return row.group() if row else name


def path_of(name: str, root: str) -> str:
    """Where the file of a document lies, from its name and its root: what `Area.name` made of the path, undone.

    >>> path_of("sub/a.md", "/docs"), path_of("docs/sub/a.md", "/docs"), path_of("faq.jsonl#7", "/docs/faq.jsonl")
    ('/docs/sub/a.md', '/docs/sub/a.md', '/docs/faq.jsonl')
    """
    file = file_of(name)
    base = base_of(root)
    if file.startswith("/"):
        return file
    if Path(base).name == file.rpartition("/")[2] and not os.path.isdir(base):  # noqa: PTH112
        return base
    # A folder that holds one of its own name is rare; a name with the root's before it, to tell two apart, is not.
    prefix = f"{Path(base).name}/"
    inside = f"{base.rstrip('/')}/{file}"
    if file.startswith(prefix) and not os.path.lexists(inside):
        return f"{base}/{file.removeprefix(prefix)}"
    return inside


def lies_in(path: str, place: str) -> bool:
    """Whether a path is the place, lies under it, or matches it as a pattern.

    >>> lies_in("/docs/a/b.md", "/docs"), lies_in("/docs/a/b.md", "/docs/*.md"), lies_in("/docs/a.md", "/docs/*.md")
    (True, False, True)
    """
    base = base_of(place)
    if path != base and not path.startswith(f"{base.rstrip('/')}/"):
        return False
    return base == place or matches(Path(path).relative_to(base).parts, pattern_of(place))


def pattern_of(root: str) -> tuple[str, ...]:
    """The parts of a root behind its base; none if it is no pattern."""
    return Path(root).parts[len(Path(base_of(root)).parts) :]


def upwards(path: str) -> Iterator[str]:
    """The path, then each folder above it."""
    yield path
    while path != (path := os.path.dirname(path)):  # noqa: PTH120
        yield path


def as_text(path: Path | str) -> str:
    """A path as text. A name on disk may be none; what cannot be written as UTF-8 is written as \\xE9."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


class Area:
    """The paths and patterns that a run was asked to look at, beside what the index holds.

    `taken` gives the root of each name that the index knows.
    """

    def __init__(
        self, paths: Iterable[str | Path], ingestion: Ingestion, taken: Mapping[str, str] | None = None
    ) -> None:
        self.asked = {root_of(path): str(path) for path in paths}
        self._taken = taken or {}
        self._ignored = pathspec.GitIgnoreSpec.from_lines(ingestion.exclude)
        self._follow = ingestion.follow_symlinks
        self._folders = {root for root in {*self._taken.values(), *self.asked} if os.path.isdir(root)}  # noqa: PTH112
        self._patterns = [place for place in self.asked if base_of(place) != place]
        self._homes: dict[str, str | None] = {}
        self._reached: dict[tuple[str, str], bool] = {}

    def rules(self, top: str) -> Rules:
        return Rules(Path(top), self._ignored, self._follow)

    def home(self, place: str) -> str | None:
        """The widest folder, of those asked for now or before, that a path or pattern lies in or is.

        A hidden or excluded folder is no part of the folders above: whoever asks for it by name wants it for itself.
        """
        if place not in self._homes:
            base = base_of(place)
            tops = [top for top in upwards(base) if top in self._folders and self._comes_by(top, base)]
            self._homes[place] = tops[-1] if tops else None
        return self._homes[place]

    def covers(self, name: str, root: str) -> bool:
        """Whether this run looks at where a document came from, so that it is gone if it is not found."""
        path = path_of(name, root)
        places = [place for place in upwards(path) if place in self.asked]
        places += [pattern for pattern in self._patterns if lies_in(path, pattern)]
        return any(self._looks_through(place, root, path) for place in places)

    def _looks_through(self, place: str, root: str, path: str) -> bool:
        base, start = base_of(place), base_of(root)
        if not start.startswith(f"{base.rstrip('/')}/"):
            return True
        # A folder that was asked for by itself and is not there may be a disk that is not mounted.
        there = start == path or os.path.exists(start)  # noqa: PTH110
        return there and self._comes_by(self.home(place) or base, start)

    def _comes_by(self, top: str, place: str) -> bool:
        if (top, place) not in self._reached:
            self._reached[top, place] = self.rules(top).comes_by(Path(place))
        return self._reached[top, place]

    def name(self, path: Path, root: str) -> tuple[str, str]:
        """The name and the root of a file that was found under `root`.

        A file that the index knows keeps both. Else its name is relative to the root; with the root's own name
        before it where two roots have a file of the same name.
        """
        where = as_text(path)
        if where in self._held:
            return self._held[where]
        base = Path(base_of(root))
        base = base.parent if base == path else base
        relative = path.relative_to(base).as_posix()
        for choice in (relative, f"{base.name}/{relative}", path.as_posix()):
            name = as_text(choice)
            if self._names.setdefault(name, where) == where:
                return name, root
        raise RagkitError(f"two sources are named {relative!r}")

    @cached_property
    def _staying(self) -> dict[str, str]:
        """Names with their paths, but for documents of narrower roots that this run finds under a wider one."""
        return {
            name: path_of(name, root)
            for name, root in self._taken.items()
            if self.home(root) in (None, root) or not self.covers(name, root)
        }

    @cached_property
    def _names(self) -> dict[str, str]:
        """Names of files that are taken, with the path that each stands for."""
        return {file_of(name): path for name, path in self._staying.items()} | self._staying

    @cached_property
    def _held(self) -> dict[str, tuple[str, str]]:
        # Where a name is a guess and another plainly means the same file, the plain one holds it.
        by_plainness = sorted(
            self._staying.items(), key=lambda item: item[1] == f"{base_of(self._taken[item[0]])}/{file_of(item[0])}"
        )
        return {path: (file_of(name), self._taken[name]) for name, path in by_plainness}
