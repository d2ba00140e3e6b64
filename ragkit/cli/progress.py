"""Progress bars: of a run that indexes, and of one that asks questions."""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ragkit.evaluate.record import Record
    from ragkit.evaluate.run import Asked
    from ragkit.ingest.index import Progress


@contextmanager
def index_progress(quiet: bool = False) -> Generator[Progress | None]:
    """A bar on stderr with rate and time left; nothing when `quiet` or when stderr is no terminal."""
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
        TextColumn("documents, {task.fields[chunks]:,} chunks" if screen.width >= 80 else "docs"),
        TextColumn("{task.fields[rate]:.0f} chunks/s"),
        TimeElapsedColumn(),
        TimeRemainingColumn(elapsed_when_finished=False),
        TextColumn("left"),
    )
    with Progress(*columns, console=screen, transient=True) as bar:
        task = bar.add_task("indexing", total=None, chunks=0, rate=0.0)

        def update(done: int, total: int, chunks: int) -> None:
            elapsed = bar.tasks[0].elapsed or 0.0
            bar.update(task, completed=done, total=total, chunks=chunks, rate=chunks / elapsed if elapsed else 0.0)

        yield update


@contextmanager
def question_progress(quiet: bool = False) -> Generator[Asked | None]:
    """A bar on stderr with the cost so far; nothing when `quiet` or when stderr is no terminal."""
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

    columns = (
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TextColumn("questions, {task.fields[lost]} lost, {task.fields[cost]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("left"),
    )
    lost, spent, unpriced = 0, 0.0, 0
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = None

        def update(done: int, total: int, record: Record) -> None:
            nonlocal task, lost, spent, unpriced
            lost += record.outcome not in ("right", "refused rightly", "not judged")
            spent += record.cost_usd or 0.0
            unpriced += record.cost_usd is None and record.error is None
            cost = f"${spent:.4f}" + (f" and {unpriced} unpriced" if unpriced else "")
            if task is None:
                task = bar.add_task("asking", total=total, lost=0, cost=cost)
            bar.update(task, completed=done, lost=lost, cost=cost)

        yield update
