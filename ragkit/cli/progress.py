"""Progress bars: of a run that indexes, of one that asks questions, and of one that trains."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress

    from ragkit.evaluate.record import Record
    from ragkit.evaluate.run import Asked
    from ragkit.ingest.index import Progress as Indexing
    from ragkit.train.course import Steps


@contextmanager
def _bar(quiet: bool, thing: str, *told: str) -> Generator[Progress | None]:
    """A bar on stderr that counts `thing`, with `told` (columns of Rich) and the time left.

    None when `quiet` or when stderr is no terminal.
    """
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    screen = Console(stderr=True)
    columns = (
        BarColumn(bar_width=40 if screen.width >= 100 else 10),
        MofNCompleteColumn(),
        TextColumn(thing),
        *(TextColumn(each) for each in told if screen.width >= 80),
        TimeElapsedColumn(),
        TimeRemainingColumn(elapsed_when_finished=False),
        TextColumn("left"),
    )
    with Progress(*columns, console=screen, transient=True) as bar:
        yield bar


@contextmanager
def index_progress(quiet: bool = False) -> Generator[Indexing | None]:
    """The bar of a run that indexes, with chunks and their rate."""
    with _bar(quiet, "docs", "{task.fields[chunks]:,} chunks", "{task.fields[rate]:.0f} chunks/s") as bar:
        if bar is None:
            yield None
            return
        task = bar.add_task("indexing", total=None, chunks=0, rate=0.0)

        def update(done: int, total: int, chunks: int) -> None:
            elapsed = bar.tasks[0].elapsed or 0.0
            bar.update(task, completed=done, total=total, chunks=chunks, rate=chunks / elapsed if elapsed else 0.0)

        yield update


@contextmanager
def question_progress(quiet: bool = False) -> Generator[Asked | None]:
    """The bar of a run that asks questions, with what went wrong and what it cost so far."""
    with _bar(quiet, "questions", "{task.fields[wrong]} went wrong", "{task.fields[cost]}") as bar:
        if bar is None:
            yield None
            return
        from ragkit.evaluate.record import went_wrong

        task = bar.add_task("asking", total=None, wrong=0, cost="")
        wrong, spent, unpriced = 0, 0.0, 0

        def update(done: int, total: int, record: Record) -> None:
            nonlocal wrong, spent, unpriced
            wrong += went_wrong(record.outcome)
            spent += record.cost_usd or 0.0
            unpriced += record.cost_usd is None and record.error is None
            cost = f"${spent:.4f}" + (f" and {unpriced} unpriced" if unpriced else "")
            bar.update(task, completed=done, total=total, wrong=wrong, cost=cost)

        yield update


@contextmanager
def question_count(quiet: bool = False) -> Generator[Steps | None]:
    """The bar of a run that searches for questions and asks no more of them."""
    with _bar(quiet, "questions") as bar:
        if bar is None:
            yield None
            return
        task = bar.add_task("searching", total=None)
        yield lambda done, total, _: bar.update(task, completed=done, total=total)


@contextmanager
def training_progress(quiet: bool = False) -> Generator[Steps | None]:
    """The bar of a run that trains, with the last loss that it told."""
    with _bar(quiet, "steps", "{task.fields[loss]}") as bar:
        if bar is None:
            yield None
            return
        task = bar.add_task("training", total=None, loss="")

        def update(done: int, total: int, loss: float) -> None:
            bar.update(task, completed=done, total=total)
            if loss == loss:  # it is told every 25th step only
                bar.update(task, loss=f"loss {loss:.3f}")

        yield update


@contextmanager
def counted(total: int, thing: str) -> Generator[Callable[[], None]]:
    """The bar of anything that goes one by one; what it yields is called for each."""
    with _bar(False, thing) as bar:
        if bar is None:
            yield lambda: None
            return
        task = bar.add_task(thing, total=total)
        yield lambda: bar.advance(task)
