"""What a report says beside its figures, in words; the terminal, the page and JUnit say the same."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

from ragkit.evaluate.judges.settings import MEASURES
from ragkit.evaluate.record import Record
from ragkit.evaluate.runs import Run
from ragkit.evaluate.suite import SHOWN, Gate
from ragkit.evaluate.summary import Figure, GateResult, Summary

SYNTHETIC = "synthetic"
"""The mark of a question that nobody wrote or checked."""

TURN_OFF = "to turn it off: retrieval.reranking.backend: none"

_LEAKS_SHOWN = 5


def asked_part(run: Run) -> str:
    """The part of the suite's questions that was asked; "" for a run that does not know it.

    >>> asked_part(Run("r", "s", "", None, "c", "d", "i", 0, 1, {"part": "test"}))
    'test part'
    """
    part = run.details.get("part")
    return "" if part is None else "all parts" if part == "all" else f"{part} part"


def synthetic_share(synthetic: int, questions: int) -> str:
    """How many of the questions are synthetic, "" if none is.

    >>> synthetic_share(2, 3), synthetic_share(0, 3)
    ('2 of 3', '')
    """
    return f"{synthetic:,} of {questions:,}" if synthetic else ""


def on_synthetic(synthetic: int, questions: int) -> list[str]:
    """The remark on synthetic questions, where there are some."""
    share = synthetic_share(synthetic, questions)
    return [f"{share} questions are {SYNTHETIC}: nobody wrote or checked them"] if share else []


def on_reranking(gain: Figure | None) -> list[str]:
    """The remark on a reranker that ranks worse than none; nothing where that is not shown."""
    if gain is None or not gain.is_known or gain.high >= 0:
        return []
    return [
        f"the reranker ranks worse on these documents than none: {gain.mean:+.3f} precision@3 (95% interval"
        f" {gain.low:+.3f} to {gain.high:+.3f}, {gain.questions} questions); {TURN_OFF}"
    ]


def marked(record: Record) -> str:
    """The outcome of a question, and that it is synthetic where it is."""
    return f"{record.outcome}, {SYNTHETIC}" if record.case.synthetic else record.outcome


def judged_metrics(summary: Summary) -> list[str]:
    """Metrics that are scores of judges, such as "lexical.support"."""
    return sorted(name for name in summary.figures if name.split(".")[0] in MEASURES)


def gate_in_words(gate: Gate) -> str:
    """What a gate is about and what it demands; gates that differ read differently.

    >>> gate_in_words(Gate(metric="f1", at_least=0.5, segment="pumps"))
    'f1 (pumps) at least 0.5'
    """
    where = f" ({gate.segment})" if gate.segment else ""
    return f"{gate.metric}{where} {gate.demanded}"


def measured_in_words(result: GateResult) -> str:
    """The value of a gate's metric with its interval."""
    figure = result.figure
    return "no question has it" if figure is None else f"{figure.mean:.3f} ({figure.interval})"


def remarks(run: Run, summary: Summary, metrics: Sequence[str]) -> list[str]:
    """What a reader must know before trusting the figures: synthetic questions, a reranker that hurts, metrics that are
    not there, failed judgements, notes on the labels, leaks (the first few, and how many more)."""
    return [
        *on_synthetic(summary.synthetic, summary.questions),
        *on_reranking(summary.reranking),
        *_on_missing(summary, metrics),
        *_on_judgements(summary),
        *(f"note: {note}" for note in run.details.get("notes", ())),
        *_on_leaks(run),
    ]


def _on_missing(summary: Summary, metrics: Sequence[str]) -> list[str]:
    """Metrics that a suite names and no question has. Those that are shown when it names none need not be there."""
    if tuple(metrics) == SHOWN:
        return []
    found: list[str] = []
    for name in metrics:
        if name not in summary.figures:
            near = [] if name in SHOWN else get_close_matches(name, summary.figures, n=1)
            found.append(f"no question has the metric {name}" + (f"; did you mean {near[0]}?" if near else ""))
    return found


def _on_judgements(summary: Summary) -> list[str]:
    return [
        f"{judge}: {failed:,} judgement{'' if failed == 1 else 's'} failed and count for nothing"
        for judge, failed in summary.failed_judgements.items()
    ]


def _on_leaks(run: Run) -> list[str]:
    leaks = run.details.get("leaks", ())
    said = [
        f"leak: {leak['kind']}: question {leak['test']}, {leak['other']} {leak.get('detail', '')}".rstrip()
        for leak in leaks[:_LEAKS_SHOWN]
    ]
    if len(leaks) > _LEAKS_SHOWN:
        said.append(f"{len(leaks):,} leaks in all: see ragkit eval report --json")
    return said
