"""Compare the sources with what the index holds: what is new, edited, moved, unchanged, gone."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ragkit.ingest.discover import Rejected, Source
from ragkit.ingest.manifest import Entry


def relative_root(root: str, folder: Path) -> str:
    """A root as the manifest keeps it: relative to the index folder, so that a project can move with its index."""
    return os.path.relpath(root, folder.resolve())


def absolute_root(root: str, folder: Path) -> str:
    """A root of the manifest as a path of this machine.

    >>> absolute_root(relative_root("/data/docs", Path("/data/index")), Path("/data/index"))
    '/data/docs'
    """
    return os.path.normpath(folder.resolve() / root)


@dataclass(slots=True)
class Plan:
    """What a run has to do. `moved` maps the name of a new source to the document that it was."""

    new: list[Source] = field(default_factory=list[Source])
    edited: list[Source] = field(default_factory=list[Source])
    moved: dict[str, Entry] = field(default_factory=dict[str, Entry])
    gone: list[Entry] = field(default_factory=list[Entry])
    unchanged: int = 0
    rejected: list[Rejected] = field(default_factory=list[Rejected])

    @property
    def is_empty(self) -> bool:
        return not (self.new or self.edited or self.moved or self.gone)

    def to_parse(self) -> list[Source]:
        """Sources to read, in the order of their names (the moved ones are among the new)."""
        return sorted([*self.new, *self.edited], key=lambda source: source.name)


def make_plan(found: Iterable[Source | Rejected], entries: Iterable[Entry], roots: Sequence[str]) -> Plan:
    """Sort the sources into a plan.

    A document is gone if it was found under one of `roots` before and is not there now; documents of other roots
    stay. A source that was found but cannot be read now keeps its old version in the index; so do all rows of a
    JSON-lines file in which a row cannot be read, as any of them might be that row.
    """
    plan = Plan()
    known = {entry.name: entry for entry in entries}
    seen: set[str] = set()
    damaged: set[str] = set()
    for source in found:
        seen.add(source.name)
        entry = known.get(source.name)
        if isinstance(source, Rejected):
            plan.rejected.append(source)
            if source.rows_of is not None:
                damaged.add(source.rows_of)
        elif entry is None:
            plan.new.append(source)
        elif entry.state != "done" or entry.content_hash != source.content_hash:
            plan.edited.append(source)
        else:
            plan.unchanged += 1
    within = set(roots)
    plan.gone = [
        entry
        for entry in known.values()
        if entry.state == "deleting"
        or (entry.root in within and entry.name not in seen and entry.name.rpartition("#")[0] not in damaged)
    ]
    by_hash = {entry.content_hash: entry for entry in plan.gone if entry.state == "done"}
    for source in plan.new:
        entry = by_hash.pop(source.content_hash, None)
        if entry is not None:
            plan.moved[source.name] = entry
    return plan
