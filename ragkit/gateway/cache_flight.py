"""One at a time of what is the same: who comes while another is at it waits for that one instead of doing it too.

Works for threads and event loops alike, mixed as they come: the one that leads ends a `concurrent.futures.Future`, on
which a thread blocks and which an event loop awaits without a thread.
"""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from typing import Literal

Outcome = Literal["done", "failed", "left"]
"""How the one that led ended: with something to share, without, or it was cancelled, and somebody else should lead."""


class Flights:
    """Those under way, by key.

    >>> flights = Flights()
    >>> flights.join("a") is None  # leads
    True
    >>> waiting = flights.join("a")
    >>> flights.end("a", "done"); waiting.result(), flights.join("a")
    ('done', None)
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._under_way: dict[str, Future[Outcome]] = {}

    def join(self, key: str) -> Future[Outcome] | None:
        """None for who leads, and must call `end`; else what tells how the one that leads ended."""
        with self._lock:
            found = self._under_way.get(key)
            if found is None:
                future = self._under_way[key] = Future[Outcome]()
                future.set_running_or_notify_cancel()  # one that stops waiting cancels it for nobody else
            return found

    def end(self, key: str, outcome: Outcome) -> None:
        with self._lock:
            future = self._under_way.pop(key)
        future.set_result(outcome)


def wait(other: Future[Outcome], seconds: float) -> Outcome:
    """Block this thread until the one that leads has ended; "failed" after so many seconds."""
    try:
        return other.result(max(seconds, 0.0))
    except TimeoutError:
        return "failed"


async def await_(other: Future[Outcome], seconds: float) -> Outcome:
    """`wait` for an event loop."""
    try:
        return await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(other)), max(seconds, 0.0))
    except TimeoutError:
        return "failed"
