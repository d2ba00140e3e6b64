"""Medians, spreads and ratios of what was measured. A ratio is taken within a round, where both ran one after the
other."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Spread:
    """The median, the least and the greatest of some values, and how many there were."""

    median: float
    low: float
    high: float
    count: int


def spread(values: Sequence[float]) -> Spread:
    """
    >>> spread([3.0, 1.0, 2.0])
    Spread(median=2.0, low=1.0, high=3.0, count=3)
    """
    return Spread(statistics.median(values), min(values), max(values), len(values))


def ratios(ours: Mapping[int, float], theirs: Mapping[int, float]) -> Spread | None:
    """Their values over ours, round by round; None where no round has both, or ours is 0.

    >>> ratios({0: 2.0, 1: 4.0}, {0: 3.0, 1: 4.0, 2: 9.0})
    Spread(median=1.25, low=1.0, high=1.5, count=2)
    """
    both = [theirs[number] / value for number, value in ours.items() if number in theirs and value]
    return spread(both) if both else None


Verdict = Literal["wins", "ahead", "level", "behind"]


def verdict(ratio: Spread, better: Literal["lower", "higher"]) -> Verdict:
    """What a ratio to ragkit says of the other: it `wins` if it was better in every
    round of several, is `ahead` if its median is.

    >>> verdict(Spread(0.5, 0.4, 0.6, 5), "lower"), verdict(Spread(0.9, 0.8, 1.1, 5), "lower")
    ('wins', 'ahead')
    """
    if better == "higher":
        if ratio.low > 1 and ratio.count > 1:
            return "wins"
        return "ahead" if ratio.median > 1 else "level" if ratio.median == 1 else "behind"
    if ratio.high < 1 and ratio.count > 1:
        return "wins"
    return "ahead" if ratio.median < 1 else "level" if ratio.median == 1 else "behind"
