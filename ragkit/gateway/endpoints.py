"""Endpoints as all requests share them: who may call one now, and who is told when that changes.

An endpoint takes a call when it does not rest (`Retry-After`), has room (`max_concurrent`) and its breaker is closed.
A request that is told to come back later does; the others wait with it unless the endpoint serves most of them.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ragkit.config.routing import Endpoint as Settings
from ragkit.config.routing import Routing
from ragkit.config.schema import Generation
from ragkit.gateway.breaker import Breaker, Permit, State
from ragkit.gateway.deadline import Clock
from ragkit.gateway.streak import Streak

if TYPE_CHECKING:
    from ragkit.generate import Generator

Make = Callable[[Generation], "Generator"]


class Changes:
    """Wakes those who wait for an endpoint when one can take calls again; across threads and event loops.

    Read `version` before looking, so that no change between the look and the wait is missed.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[asyncio.Future[None], asyncio.AbstractEventLoop] = {}
        self.version = 0

    def tell(self) -> None:
        with self._lock:
            self.version += 1
            waiting, self._waiting = self._waiting, {}
        for future, loop in waiting.items():
            with suppress(RuntimeError):  # that loop is closed
                loop.call_soon_threadsafe(_wake, future)

    async def wait(self, seconds: float, version: int) -> None:
        """Until something changes after `version`, at most so many seconds."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        with self._lock:
            if version != self.version:
                return
            self._waiting[future] = loop
        try:
            await asyncio.wait([future], timeout=seconds)
        finally:
            with self._lock:
                self._waiting.pop(future, None)


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


@dataclass(frozen=True, slots=True)
class Entry:
    """A call of an endpoint that may begin. Leave it once, whatever comes of it."""

    endpoint: Endpoint
    permit: Permit

    def leave(self, worked: bool | None, rest_s: float = 0.0) -> None:
        """The call is over: whether the endpoint worked, None if that is not known, and how long it asks to be left
        alone."""
        self.endpoint.left(self.permit, worked, rest_s)


class Endpoint:
    """One endpoint: its settings, its generator (made at its first use), its breaker, its calls under way."""

    def __init__(
        self,
        settings: Settings,
        generation: Generation,
        routing: Routing,
        make: Make,
        changes: Changes,
        clock: Clock = time.monotonic,
    ) -> None:
        self.settings = settings
        self.name = settings.name
        self.generation = settings.over(generation)
        self._make = make
        self._changes = changes
        self._clock = clock
        self._breaker = Breaker(routing.breaker, clock)
        self._lock = threading.Lock()
        self._making = threading.Lock()
        self._generator: Generator | None = None
        self._under_way = 0
        self._rests_until = 0.0
        self._refused = Streak()

    @property
    def state(self) -> State:
        """That of its breaker."""
        return self._breaker.state

    @property
    def under_way(self) -> int:
        """Calls that have begun and are not over."""
        return self._under_way

    @property
    def made(self) -> Generator | None:
        """Its generator, None as long as nobody has used it."""
        return self._generator

    def enter(self) -> Entry | float:
        """Leave for one call, or the moment when it is worth asking again; `inf`: when something changes."""
        most = self.settings.max_concurrent
        with self._lock:
            if self._clock() < self._rests_until:
                return self._rests_until
            if most is not None and self._under_way >= most:
                return math.inf
            permit = self._breaker.permit()
            if not isinstance(permit, Permit):
                return permit
            self._under_way += 1
            self._refused.begun()
            return Entry(self, permit)

    def left(self, permit: Permit, worked: bool | None, rest_s: float) -> None:
        """What `Entry.leave` does."""
        with self._lock:
            was_full = self._under_way == self.settings.max_concurrent
            if rest_s > 0:
                self._refused.happened(self._under_way)
                if self._refused.is_most:
                    self._rests_until = max(self._rests_until, self._clock() + rest_s)
            elif worked:
                self._refused.good()
            self._under_way -= 1
            freed = self._breaker.record(permit, worked)
        if was_full or freed:
            self._changes.tell()

    def make(self) -> Generator:
        """Its generator; loads a model or opens a client at the first call. Raises what `make_generator` does."""
        with self._making:
            if self._generator is None:
                self._generator = self._make(self.generation)
            return self._generator

    async def generator(self) -> Generator:
        """`make` without blocking the event loop."""
        return self._generator or await asyncio.to_thread(self.make)
