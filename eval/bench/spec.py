"""What a benchmark is: cases, contenders and measures, as plain data."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

ROOT = Path(__file__).parents[2]
WORK = ROOT / ".bench"
"""Indexes, prepared data and other files that a run makes; not part of the repository."""

THREADS = 2
MODEL = "all-MiniLM-L6-v2"
BASE = "ragkit"
"""The contender that ratios are taken against."""

Values = dict[str, float]


class Skipped(Exception):
    """A contender or a case cannot be measured here; the message says why, and the table repeats it."""


class Clock:
    """Seconds by name, for what a contender wants timed.

    >>> clock = Clock()
    >>> with clock("seconds"):
    ...     pass
    >>> list(clock.seconds)
    ['seconds']
    """

    def __init__(self) -> None:
        self.seconds: Values = {}

    @contextmanager
    def __call__(self, name: str) -> Generator[None]:
        began = time.perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - began


@dataclass(frozen=True, slots=True)
class Case:
    """One size or kind of input, with what the contenders need to know of it."""

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    contenders: tuple[str, ...] = ()
    """Those that take part; all of them if empty."""
    rounds: int = 0
    """Fewer rounds than the benchmark's, for a case that takes long."""


@dataclass(frozen=True, slots=True)
class Measure:
    """A column. `better` is None for what is told but not compared. Measures of one `group` share a table."""

    key: str
    label: str
    better: Literal["lower", "higher"] | None = "lower"
    group: str = ""


Work = Callable[[Case, Clock], Values]


@dataclass(frozen=True, slots=True)
class Contender:
    """`setting` says how it was set up. `prepare` runs once for a case, in a process of its own, before the rounds.

    `floor` marks what is no rival but the least that the work can cost, `own` another setting of ragkit.
    """

    label: str
    work: Work
    setting: str
    prepare: Work | None = None
    floor: bool = False
    own: bool = False


@dataclass(frozen=True, slots=True)
class Bench:
    """One benchmark. `minutes` is a guess for the whole, on two idle cores; `limit_s` ends a contender."""

    name: str
    title: str
    about: str
    measures: Sequence[Measure]
    contenders: Mapping[str, Contender]
    cases: Callable[[bool], Sequence[Case]]
    """From whether the run is a quick one."""
    prepare: Callable[[Case], None] | None = None
    """Makes what all contenders read."""
    rounds: int = 5
    quick_rounds: int = 2
    minutes: float = 1
    limit_s: float = 900
    plot: Sequence[str] = ()
    """Keys of the measures that are drawn."""
    curve: bool = False
    """Whether the cases are sizes, so that the plots are curves over them."""
    remarks: Callable[[Any], Iterable[str]] | None = None
    """Lines under the tables, from the results (`eval.bench.results.Results`)."""
    whole_machine: bool = False
    """Whether contenders have all cores, not `THREADS` of them: where the work is a GPU's."""
