"""Take documents out of an index, and prove that they are gone by reading it back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ragkit.config.schema import Bm25, Config
from ragkit.errors import ConfigError
from ragkit.ingest.area import lies_in, path_of, root_of
from ragkit.ingest.plan import entries_of
from ragkit.ingest.report import Receipt
from ragkit.ingest.write import delete, reweigh
from ragkit.store.folder import VECTORS, writer_lock
from ragkit.store.manifest import Entry, Manifest
from ragkit.store.open import editing, open_manifest, open_snapshot


def delete_documents(
    config: Config, names: Sequence[str] = (), *, paths: Sequence[str | Path] = (), wait_s: float = 0.0
) -> Receipt:
    """Take documents out of the index by their names, or all that came from `paths`, there or not.

    The receipt counts what is left of them, read back; an older generation that was kept for a rollback goes, since it
    holds them too. Raises ConfigError for a name or a path that the index holds
    nothing of, before anything is deleted.
    """
    with writer_lock(config.ingestion.store.path, wait_s):
        with open_manifest(config) as manifest:
            held = entries_of(config, manifest)
            config = _as_built(config, manifest)
        entries = _named(held, names, paths)
        with editing(config, fresh=False) as edit:
            delete(edit, entries)
            reweigh(edit, None)
            deleted = {entry.name for entry in entries}
            edit.forget_kept()
            edit.manifest.set_failures(item for item in edit.manifest.failures() if item.name not in deleted)
            edit.publish()
    return receipt_for(config, [entry.id for entry in entries])


def receipt_for(config: Config, document_ids: Sequence[str]) -> Receipt:
    """Count what is left of deleted documents, by opening the index as a reader does."""
    snapshot = open_snapshot(config)
    try:
        vectors = sum(snapshot.store.count(document_id=identity) for identity in document_ids)
        terms = sum(snapshot.store.count(document_id=identity, vector="bm25") for identity in document_ids)
        rows = sum(1 for identity in document_ids if snapshot.manifest.document(identity) is not None)
    finally:
        snapshot.close()
    folder = config.ingestion.store.path
    old = [path for path in folder.glob("gen-*") if path.name != snapshot.generation]
    files = [*old, *(path for path in (folder / VECTORS, folder / "building") if path.exists())]
    return Receipt(len(document_ids), vectors, terms, rows, len(files))


def _named(held: Sequence[Entry], names: Sequence[str], paths: Sequence[str | Path]) -> list[Entry]:
    by_name = {entry.name: entry for entry in held}
    chosen: dict[str, Entry] = {}
    for name in names:
        if name not in by_name:
            raise ConfigError(f"the index holds no document named {name!r}", mend="see: ragkit inspect")
        chosen[name] = by_name[name]
    for path in paths:
        place = root_of(path)
        under = {entry.name: entry for entry in held if lies_in(path_of(entry.name, entry.root), place)}
        if not under:
            roots = ", ".join(sorted({entry.root for entry in held})) or "nothing"
            raise ConfigError(f"the index holds nothing from {str(path)!r}", mend=f"it was made from: {roots}")
        chosen |= under
    return list(chosen.values())


def _as_built(config: Config, manifest: Manifest | None) -> Config:
    """The config with the BM25 settings that the index was built with: deleting must work under any settings."""
    built: dict[str, Any] = (manifest.meta("settings") if manifest else None) or {}
    prefix = "retrieval.bm25."
    values = {key.removeprefix(prefix): value for key, value in built.items() if key.startswith(prefix)}
    retrieval = config.retrieval.model_copy(update={"bm25": Bm25.model_validate(values)})
    return config.model_copy(update={"retrieval": retrieval})
