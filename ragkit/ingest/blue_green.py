"""Another index beside the one that is searched, taken over in one step, and the way back.

    build ─ verify ─ switch, keeping the old one ─ (roll back)

The new index is built as `--rebuild` builds one, beside the current generation, which is searched all the while. It
becomes current by one rename, as every generation does. What is published with it says which settings it succeeds, so
that processes which have those may go over (`ragkit.system`), and that the generation before is kept for a while.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ragkit.config.schema import Config
from ragkit.embed import Embedder
from ragkit.errors import StoreError
from ragkit.ingest.index import Progress, build_index
from ragkit.ingest.report import IndexReport
from ragkit.ingest.settings import as_built, succession
from ragkit.store import StoreReader
from ragkit.store.folder import (
    MANIFEST,
    current_generation,
    keep_current,
    kept_generation,
    publish,
    start_building,
    writer_lock,
)
from ragkit.store.manifest import Manifest
from ragkit.store.open import Edit, NoIndex, clear_up, give_up, open_manifest, open_snapshot, removal

GRACE_S = 24 * 3600.0
"""How long the old index is kept where nobody says: a day shows most of what an evaluation did not."""


@dataclass(frozen=True, slots=True)
class Side:
    """One of two indexes that are compared, with the config that it is searched with."""

    config: Config
    store: StoreReader
    manifest: Manifest


Verify = Callable[[Side, Side], None]
"""Gets the old index and the new one; raises if the new one is not to take its place."""


@dataclass(frozen=True, slots=True)
class Back:
    """What a rollback did: the settings that are other ones now, as "key: before → now"; how many documents of before
    it lacks or has in another version; and until when the index that it replaced is kept."""

    settings: tuple[str, ...]
    behind: int
    kept_until: float


def built_before(config: Config) -> Config:
    """The config with the settings of the index that there is.

    Raises NoIndex where there is nothing to put another index beside, and ConfigError where the rest of the config does
    not go with those settings.
    """
    with open_manifest(config) as manifest:
        if manifest is None:
            raise NoIndex(f"there is no index at {config.ingestion.store.path}", mend="run: ragkit index PATH")
        return as_built(config, manifest)


def switch_index(
    config: Config,
    paths: Sequence[str | Path] = (),
    *,
    verify: Verify | None = None,
    grace_s: float = GRACE_S,
    embedder: Embedder | None = None,
    retry: bool = False,
    wait_s: float = 0.0,
    progress: Progress | None = None,
) -> tuple[IndexReport, float]:
    """Build the index that this config asks for and let it take the place of the current one, unless `verify` raises;
    the report, and the time (seconds since 1970) until which the old one is kept.

    Whatever is raised leaves the current index as it was. The new one is thrown away then; its vectors stay until the
    next run, so that another try does not compute them again. Raises as `build_index` and `built_before` do.
    """
    before = built_before(config)
    kept_until = 0.0

    def finish(edit: Edit) -> None:
        nonlocal kept_until
        edit.store.finish()
        old = open_snapshot(before)
        try:
            if verify is not None:
                verify(Side(before, old.store, old.manifest), Side(config, edit.store, edit.manifest))
            edit.manifest.set_meta("succeeds", succession(old.manifest, edit.manifest.meta("settings")))
        finally:
            old.close()
        kept_until = time.time() + grace_s
        edit.keep_current(kept_until)

    # Words first would publish an index without vectors.
    ingestion = config.ingestion.model_copy(update={"progressive": False})
    whole = config.model_copy(update={"ingestion": ingestion})
    report = build_index(
        whole, paths, embedder=embedder, rebuild=True, retry=retry, wait_s=wait_s, progress=progress, finish=finish
    )
    return report, kept_until


def roll_back(config: Config, *, grace_s: float = GRACE_S, wait_s: float = 0.0) -> Back:
    """Make the generation that is kept beside the current one current again, as a copy, and keep the one it replaces.

    On a server no chunk is copied: the copy has the collection of the one that was kept. Raises NoIndex, and StoreError
    where none is kept.
    """
    folder = config.ingestion.store.path
    if current_generation(folder) is None:
        raise NoIndex(f"there is no index at {folder}", mend="run: ragkit index PATH")
    with writer_lock(folder, wait_s):
        clear_up(config)
        current, kept = current_generation(folder), kept_generation(folder)
        if current is None or kept is None:
            raise StoreError(
                f"there is nothing to roll back to at {folder}",
                mend="`ragkit index --blue-green` keeps the old index, until its time is up, documents are deleted, or"
                " all is built anew",
            )
        # A copy has the next number: no two states of an index ever have one name.
        building = start_building(folder, fresh=False, source=kept[0])
        kept_until = time.time() + grace_s
        try:
            with (
                closing(Manifest(building / MANIFEST)) as manifest,
                closing(Manifest(current / MANIFEST, mode="ro")) as replaced,
            ):
                settings: dict[str, Any] = manifest.meta("settings") or {}
                manifest.set_meta("succeeds", succession(replaced, settings))
                changed = _changed(replaced.meta("settings") or {}, settings)
                behind = len(_documents(replaced) - _documents(manifest))
            keep_current(folder, kept_until)
            publish(folder, removing=removal(config))
        except BaseException:
            give_up(config)
            raise
    return Back(changed, behind, kept_until)


def _changed(before: Mapping[str, object], now: Mapping[str, object]) -> tuple[str, ...]:
    keys = [key for key in {**before, **now} if before.get(key) != now.get(key)]
    return tuple(f"{key}: {json.dumps(before.get(key))} → {json.dumps(now.get(key))}" for key in keys)


def _documents(manifest: Manifest) -> set[tuple[str, str]]:
    return {(entry.name, entry.content_hash) for entry in manifest.entries()}
