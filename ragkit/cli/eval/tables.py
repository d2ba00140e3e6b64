"""The tables of an evaluation in the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from ragkit.cli.printing import FAINT, clean, counted
from ragkit.evaluate.record import GOOD
from ragkit.evaluate.remarks import asked_part, gate_in_words, judged_metrics, measured_in_words, remarks

if TYPE_CHECKING:
    from rich.console import RenderableType

    from ragkit.evaluate.runs import Run
    from ragkit.evaluate.summary import Summary

STYLES = {"pass": "bold green", "fail": "bold red", "not shown": "yellow"}
_BAR = 24


def summary_tables(run: Run, summary: Summary, metrics: Sequence[str]) -> Iterator[RenderableType]:
    """The parts of a run's summary, top to bottom."""
    yield figures_table(summary, [*metrics, *judged_metrics(summary)], asked_part(run))
    if summary.segments:
        yield segments_table(summary, metrics)
    yield losses_table(summary)
    yield Text(_time_and_cost(summary), style=FAINT)
    if summary.gates:
        yield gates_table(summary)
    yield from (Text(clean(each), style="yellow") for each in remarks(run, summary, metrics))
    yield Text(
        f"run {run.id} · config {run.config_hash} · questions {run.data_hash} · documents {run.index_hash}", style=FAINT
    )


def figures_table(summary: Summary, metrics: Sequence[str], part: str = "") -> Table:
    """One row a metric; those that no question has are left out. `part` says which questions were asked."""
    title = counted(summary.questions, "question")
    title += f" ({part})" if part else ""
    table = Table(title=f"{title}, {summary.failed} failed" if summary.failed else title)
    table.add_column("metric", no_wrap=True)
    for heading in ("value", "95% interval", "n", "shows*"):
        table.add_column(heading, justify="right")
    for name in metrics:
        figure = summary.figures.get(name)
        if figure is not None:
            shows = f"{figure.shows:.3f}" if figure.shows < 1 else "-"
            table.add_row(clean(name), f"{figure.mean:.3f}", figure.interval, str(figure.questions), shows)
    table.caption = (
        "* the smallest difference to another system that these questions show in 4 of 5 cases,\n"
        "if the values of both correlate by a half"
    )
    return table


def segments_table(summary: Summary, metrics: Sequence[str]) -> Table:
    """One row a segment and metric."""
    table = Table(title="by segment")
    table.add_column("segment", overflow="fold")
    table.add_column("metric", no_wrap=True)
    for heading in ("value", "95% interval", "questions"):
        table.add_column(heading, justify="right")
    for segment, figures in summary.segments.items():
        shown = [figures[name] for name in metrics if name in figures]
        for number, figure in enumerate(shown):
            row = (clean(figure.metric), f"{figure.mean:.3f}", figure.interval, str(figure.questions))
            table.add_row("" if number else clean(segment), *row, end_section=number == len(shown) - 1)
    return table


def losses_table(summary: Summary) -> Table:
    """How questions ended, as bars."""
    table = Table(title="where answers were lost", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    table.add_column()
    for outcome, count in summary.losses.items():
        bar = "█" * max(1, round(_BAR * count / summary.questions))
        table.add_row(outcome, str(count), Text(bar, style="green" if outcome in GOOD else "red"))
    return table


def gates_table(summary: Summary) -> Table:
    table = Table(title="gates")
    for heading in ("gate", "value", "verdict"):
        table.add_column(heading, overflow="fold")
    for result in summary.gates:
        verdict = Text(result.verdict, style=STYLES[result.verdict])
        table.add_row(clean(gate_in_words(result.gate)), measured_in_words(result), verdict)
    return table


def _time_and_cost(summary: Summary) -> str:
    total = summary.latency.get("total")
    parts = [f"p50 {total.p50:,.0f} ms · p95 {total.p95:,.0f} ms · p99 {total.p99:,.0f} ms"] if total else []
    if summary.unpriced:
        parts.append(f"{counted(summary.unpriced, 'answer')} without a known price")
    elif summary.cost_usd is not None:
        parts.append(f"cost ${summary.cost_usd:.4f}")
    return " · ".join(parts)
