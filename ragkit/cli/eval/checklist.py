"""`ragkit eval checklist`: nine checks on the system, one table."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ragkit.cli.eval.run import ResumeOption, RunsOption, SuiteOption, say, say_beforehand
from ragkit.cli.options import ConfigOption, JsonOption, SetOption, load, print_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.table import Table
    from rich.text import Text

    from ragkit.evaluate.checks import Check, Measured


def checklist(
    suite: SuiteOption,
    config: ConfigOption = None,
    sets: SetOption = None,
    runs_file: RunsOption = None,
    evidence: Annotated[
        Path, typer.Option("--evidence", metavar="DIR", help="Where the rows behind the figures are written.")
    ] = Path(".ragkit/checklist"),
    resume: ResumeOption = False,
    concurrency: Annotated[
        int, typer.Option("--concurrency", min=1, max=256, help="Questions asked at once; for models behind a server.")
    ] = 1,
    junit: Annotated[
        Path | None, typer.Option("--junit", metavar="FILE", help="Write the checks as JUnit XML, for CI.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Run the nine checks on the system with the questions of a suite; exit code 1 if one fails."""
    from ragkit.cli.printing import FAINT, console
    from ragkit.cli.progress import index_progress, question_progress
    from ragkit.evaluate.checklist import run_checks, write_evidence
    from ragkit.evaluate.remarks import on_synthetic, synthetic_share
    from ragkit.evaluate.run import placed_config, run_suite, scratch_folder
    from ragkit.evaluate.runs import DEFAULT_FILE, Runs
    from ragkit.evaluate.suite import load_suite
    from ragkit.system import Ragkit

    loaded, system = load_suite(suite, scratch_folder(suite)), load(config, sets)
    say_beforehand(loaded.only("test"), quiet=as_json)
    with Runs(runs_file or DEFAULT_FILE, create=True) as runs:
        with index_progress(quiet=as_json) as indexing, question_progress(quiet=as_json) as asked:
            run = run_suite(
                loaded, system, runs, resume=resume, concurrency=concurrency, indexing=indexing, asked=asked, told=say
            )
        records = list(runs.records(run.id))
    synthetic = sum(record.case.synthetic for record in records)
    with Ragkit(placed_config(loaded, system), follow=False) as rag:
        checks = run_checks(rag, records, loaded.suite)
    files = write_evidence(checks, evidence / run.id)
    if junit is not None:
        write_junit(junit, f"{loaded.suite.name} checklist", checks, synthetic_share(synthetic, len(records)))
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
        for line in lines_below(checks, files):
            screen.print(line, soft_wrap=True)
        for remark in on_synthetic(synthetic, len(records)):
            screen.print(remark, style="yellow")
        screen.print(f"run {run.id}", style=FAINT)
    if any(check.verdict == "fail" for check in checks):
        raise typer.Exit(1)


def write_junit(file: Path, suite: str, checks: list[Check], synthetic: str = "") -> None:
    """One test for each check, with what was measured and demanded; `synthetic` says how many questions are."""
    from ragkit.evaluate.junit import Line
    from ragkit.evaluate.junit import junit as as_xml

    lines = [
        Line(
            f"{check.number} {check.title}",
            check.verdict,
            "; ".join(
                f"{part.name} {'-' if part.value is None else _number(part.value)}, {part.demanded or 'shown only'}"
                for part in check.parts
            ),
        )
        for check in checks
    ]
    text = as_xml(suite, lines, {"synthetic questions": synthetic})
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


def checklist_table(checks: list[Check]) -> Table:
    """A line for each check with its verdict, below it one for each measured value; whole in 80 columns."""
    from rich.table import Table
    from rich.text import Text

    from ragkit.cli.eval.tables import STYLES
    from ragkit.cli.printing import clean

    table = Table(box=None, pad_edge=False)
    table.add_column("check", overflow="fold")
    for heading in ("value", "95% interval", "n"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("verdict, bound", overflow="fold")
    for check in checks:
        title = Text(f"{check.number} {check.title}", style="bold")
        table.add_row(title, "", "", "", Text(check.verdict, style=STYLES[check.verdict]))
        for part in check.parts:
            name = Text(f"  {clean(part.name)}", style=STYLES["fail"] if part.verdict == "fail" else "")
            # Most values are judged, so only a bound needs words.
            bound = "" if part.demanded == "for information" else part.demanded
            table.add_row(name, *_cells(part), bound)
    return table


def lines_below(checks: list[Check], files: dict[int, Path]) -> Iterator[Text]:
    """The notes, and the file with the rows behind the figures of each check that has some."""
    from rich.text import Text

    from ragkit.cli.printing import FAINT, clean

    for check in checks:
        if check.note:
            yield Text(f"{check.number}: {clean(check.note)}", style=FAINT)
    if files:
        yield Text(f"rows behind the figures, in {next(iter(files.values())).parent}:", style=FAINT)
    for check in checks:
        if check.number in files:
            count = len(check.evidence)
            yield Text(f"  {files[check.number].name} ({count} row{'' if count == 1 else 's'})", style=FAINT)


def _cells(part: Measured) -> tuple[str, str, str]:
    if part.value is None:
        return "-", "", str(part.questions)
    exact = part.low is None or part.high is None or part.low == part.high == part.value
    interval = "" if exact else f"{_number(part.low or 0.0)} to {_number(part.high or 0.0)}"
    return _number(part.value), interval, str(part.questions)


def _number(value: float) -> str:
    """Three places, or two digits of what would be nothing in them, such as the dollars of one answer.

    >>> _number(0.25), _number(0.00000123), _number(0.0)
    ('0.250', '1.2e-06', '0.000')
    """
    return f"{value:.2g}" if 0 < abs(value) < 0.0005 else f"{value:.3f}"
