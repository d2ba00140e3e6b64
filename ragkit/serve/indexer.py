"""The worker that brings uploads into the index, several in one run, in a thread of its own."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

from ragkit.errors import IndexLocked, RagkitError
from ragkit.ingest.area import file_of, path_of
from ragkit.ingest.plan import entries_of
from ragkit.ingest.report import IndexReport
from ragkit.serve.systems import Systems
from ragkit.serve.uploads import Upload, Uploads
from ragkit.store.open import open_manifest
from ragkit.system import Ragkit

_log = logging.getLogger("ragkit.serve")

_MOST_AT_ONCE = 50
_LOOK_EVERY_S = 1.0
_WAIT_FOR_WRITER_S = 5.0


class _Interrupted(Exception):
    """A run is given up, since an upload of it was cancelled or the server ends."""


class Indexer:
    """Takes on what waits; one run at a time, as the index has one writer."""

    def __init__(self, systems: Systems, uploads: Uploads) -> None:
        self._systems = systems
        self._uploads = uploads
        self._wake = threading.Event()
        self._stopping = threading.Event()
        # A daemon: a run that does not notice in time is cut off, which the index and the uploads survive.
        self._thread = threading.Thread(target=self._work, name="indexer", daemon=True)

    def start(self) -> None:
        self._uploads.recover()
        self._thread.start()

    def wake(self) -> None:
        """Something waits."""
        self._wake.set()

    def stop(self, wait_s: float) -> None:
        """Give up the run under way; its uploads wait for the next start."""
        self._stopping.set()
        self._wake.set()
        self._thread.join(wait_s)

    def _work(self) -> None:
        while not self._stopping.is_set():
            # Cleared before looking: what comes while the look is taken wakes again.
            self._wake.clear()
            try:
                batch = self._uploads.next_batch(_MOST_AT_ONCE)
                if batch:
                    self._index(batch)
                    continue
            except Exception:
                _log.exception("the indexer of uploads failed; it goes on")
                self._stopping.wait(_LOOK_EVERY_S)
            self._wake.wait(_LOOK_EVERY_S)

    def _index(self, batch: Sequence[Upload]) -> None:
        def told(done: int, total: int, chunks: int) -> None:
            share = done / total if total else 1.0
            if self._uploads.progress(batch, min(share, 0.99)) or self._stopping.is_set():
                raise _Interrupted

        try:
            with self._systems.used() as rag:
                # The whole folder, though only the new is read: it is the root that gives documents their names.
                # By this process: a cluster would take longer to start than most uploads take.
                report = rag.index([self._uploads.folder], wait_s=_WAIT_FOR_WRITER_S, progress=told, engine="local")
                self._close(rag, batch, report)
        except (_Interrupted, IndexLocked):
            self._back(batch)
        except RagkitError as error:
            _log.error("uploads cannot be indexed: %s", error)
            for upload in batch:
                self._uploads.end(upload, "failed", "the index cannot take documents now; the operator's log says why")
        except BaseException:
            self._back(batch)
            raise

    def _back(self, batch: Sequence[Upload]) -> None:
        for upload in batch:
            if self._uploads.is_cancelled(upload):
                self._uploads.end(upload, "cancelled")
            else:
                self._uploads.put_back(upload)

    def _close(self, rag: Ragkit, batch: Sequence[Upload], report: IndexReport) -> None:
        """Note for each upload under which names it is in the index, or why it is not."""
        with open_manifest(rag.config) as manifest:
            names: dict[str, list[str]] = {}
            for entry in entries_of(rag.config, manifest):
                names.setdefault(path_of(entry.name, entry.root), []).append(entry.name)
        reasons = {file_of(name): reason for name, reason in report.failures}
        for upload in batch:
            place = self._uploads.place(upload)
            found = names.get(str(place), [])
            tail = f"/{place.parent.name}/{place.name}"
            reason = next((why for name, why in reasons.items() if f"/{name}".endswith(tail)), "")
            if reason or not found:
                self._uploads.end(upload, "failed", reason or "left out of the index by ingestion.exclude")
            else:
                self._uploads.end(upload, "done", documents=found)
