"""The `Ragkit` that requests use now; after a reload another one, while requests under way keep theirs to their end."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from ragkit.config.schema import Config
from ragkit.errors import RagkitError
from ragkit.store.open import NoIndex
from ragkit.system import Ragkit

_log = logging.getLogger("ragkit.serve")

Source = Callable[[], Config]
"""Reads the config anew. Raises ConfigError."""


IndexState = Literal["open", "none", "unusable"]


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether the models are loaded and have worked once, and how the index is: open, not there yet, or unusable."""

    models: bool = False
    index: IndexState = "none"

    @property
    def ready(self) -> bool:
        return self.models and self.index != "unusable"


class Systems:
    """Hands out the current system, counts who uses it, and closes an old one with its last user."""

    def __init__(self, rag: Ragkit, source: Source | None = None, *, owned: bool) -> None:
        self._current = rag
        self._source = source
        self._owned = owned
        self._users: dict[int, int] = {}
        self._retired: dict[int, Ragkit] = {}
        self._lock = threading.Lock()
        self._reloading = asyncio.Lock()
        self.readiness = Readiness()

    @property
    def current(self) -> Ragkit:
        return self._current

    @contextmanager
    def used(self) -> Generator[Ragkit]:
        """The current system, as the index has it now (`Ragkit.in_force`), kept open for as long as the block runs."""
        with self._lock:
            rag = self._current
            self._users[id(rag)] = self._users.get(id(rag), 0) + 1
        try:
            with rag.in_force() as system:
                yield system
        finally:
            with self._lock:
                self._users[id(rag)] -= 1
                last = None if self._users[id(rag)] else self._retired.pop(id(rag), None)
            if last is not None:
                last.close()

    async def warm(self) -> None:
        """Load the models of the current system and note whether it can answer."""
        self.readiness = await asyncio.to_thread(warmed, self._current)

    async def look(self) -> Readiness:
        """Whether the current system can answer, with the index as it is now."""
        if self.readiness.models:
            self.readiness = Readiness(True, await asyncio.to_thread(index_state, self._current))
        return self.readiness

    async def reload(self) -> None:
        """Read the config again and go over to it; the old one stays if the new one does not do."""
        if self._source is None:
            return
        async with self._reloading:
            try:
                config = await asyncio.to_thread(self._source)
                if config.serve.folder != self._current.config.serve.folder:
                    raise RagkitError("another serve.folder needs a new start")
                fresh = Ragkit(config)
                readiness = await asyncio.to_thread(warmed, fresh)
                if not readiness.ready:
                    raise RagkitError("its models or its index cannot be used")
            except RagkitError as error:
                _log.error("the config was not reloaded, the one before stays: %s", error)
                return
            except Exception:
                _log.exception("the config was not reloaded, the one before stays")
                return
            with self._lock:
                old, self._current = self._current, fresh
                busy = self._users.get(id(old), 0) > 0
                if busy and self._owned:
                    self._retired[id(old)] = old
            if self._owned and not busy:
                await asyncio.to_thread(old.close)
            self._owned, self.readiness = True, readiness
            _log.info("the config was reloaded: %s", fresh.config_hash)

    def close(self) -> None:
        if self._owned:
            self._current.close()


def warmed(rag: Ragkit) -> Readiness:
    """Load what a question needs, and run the embedding model once."""
    try:
        state = index_state(rag)
        with rag.in_force() as system:
            system.embedder.embed_question("warm")
            _ = system.reranker, system.generator
            system.warm_router()
            if state == "open":
                _run_once(system)
    except RagkitError as error:
        _log.error("the models cannot be loaded: %s", error)
        return Readiness()
    except Exception:  # nobody waits for this: what is not told here is never told
        _log.exception("the models cannot be loaded")
        return Readiness()
    return Readiness(True, state)


def _run_once(rag: Ragkit) -> None:
    """Search, and let a model on this machine answer: the first run of each takes longest. An API is not paid for."""
    from ragkit.retrieve.retriever import retrieve

    # Not `rag.search`, which is charged and may be over a budget.
    plain = rag.config.retrieval.changed({"transforms": [], "top_k": 1})
    found = retrieve("warm", rag.snapshot().store, rag.embedder, plain, rag.reranker).results
    if found and rag.config.generation.backend != "openai" and not rag.config.routing.endpoints:
        rag.generator.generate("warm", found)


def index_state(rag: Ragkit) -> IndexState:
    """Whether the index can be read."""
    try:
        rag.follow()
        with rag.in_force() as system:
            system.snapshot()
    except NoIndex:
        return "none"
    except RagkitError as error:
        _log.error("the index cannot be opened: %s", error)
        return "unusable"
    return "open"
