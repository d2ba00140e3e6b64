"""Which system answers where `ragkit index --blue-green` switches the index to other settings under a process.

A `Ragkit` is of one config, one state of the index and the models that belong to both. When the index is switched,
another one with the settings of the new index is made beside it, loads its models in the background, and takes its
place; until then the index of before answers. `ragkit index --rollback` leads back the same way.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ragkit.errors import IndexSwitched, RagkitError
from ragkit.store.open import Snapshot, open_snapshot

if TYPE_CHECKING:
    from ragkit.config.schema import Config
    from ragkit.store.manifest import Manifest
    from ragkit.system import Ragkit

_log = logging.getLogger("ragkit.index")


class Succession:
    """The system that a process began with (`first`), those that took its place, and which of them is in force."""

    def __init__(self, first: Ragkit) -> None:
        self.first = first
        self._others: list[Ragkit] = []
        self._in_force = first
        self._users: Counter[int] = Counter()
        self._going_over: threading.Thread | None = None
        self._not_followed = ""
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close all but the first, which is in force again."""
        self.arrive()
        with self._lock:
            others, self._others, self._in_force = self._others, [], self.first
        for other in others:
            other.close()

    def follow(self) -> None:
        """Where no index is opened yet: open it, and go over to other settings at once if it was switched to them."""
        if self._in_force.holds_index:
            return
        with self._lock:
            if not self._in_force.holds_index:
                try:
                    self._put_in_force(*self._newest())
                except RagkitError:
                    return  # whoever needs the index is told why it cannot be opened

    @contextmanager
    def in_force(self) -> Generator[Ragkit]:
        """The system in force, which keeps its index and models for as long as the block runs."""
        with self._lock:
            system = self._in_force
            self._users[id(system)] += 1
        try:
            yield system
        finally:
            with self._lock:
                self._users[id(system)] -= 1
                if not self._users[id(system)] and system is not self._in_force:
                    system.let_go()

    def now(self) -> Ragkit:
        """The system in force for a change of the index, which cannot be made by the settings of before: where the
        index was switched while this process searched it, the switch is waited for."""
        if self._in_force.holds_index:
            with self.in_force() as system:
                try:
                    system.snapshot()
                except RagkitError:
                    return system
                self.arrive()
        return self._in_force

    def go_over(self) -> None:
        """Load the models of an index with other settings in the background, then let its system take its place. What
        fails is told once for each state of the index."""
        with self._lock:
            if self._going_over is not None:
                return
            from ragkit.store.folder import current_generation

            state = str(current_generation(self.first.config.ingestion.store.path))
            if state == self._not_followed:
                return
            self._going_over = threading.Thread(target=self._load_and_switch, args=(state,), name="follow", daemon=True)
            self._going_over.start()

    def arrive(self) -> None:
        """Wait for the end of a switch that goes on."""
        going_over = self._going_over
        if going_over is not None:
            going_over.join()

    def _load_and_switch(self, state: str) -> None:
        snapshot: Snapshot | None = None
        try:
            system, snapshot = self._newest()
            system.embedder.embed_question("warm")
            _ = system.reranker, system.generator, system.reader
            system.warm_router()
        except Exception as error:
            if snapshot is not None:
                snapshot.close()
            self._not_followed = state
            faulty = None if isinstance(error, RagkitError) else error
            _log.error("the index was switched, and this process stays with the one before: %s", error, exc_info=faulty)
        else:
            with self._lock:
                self._put_in_force(system, snapshot)
        finally:
            with self._lock:
                self._going_over = None

    def _put_in_force(self, system: Ragkit, snapshot: Snapshot) -> None:
        """The caller holds the lock."""
        system.take(snapshot)
        before, self._in_force = self._in_force, system
        if before is not system:
            _log.warning(
                "the index was switched, and is searched with its own settings from here on (%s)", system.config_hash
            )
            if not self._users[id(before)]:
                before.let_go()

    def _newest(self) -> tuple[Ragkit, Snapshot]:
        """The index as it is now, and the system with its settings. Raises as `Ragkit.snapshot` does, ConfigError where
        the config does not go with those settings, and ModelError where their model is not here."""
        found: list[Ragkit] = []

        def chosen(manifest: Manifest) -> Config:
            found.append(self._system_for(manifest))
            return found[0].config

        snapshot = open_snapshot(self.first.config, chosen)
        return found[0], snapshot

    def _system_for(self, manifest: Manifest) -> Ragkit:
        from ragkit.ingest.settings import as_built

        for system in (self.first, *self._others):
            if system.has_settings(manifest):
                return system
        try:
            self.first.check(manifest)
        except IndexSwitched:
            other = self.first.beside(as_built(self.first.config, manifest))
            other.check(manifest)
            # Kept with its models to the end: a rollback needs them at once.
            self._others.append(other)
            return other
        return self.first
