"""`ragkit index`: bring the index in line with the sources, and say what that meant."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ragkit.cli.options import ConfigOption, JsonOption, SetOption, load, print_json

if TYPE_CHECKING:
    from rich.console import Console

    from ragkit.ingest.report import IndexReport


def index(
    paths: Annotated[
        list[str] | None,
        typer.Argument(metavar="PATH", help="Files, folders, globs, .jsonl files; without any: ingestion.sources."),
    ] = None,
    config: ConfigOption = None,
    overrides: SetOption = None,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Make everything anew, from all it was made of.")] = False,
    retry: Annotated[bool, typer.Option("--retry", help="Read files again that failed before.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 1 on any failure or warning.")] = False,
    wait: Annotated[
        float, typer.Option("--wait", metavar="SECONDS", min=0, help="Wait for another indexer to finish.")
    ] = 0.0,
    as_json: JsonOption = False,
) -> None:
    """Read documents into the index: only what is new, edited, moved or gone since the last time."""
    from ragkit.cli.printing import command_line, console
    from ragkit.cli.progress import index_progress
    from ragkit.system import Ragkit

    with Ragkit(load(config, overrides)) as rag:
        with index_progress(quiet=as_json) as progress:
            report = rag.index(paths or (), rebuild=rebuild, retry=retry, wait_s=wait, progress=progress)
        folder = rag.config.ingestion.store.path
    if as_json:
        print_json(report.as_dict())
    else:
        _print_report(console(), report, folder)
        if report.documents:
            ask = command_line("ask 'QUESTION'", config, overrides)
            console().print(f"next: {ask}", soft_wrap=True)
        else:
            console().print("The index is empty: name a folder that holds documents.")
    if strict and (report.failures or report.warnings):
        raise typer.Exit(1)


def _print_report(screen: Console, report: IndexReport, folder: Path) -> None:
    from rich.table import Table
    from rich.text import Text

    from ragkit.cli.printing import FAINT, OLDER_COPY, counted

    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("changes", _changes(report))
    if report.by_type:
        types = ", ".join(f"{count} {kind}" for kind, count in report.by_type.most_common())
        table.add_row("read", f"{types}; {counted(report.pages, 'page')}" if report.pages else types)
        table.add_row(
            "written",
            f"{counted(report.chunks_written, 'chunk')}, {counted(report.tokens_written, 'token')}; "
            f"{report.embedded:,} embedded, {report.reused:,} known from before"
            + (f", {report.repeated:,} repeated" if report.repeated else ""),
        )
    if report.left_out:
        left = ", ".join(counted(count, kind) for kind, count in sorted(report.left_out.items()))
        links = " (ingestion.follow_symlinks: true follows links)" if report.left_out["link"] else ""
        table.add_row("left out", left + links)
    stages = [f"{name} {value:.1f}" for name, value in report.seconds.items() if name != "total" and value >= 0.05]
    table.add_row("seconds", f"{report.seconds['total']:.1f}" + (f" ({', '.join(stages)})" if stages else ""))
    table.add_row(
        "index",
        f"{counted(report.documents, 'document')}, {counted(report.chunks, 'chunk')}, "
        f"{counted(report.tokens, 'token')} in {folder}",
    )
    screen.print(table)
    _print_reasons(screen, "failure", report.failures, "red")
    _print_reasons(screen, "warning", report.warnings, "yellow")
    if report.receipt is not None:
        rest = ", ".join(f"{left:,} {what}" for what, left in report.receipt.lines())
        screen.print(Text(f"left of {counted(report.receipt.documents, 'removed document')}: {rest}", style=FAINT))
        if report.receipt.files:
            screen.print(Text(OLDER_COPY, style=FAINT))


def _changes(report: IndexReport) -> str:
    from ragkit.cli.printing import counted

    if not report.changed:
        return f"none: {counted(report.unchanged, 'document')} as before"
    counts = {
        "new": report.new,
        "edited": report.edited,
        "moved": report.moved,
        "deleted": report.deleted,
        "unchanged": report.unchanged,
    }
    begun = "built anew: " if report.rebuilt else ""
    return begun + ", ".join(f"{count:,} {what}" for what, count in counts.items() if count)


def _print_reasons(screen: Console, kind: str, reasons: list[tuple[str, str]], style: str) -> None:
    from rich.text import Text

    from ragkit.cli.printing import clean, counted

    if not reasons:
        return
    screen.print(Text(counted(len(reasons), kind), style=f"bold {style}"))
    for name, reason in reasons:
        screen.print(Text(f"  {clean(name)}: {clean(reason)}"))
