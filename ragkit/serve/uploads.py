"""Uploaded documents on their way into the index: where they lie, who sent them, how far they are.

queued -> indexing -> done | failed | cancelled. An upload is taken on once its bytes are on the disk and its row is
written; from then on it survives a restart. Until it is indexed it lies in `incoming/ID`, so that a document that is
uploaded again stays as it was until its turn comes; `incoming/ID.before` keeps the version before, for a way back.
"""

from __future__ import annotations

import json
import os
import re
import sqlite3
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Literal

from ragkit.durable import sync
from ragkit.ingest.owner import NOBODYS, uploads_of
from ragkit.serve.access import Caller
from ragkit.serve.database import Database, plain
from ragkit.serve.problems import Problem

State = Literal["queued", "indexing", "done", "failed", "cancelled"]
_COLUMNS = "id, tenant, key, name, bytes, state, cancel, progress, reason, documents, created, changed"
_LONGEST_NAME = 150
_MOST_NAMED = 100


@dataclass(frozen=True, slots=True)
class Upload:
    """One upload. `progress` goes from 0 to 1; `documents` are the names that it has in the index."""

    id: str
    tenant: str
    key: str
    name: str
    bytes: int
    state: State
    cancel: bool
    progress: float
    reason: str
    documents: tuple[str, ...]
    created: float
    changed: float


class Uploads:
    """The uploads of a server, on disk."""

    def __init__(self, database: Database, serve_folder: Path) -> None:
        self._database = database
        self.folder = uploads_of(serve_folder)
        self._incoming = self.folder.parent / "incoming"
        for folder in (self.folder, self._incoming):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    # --- callers -----------------------------------------------------------------------------------------------

    def add(self, caller: Caller, name: str, content: BinaryIO, most_waiting: int) -> Upload:
        """Take a document on. Raises Problem (429) if too many of the tenant wait already."""
        waiting = self._database.row(
            "SELECT count(*) FROM uploads WHERE tenant = ? AND state IN ('queued', 'indexing')", (caller.tenant,)
        )
        if waiting is not None and waiting[0] >= most_waiting:
            raise Problem(429, "too_many_uploads", f"{waiting[0]} uploads are waiting already", retry_after=10)
        identity, now = uuid.uuid4().hex, time.time()
        size = _kept(content, self._incoming / identity)
        if size == 0:
            (self._incoming / identity).unlink()
            raise Problem(400, "empty_file", f"{name} is empty")
        self._database.write(
            f"INSERT INTO uploads ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, 'queued', 0, 0, '', '[]', ?, ?)",
            (identity, caller.tenant, caller.name, name, size, now, now),
        )
        return self._get(identity)

    def find(self, caller: Caller, identity: str) -> Upload | None:
        """An upload of the caller's tenant."""
        row = self._database.row(f"SELECT {_COLUMNS} FROM uploads WHERE id = ?", (identity,))
        return _upload(row) if row is not None and caller.tenant in ("", row["tenant"]) else None

    def listed(self, caller: Caller, most: int) -> list[Upload]:
        """The last uploads of the caller's tenant, newest first."""
        mine, values = ("tenant = ?", [caller.tenant]) if caller.tenant else ("1", [])
        rows = self._database.rows(
            f"SELECT {_COLUMNS} FROM uploads WHERE {mine} ORDER BY created DESC, rowid DESC LIMIT ?", (*values, most)
        )
        return [_upload(row) for row in rows]

    def cancel(self, upload: Upload) -> Upload:
        """Stop an upload: at once if it waits, else as soon as the indexer notices. What is over stays as it is."""
        with self._database.transaction():
            waiting = self._database.write(
                "UPDATE uploads SET state = 'cancelled', changed = ? WHERE id = ? AND state = 'queued'",
                (time.time(), upload.id),
            )
            self._database.write("UPDATE uploads SET cancel = 1 WHERE id = ? AND state = 'indexing'", (upload.id,))
        if waiting:
            (self._incoming / upload.id).unlink(missing_ok=True)
        return self._get(upload.id)

    # --- the indexer -------------------------------------------------------------------------------------------

    def recover(self) -> None:
        """After a start: what was being indexed when the server ended waits again; what was never taken on goes."""
        for row in self._database.rows(f"SELECT {_COLUMNS} FROM uploads WHERE state = 'indexing'"):
            self.put_back(_upload(row))
        known = {row[0] for row in self._database.rows("SELECT id FROM uploads WHERE state = 'queued'")}
        for path in self._incoming.iterdir():
            if path.name not in known:
                path.unlink()

    def next_batch(self, most: int) -> list[Upload]:
        """The uploads that waited longest, each name once, moved to where they are indexed from."""
        rows = self._database.rows(
            f"SELECT {_COLUMNS} FROM uploads WHERE state = 'queued' ORDER BY created, rowid LIMIT ?", (most,)
        )
        batch: dict[Path, Upload] = {}
        for upload in map(_upload, rows):
            batch.setdefault(self.place(upload), upload)
        return [upload for upload in batch.values() if self._take_on(upload)]

    def place(self, upload: Upload) -> Path:
        """Where an upload lies when it is in the index."""
        return self.folder / (upload.tenant or NOBODYS) / upload.name

    def _take_on(self, upload: Upload) -> bool:
        if not self._state(upload, "queued", "indexing"):
            return False  # cancelled in the meantime
        place, waiting = self.place(upload), self._incoming / upload.id
        place.parent.mkdir(exist_ok=True, mode=0o700)
        if place.exists():
            place.replace(self._before(upload))
        waiting.replace(place)
        sync(place.parent)
        return True

    def put_back(self, upload: Upload) -> None:
        """Let an upload that was being indexed wait again."""
        if self._take_back(upload):
            self._state(upload, "indexing", "queued")
        else:
            self.end(upload, "failed", "its file is gone; upload it again")

    def _take_back(self, upload: Upload) -> bool:
        """Undo `_take_on`, however far it came; False if the file is gone."""
        place, waiting = self.place(upload), self._incoming / upload.id
        if not waiting.exists() and place.exists():
            place.replace(waiting)
        if self._before(upload).exists():
            self._before(upload).replace(place)
        return waiting.exists()

    def end(self, upload: Upload, state: State, reason: str = "", documents: Sequence[str] = ()) -> None:
        """Close an upload. Unless it is done its file goes, and the version before comes back.

        The files come first, for a kill before the row is written leaves an upload that is done again.
        """
        if state != "done":
            self._take_back(upload)
        named = json.dumps(list(documents[:_MOST_NAMED]))
        self._database.write(
            "UPDATE uploads SET state = ?, reason = ?, documents = ?, progress = ?, changed = ? WHERE id = ?",
            (state, reason, named, 1.0 if state == "done" else 0.0, time.time(), upload.id),
        )
        for path in (self._incoming / upload.id, self._before(upload)):
            path.unlink(missing_ok=True)

    def progress(self, uploads: Sequence[Upload], share: float) -> bool:
        """Note how far a batch is; True if one of it is to be cancelled."""
        marks = ", ".join("?" for _ in uploads)
        identities = [upload.id for upload in uploads]
        self._database.write(
            f"UPDATE uploads SET progress = ?, changed = ? WHERE id IN ({marks})", (share, time.time(), *identities)
        )
        row = self._database.row(f"SELECT max(cancel) FROM uploads WHERE id IN ({marks})", identities)
        return bool(row is not None and row[0])

    def is_cancelled(self, upload: Upload) -> bool:
        return self._get(upload.id).cancel

    def counts(self) -> dict[str, int]:
        """How many uploads are in each state."""
        return {row[0]: row[1] for row in self._database.rows("SELECT state, count(*) FROM uploads GROUP BY state")}

    def aside(self, identity: str) -> Path:
        """A place for a file that is being deleted; what is left there goes at the next start."""
        return self._incoming / identity

    def _before(self, upload: Upload) -> Path:
        return self._incoming / f"{upload.id}.before"

    def _get(self, identity: str) -> Upload:
        row = self._database.row(f"SELECT {_COLUMNS} FROM uploads WHERE id = ?", (identity,))
        if row is None:
            raise RuntimeError(f"the upload {identity} is gone from the database")
        return _upload(row)

    def _state(self, upload: Upload, before: State, after: State) -> bool:
        changed = self._database.write(
            "UPDATE uploads SET state = ?, progress = 0, changed = ? WHERE id = ? AND state = ?",
            (after, time.time(), upload.id, before),
        )
        return changed == 1


def checked_file_name(given: str, types: Sequence[str]) -> str:
    """The name under which an upload is kept. Raises Problem (400, 415) for one that no document has.

    >>> checked_file_name("Report 2026.PDF", [".pdf"])
    'Report 2026.PDF'
    """
    name = re.split(r"[\\/]", given)[-1].strip()
    whole = bool(name) and not name.startswith(".") and name.isprintable() and len(name.encode()) <= _LONGEST_NAME
    if not whole or any(sign in name for sign in '#*?[]"<>|:'):
        raise Problem(400, "bad_name", 'the name of the file is none that is kept: no dot in front, no #*?[]"<>|:')
    suffix = PurePosixPath(name).suffix.lower()
    if suffix not in types:
        raise Problem(
            415, "type_not_allowed", f"files of type {suffix or 'none'!s} are not taken; only {', '.join(types)}"
        )
    return name


def _kept(content: BinaryIO, path: Path) -> int:
    """Write everything to the disk and return how many bytes it was."""
    size = 0
    with path.open("wb") as file:
        while piece := content.read(1 << 20):
            size += file.write(piece)
        file.flush()
        os.fsync(file.fileno())
    sync(path.parent)
    return size


def _upload(row: sqlite3.Row) -> Upload:
    fields = plain(row)
    fields |= {"cancel": bool(fields["cancel"]), "documents": tuple(json.loads(fields["documents"]))}
    return Upload(**fields)
