"""The RAG checklist as nine checks, each a figure with an interval, a threshold and a verdict.

A check takes what it needs (the index, the records of a run, thresholds) and gives back a `Check`; none knows of
another.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ragkit.evaluate.summary import Figure, Verdict, verdict


@dataclass(frozen=True, slots=True)
class Measured:
    """One measured value of a check: what it is, its value with the interval (None where it has none or it is not
    known), what is demanded."""

    name: str
    value: float | None
    low: float | None
    high: float | None
    questions: int
    demanded: str
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Check:
    """A line of the checklist. `evidence` are the rows that a person looks at when it fails, such as the cut chunks."""

    number: int
    title: str
    parts: tuple[Measured, ...]
    note: str = ""
    evidence: tuple[Mapping[str, Any], ...] = ()

    @property
    def verdict(self) -> Verdict:
        """fail if one part does, else not shown if one part is not, else pass."""
        verdicts = [part.verdict for part in self.parts]
        return "fail" if "fail" in verdicts else "not shown" if "not shown" in verdicts or not verdicts else "pass"


def part_of(
    name: str, figure: Figure | None, *, at_least: float | None = None, at_most: float | None = None
) -> Measured:
    """A part from a figure and its bound, with the verdict of `summary.verdict`; without a figure it is not shown."""
    demanded = f"at least {at_least:g}" if at_least is not None else f"at most {at_most:g}"
    if figure is None:
        return Measured(name, None, None, None, 0, demanded, "not shown")
    judged = verdict(figure, at_least, at_most)
    low, high = (figure.low, figure.high) if figure.is_known else (None, None)
    return Measured(name, figure.mean, low, high, figure.questions, demanded, judged)
