"""A circuit breaker: an endpoint that fails is left alone for a while, then one call tries whether it works again.

closed     calls go through; when too many in a row have failed, and half of those begun meanwhile, it opens
open       no call goes through until its time is over
half open  exactly one call goes through, the probe; it closes the breaker or opens it again

What a call that began under another state tells is not counted: it says nothing about the endpoint as it is now.
"""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass
from typing import Literal

from ragkit.config.routing import Breaker as Settings
from ragkit.gateway.deadline import Clock
from ragkit.gateway.streak import Streak

State = Literal["closed", "open", "half_open"]


@dataclass(frozen=True, slots=True)
class Permit:
    """Leave for one call. Hand it back with `Breaker.record`, whatever comes of the call."""

    turn: int
    probe: bool = False


class Breaker:
    """The state of one endpoint; safe to use from several threads and event loops.

    >>> now = 0.0
    >>> breaker = Breaker(Settings(failures=2, open_s=10.0), lambda: now)
    >>> for _ in range(2):
    ...     _ = breaker.record(breaker.permit(), worked=False)
    >>> breaker.state, breaker.permit()
    ('open', 10.0)
    >>> now = 10.0
    >>> probe = breaker.permit()
    >>> breaker.permit()  # another one, while the probe is under way
    inf
    >>> breaker.record(probe, worked=True)
    True
    >>> breaker.state
    'closed'
    """

    def __init__(self, settings: Settings, clock: Clock = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._lock = threading.Lock()
        self._turn = 0
        self._open_until: float | None = None
        self._probing = False
        self._failed = Streak()
        self._under_way = 0

    @property
    def state(self) -> State:
        with self._lock:
            if self._open_until is None:
                return "closed"
            return "open" if self._clock() < self._open_until else "half_open"

    def permit(self) -> Permit | float:
        """Leave for a call, or the moment when it is worth asking again; `inf`: when the probe has told."""
        with self._lock:
            if self._open_until is None:
                self._under_way += 1
                self._failed.begun()
                return Permit(self._turn)
            if self._clock() < self._open_until:
                return self._open_until
            if self._probing:
                return math.inf
            self._probing = True
            return Permit(self._turn, probe=True)

    def record(self, permit: Permit | float, worked: bool | None) -> bool:
        """What came of a call: whether the endpoint worked, None if the call says nothing about that.

        Returns whether that was the probe: who waits for it should look again.
        """
        with self._lock:
            if not isinstance(permit, Permit) or permit.turn != self._turn:
                return False
            if permit.probe:
                self._probing = False
                if worked is False:
                    self._open()
                elif worked:
                    self._close()
                return True
            if worked is False:
                self._failed.happened(self._under_way)
            elif worked:
                self._failed.good()
            self._under_way -= 1
            if self._failed.bad >= self._settings.failures and self._failed.is_most:
                self._open()
            return False

    def _open(self) -> None:
        self._open_until = self._clock() + self._settings.open_s
        self._next_turn()

    def _close(self) -> None:
        self._open_until = None
        self._next_turn()

    def _next_turn(self) -> None:
        self._turn += 1
        self._failed = Streak()
        self._under_way = 0
