"""Compare the sources with what the index holds: what is new, edited, moved, unchanged, gone."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from ragkit.config.schema import Config
from ragkit.errors import ConfigError
from ragkit.ingest.area import Area, path_of, root_of, upwards
from ragkit.ingest.discover import LeftOut, Rejected, Source, discover
from ragkit.ingest.settings import read_with
from ragkit.store.manifest import Entry, Failure, Manifest


def relative_root(root: str, folder: Path) -> str:
    """A root as the manifest keeps it: relative to the index folder, so that a project can move with its index."""
    return os.path.relpath(root, folder.resolve())


def absolute_root(root: str, folder: Path) -> str:
    """A root of the manifest as a path of this machine.

    >>> absolute_root(relative_root("/data/docs", Path("/data/index")), Path("/data/index"))
    '/data/docs'
    """
    return os.path.normpath(folder.resolve() / root)


Change = Literal["new", "edited", "moved"]


@dataclass(slots=True)
class Plan:
    """What a run has to do.

    `replaced` are the names of the edited; `moved` maps the name of a new source to the document that it was;
    `rerooted` gives the new root, by id, of unchanged documents that now belong to another. `failing` are files that an
    earlier run could not read and that are still the same; `remembered` are those and the failures of places that are
    not looked at.
    """

    new: list[Source] = field(default_factory=list[Source])
    edited: list[Source] = field(default_factory=list[Source])
    moved: dict[str, Entry] = field(default_factory=dict[str, Entry])
    gone: list[Entry] = field(default_factory=list[Entry])
    rerooted: dict[str, str] = field(default_factory=dict[str, str])
    replaced: set[str] = field(default_factory=set[str])
    unchanged: int = 0
    rejected: list[Rejected] = field(default_factory=list[Rejected])
    failing: list[Failure] = field(default_factory=list[Failure])
    remembered: list[Failure] = field(default_factory=list[Failure])
    left_out: list[LeftOut] = field(default_factory=list[LeftOut])

    @property
    def is_empty(self) -> bool:
        return not (self.new or self.edited or self.moved or self.gone or self.rerooted)

    def change_of(self, source: Source) -> Change:
        """What bringing a source of `to_parse` in means for the index."""
        if source.name in self.moved:
            return "moved"
        return "edited" if source.name in self.replaced else "new"

    def to_parse(self) -> list[Source]:
        """Sources to read, in the order of their names (the moved ones are among the new)."""
        return sorted([*self.new, *self.edited], key=lambda source: source.name)


def make_plan(
    found: Iterable[Source | Rejected | LeftOut],
    entries: Iterable[Entry],
    area: Area,
    failures: Iterable[Failure] = (),
) -> Plan:
    """Sort the sources into a plan.

    A document is gone if its file is in the `area` that was looked at and was not found; other documents stay. A source
    that failed before and is the same since is not tried again. A source that was found but cannot be read now keeps
    its old version in the index. So do all documents under a folder that cannot be listed, and all rows of a JSON-lines
    file in which a row cannot be read, as any of them might be that row.
    """
    plan = Plan()
    known = {entry.name: entry for entry in entries}
    failed = {failure.name: failure for failure in failures}
    seen: set[str] = set()
    unread: set[str] = set()
    for source in found:
        if isinstance(source, LeftOut):
            plan.left_out.append(source)
            continue
        seen.add(source.name)
        entry = known.get(source.name)
        if isinstance(source, Rejected):
            plan.rejected.append(source)
            if source.keeps is not None:
                unread.add(source.keeps)
        elif entry is not None and entry.state == "done" and entry.content_hash == source.content_hash:
            plan.unchanged += 1
            if entry.root != source.root:
                plan.rerooted[entry.id] = source.root
        elif source.name in failed and failed[source.name].content_hash == source.content_hash:
            plan.failing.append(failed[source.name])
        elif entry is None:
            plan.new.append(source)
        else:
            plan.edited.append(source)
            plan.replaced.add(source.name)

    def looked_at(item: Entry | Failure) -> bool:
        return area.covers(item.name, item.root) and unread.isdisjoint(upwards(path_of(item.name, item.root)))

    plan.remembered = [
        *plan.failing,
        *(item for item in failed.values() if item.name not in seen and not looked_at(item)),
    ]
    plan.gone = [
        entry for entry in known.values() if entry.state == "deleting" or (entry.name not in seen and looked_at(entry))
    ]
    by_hash: dict[str, list[Entry]] = {}
    for entry in plan.gone:
        if entry.state == "done":
            by_hash.setdefault(entry.content_hash, []).append(entry)
    for source in plan.new:
        if alike := by_hash.get(source.content_hash):
            plan.moved[source.name] = alike.pop(0)
    return plan


def plan_run(
    config: Config, paths: Sequence[str | Path], manifest: Manifest | None, *, rebuild: bool, retry: bool
) -> Plan:
    """Look at the sources and at what the index (`manifest`) holds of them.

    `rebuild` plans everything anew, from `paths` and from all that the index was made of; `retry` plans files again
    that could not be read before. Raises ConfigError if there is nothing to look at, and RagkitError as `discover`.
    """
    given = [*(paths or config.ingestion.sources)]
    before = entries_of(config, manifest)
    taken = {entry.name: entry.root for entry in before}
    if rebuild:
        recorded = set(taken.values())
        given = [*sorted(recorded), *(path for path in given if root_of(path) not in recorded)]
    if not given:
        raise ConfigError("nothing to index", mend="name files or folders: ragkit index PATH, or set ingestion.sources")
    found, area = discover(given, config.ingestion, taken), Area(given, config.ingestion, taken)
    if rebuild:
        plan = make_plan(found, [], area)
        names = {source.name for source in plan.new}
        plan.gone = [entry for entry in before if entry.name not in names]
        return plan
    return make_plan(found, before, area, [] if retry else _failures(config, manifest))


def entries_of(config: Config, manifest: Manifest | None) -> list[Entry]:
    """The manifest's documents, their roots as paths of this machine."""
    folder = config.ingestion.store.path
    entries = manifest.entries() if manifest else ()
    return [replace(entry, root=absolute_root(entry.root, folder)) for entry in entries]


def _failures(config: Config, manifest: Manifest | None) -> list[Failure]:
    """Files that failed before and would fail again: the parser and its limits are the same."""
    parsed_with, folder = read_with(config), config.ingestion.store.path
    failures = manifest.failures() if manifest else ()
    return [
        replace(failure, root=absolute_root(failure.root, folder))
        for failure in failures
        if failure.read_with == parsed_with
    ]
