"""`ragkit eval checklist`: nine checks on the system, one table."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ragkit.cli.eval.run import RunsOption, SuiteOption, say_beforehand
from ragkit.cli.options import ConfigOption, JsonOption, SetOption, load, print_json

if TYPE_CHECKING:
    from rich.table import Table

    from ragkit.evaluate.checks import Check, Measured


def checklist(
    suite: SuiteOption,
    config: ConfigOption = None,
    sets: SetOption = None,
    runs_file: RunsOption = None,
    evidence: Annotated[
        Path, typer.Option("--evidence", metavar="DIR", help="Where the rows behind the figures are written.")
    ] = Path(".ragkit/checklist"),
    concurrency: Annotated[
        int, typer.Option("--concurrency", min=1, max=256, help="Questions asked at once; for models behind a server.")
    ] = 1,
    junit: Annotated[
        Path | None, typer.Option("--junit", metavar="FILE", help="Write the checks as JUnit XML, for CI.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Run the nine checks on the system with the questions of a suite; exit code 1 if one fails."""
    from rich.text import Text

    from ragkit.cli.printing import FAINT, console
    from ragkit.cli.progress import index_progress, question_progress
    from ragkit.evaluate.checklist import run_checks, write_evidence
    from ragkit.evaluate.run import placed_config, run_suite, scratch_folder
    from ragkit.evaluate.runs import DEFAULT_FILE, Runs
    from ragkit.evaluate.suite import load_suite
    from ragkit.system import Ragkit

    loaded, system = load_suite(suite, scratch_folder(suite)), load(config, sets)
    say_beforehand(loaded.only("test"), quiet=as_json)
    with Runs(runs_file or DEFAULT_FILE, create=True) as runs:
        with index_progress(quiet=as_json) as indexing, question_progress(quiet=as_json) as asked:
            run = run_suite(loaded, system, runs, concurrency=concurrency, indexing=indexing, asked=asked)
        records = list(runs.records(run.id))
    with Ragkit(placed_config(loaded, system)) as rag:
        checks = run_checks(rag, records, loaded.suite)
    files = write_evidence(checks, evidence / run.id)
    if junit is not None:
        write_junit(junit, f"{loaded.suite.name} checklist", checks)
    if as_json:
        rows = [
            {
                "number": check.number,
                "title": check.title,
                "verdict": check.verdict,
                "parts": [asdict(part) for part in check.parts],
                "note": check.note,
                "evidence": str(files[check.number]) if check.number in files else None,
            }
            for check in checks
        ]
        print_json({"run": run.id, "checks": rows, "passed": all(check.verdict != "fail" for check in checks)})
    else:
        screen = console()
        screen.print(checklist_table(checks))
        for check in checks:
            if check.note:
                screen.print(Text(f"{check.number}: {check.note}", style=FAINT))
        screen.print(Text(f"run {run.id}; the rows behind the figures: {evidence / run.id}", style=FAINT))
    if any(check.verdict == "fail" for check in checks):
        raise typer.Exit(1)


def write_junit(file: Path, suite: str, checks: list[Check]) -> None:
    """One test for each check, with what was measured and demanded."""
    from ragkit.evaluate.junit import Line
    from ragkit.evaluate.junit import junit as as_xml

    lines = [
        Line(
            f"{check.number} {check.title}",
            check.verdict,
            "; ".join(
                f"{part.name} {'-' if part.value is None else f'{part.value:.3f}'}, {part.demanded or 'shown only'}"
                for part in check.parts
            ),
        )
        for check in checks
    ]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(as_xml(suite, lines), encoding="utf-8")


def checklist_table(checks: list[Check]) -> Table:
    """One section a check: verdict, and each measured value with its interval and what is demanded."""
    from rich.table import Table
    from rich.text import Text

    from ragkit.cli.eval.tables import STYLES

    table = Table()
    for heading in ("", "check", "verdict", "measured", "value", "95% interval", "n", "demanded"):
        table.add_column(heading, justify="right" if heading in ("value", "n") else "left")
    for check in checks:
        for number, part in enumerate(check.parts):
            first = number == 0
            verdict = Text(check.verdict, style=STYLES[check.verdict]) if first else Text("")
            style = STYLES[part.verdict] if part.verdict == "fail" else ""
            table.add_row(
                str(check.number) if first else "",
                check.title if first else "",
                verdict,
                Text(part.name, style=style),
                *_cells(part),
                part.demanded,
                end_section=number == len(check.parts) - 1,
            )
    return table


def _cells(part: Measured) -> tuple[Any, Any, Any]:
    if part.value is None:
        return "-", "", str(part.questions)
    exact = part.low is None or part.high is None or part.low == part.high == part.value
    interval = "" if exact else f"{part.low:.3f} to {part.high:.3f}"
    return f"{part.value:.3f}", interval, str(part.questions)
