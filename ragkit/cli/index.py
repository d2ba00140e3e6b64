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
    rebuild: Annotated[
        bool,
        typer.Option(
            "--rebuild", help="Make everything anew, from all it was made of; vectors of equal texts are kept."
        ),
    ] = False,
    embed_again: Annotated[bool, typer.Option("--embed-again", help="With --rebuild: keep no vectors either.")] = False,
    retry: Annotated[bool, typer.Option("--retry", help="Read files again that failed before.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 1 on any failure or warning.")] = False,
    wait: Annotated[
        float, typer.Option("--wait", metavar="SECONDS", min=0, help="Wait for another indexer to finish.")
    ] = 0.0,
    blue_green: Annotated[
        bool,
        typer.Option(
            "--blue-green",
            help="Build the index of this config beside the one that is searched, and switch when it is whole; the old"
            " one is kept. Searches go on.",
        ),
    ] = False,
    suite: Annotated[
        Path | None,
        typer.Option(
            "--suite", metavar="FILE", help="blue-green: switch only if this suite shows no loss, else exit 1."
        ),
    ] = None,
    margin: Annotated[
        float | None,
        typer.Option(
            "--margin",
            min=0,
            max=1,
            help="suite: the loss of nDCG@10 and of recall@10 that the lower bound of the difference may show; 0.05.",
        ),
    ] = None,
    grace: Annotated[
        float,
        typer.Option("--grace", metavar="HOURS", min=0, help="blue-green, rollback: how long the other one is kept."),
    ] = 24.0,
    rollback: Annotated[
        bool, typer.Option("--rollback", help="Switch back to the index that a blue-green run kept.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Read documents into the index: only what is new, edited, moved or gone since the last time."""
    from ragkit.cli.printing import command_line, console
    from ragkit.cli.progress import index_progress
    from ragkit.system import Ragkit

    _check_together(paths, rebuild, retry, blue_green, suite, margin, rollback)
    if embed_again and not rebuild:
        from ragkit.errors import ConfigError

        raise ConfigError("--embed-again says what --rebuild does", mend="give both")
    if rollback:
        from ragkit.cli.blue_green import rollback as back

        back(load(config, overrides), grace_s=grace * 3600, wait_s=wait, as_json=as_json)
        return
    if blue_green:
        from ragkit.cli.blue_green import blue_green as switch

        loaded = load(config, overrides)
        report = switch(
            loaded,
            paths or (),
            suite=suite,
            margin=margin,
            grace_s=grace * 3600,
            retry=retry,
            wait_s=wait,
            as_json=as_json,
            show=lambda report: _print_report(console(), report, loaded.ingestion.store.path),
        )
        if strict and (report.failures or report.warnings):
            raise typer.Exit(1)
        return
    with Ragkit(load(config, overrides)) as rag:
        with index_progress(quiet=as_json) as progress:
            report = rag.index(
                paths or (), rebuild=rebuild, embed_again=embed_again, retry=retry, wait_s=wait, progress=progress
            )
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


def _check_together(
    paths: list[str] | None,
    rebuild: bool,
    retry: bool,
    blue_green: bool,
    suite: Path | None,
    margin: float | None,
    rollback: bool,
) -> None:
    """Raise ConfigError for options of which one leaves the other without a meaning."""
    from ragkit.errors import ConfigError

    if rollback and (paths or rebuild or retry or blue_green):
        raise ConfigError("--rollback reads no documents", mend="give it alone, or with --grace and --wait")
    if not blue_green and (suite is not None or margin is not None):
        raise ConfigError("--suite and --margin compare two indexes", mend="add --blue-green")


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
    elif report.embedded:
        table.add_row("embedded", f"{counted(report.embedded, 'chunk')} that waited for a vector")
    if report.without_vectors:
        table.add_row("without vectors", f"{counted(report.without_vectors, 'chunk')}, found by their words only")
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
