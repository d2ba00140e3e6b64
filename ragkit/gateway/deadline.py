"""The moment until which a request must be answered; everything that it does gets what is left of that."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

Clock = Callable[[], float]
"""Seconds that never go back, as `time.monotonic` counts them and event loops do."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment of a clock.

    >>> Deadline.after(5.0, lambda: 100.0).left()
    5.0
    """

    at: float
    clock: Clock = time.monotonic

    @classmethod
    def after(cls, seconds: float, clock: Clock = time.monotonic) -> Deadline:
        return cls(clock() + seconds, clock)

    def left(self) -> float:
        """Seconds until then, at least 0."""
        return max(0.0, self.at - self.clock())
