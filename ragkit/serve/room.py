"""Room for requests: so many at work, so many waiting, and no more, so that nobody waits without end."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager


class Full(Exception):
    """There is no room; it may be tried again later."""


class Room:
    """Counts requests at work and lets others wait in the order in which they came. For one event loop."""

    def __init__(self) -> None:
        self.at_work = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @asynccontextmanager
    async def taken(self, most: int, waiting: int) -> AsyncGenerator[None]:
        """A place among `most` at work, after a wait where `waiting` others may wait too. Raises Full."""
        if self.at_work >= most or self._waiting:
            if len(self._waiting) >= waiting:
                raise Full
            place = asyncio.get_running_loop().create_future()
            self._waiting.append(place)
            try:
                await place
            except asyncio.CancelledError:
                if place in self._waiting:
                    self._waiting.remove(place)
                elif place.done() and not place.cancelled():
                    self._pass_on()  # the place was given in the same moment
                raise
        else:
            self.at_work += 1
        try:
            yield
        finally:
            self._pass_on()

    def _pass_on(self) -> None:
        """Give a place that is free to whoever waited longest."""
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(None)
                return
        self.at_work -= 1


class Shares:
    """Requests at work by whose they are."""

    def __init__(self) -> None:
        self._at_work: Counter[str] = Counter()

    @contextmanager
    def taken(self, whose: str, most: int) -> Generator[None]:
        """A place among the `most` of somebody. Raises Full."""
        if self._at_work[whose] >= most:
            raise Full
        self._at_work[whose] += 1
        try:
            yield
        finally:
            self._at_work[whose] -= 1
            if not self._at_work[whose]:
                del self._at_work[whose]
