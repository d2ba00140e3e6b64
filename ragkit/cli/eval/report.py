"""`ragkit eval report`: a finished run again, from its records alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ragkit.cli.eval.run import RunsOption, as_dict
from ragkit.cli.eval.runs import read_run
from ragkit.cli.options import JsonOption, print_json


def report(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Id of a run, the beginning of one, or `last`.")] = "last",
    html: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write the page.")] = None,
    junit: Annotated[Path | None, typer.Option("--junit", metavar="FILE", help="Write the gates as JUnit XML.")] = None,
    runs_file: RunsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print a finished run again, or write its page; no model is called. Exit code 1 if a gate failed."""
    from ragkit.cli.eval.tables import summary_tables
    from ragkit.cli.printing import console
    from ragkit.evaluate.junit import gate_lines
    from ragkit.evaluate.junit import junit as as_junit
    from ragkit.evaluate.page.report import page
    from ragkit.evaluate.remarks import synthetic_share
    from ragkit.evaluate.suite import Suite
    from ragkit.evaluate.summary import summarise

    found, records = read_run(run, runs_file)
    suite = Suite.model_validate(found.details["suite"])
    summary = summarise(records, suite)
    if html is not None:
        _write(html, page(found, records, summary, suite.metrics))
    if junit is not None:
        told = {"synthetic questions": synthetic_share(summary.synthetic, summary.questions)}
        _write(junit, as_junit(found.suite, gate_lines(summary), told))
    if as_json:
        print_json(as_dict(found, summary))
    elif html is None and junit is None:
        screen = console()
        for part in summary_tables(found, summary, suite.metrics):
            screen.print(part)
    if found.ended is None:
        typer.echo(
            f"this run has not ended, {len(records)} of {found.questions} questions; go on: ragkit eval run --resume",
            err=True,
        )
    if not summary.passed or found.ended is None:
        raise typer.Exit(1)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", errors="replace")
    typer.echo(f"written: {path}", err=True)
