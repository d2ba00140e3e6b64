"""`ragkit eval runs`: the runs so far, and how the commands that show one read it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ragkit.cli.eval.run import RunsOption
from ragkit.cli.options import JsonOption, print_json
from ragkit.errors import RagkitError

if TYPE_CHECKING:
    from ragkit.evaluate.record import Record
    from ragkit.evaluate.runs import Run

_WIDE = 120
"""Columns of a terminal from which on everything fits: ids and hashes are to be copied, so none may be cut."""


def runs(runs_file: RunsOption = None, as_json: JsonOption = False) -> None:
    """List the runs so far, the latest first."""
    from dataclasses import asdict

    from rich.table import Table

    from ragkit.cli.printing import console
    from ragkit.evaluate.runs import DEFAULT_FILE, Runs

    with Runs(runs_file or DEFAULT_FILE) as file:
        found = [(run, len(file.done(run.id))) for run in file.all()]
    if as_json:
        rows = [{**asdict(run), "done": done} for run, done in found]
        print_json({"runs": [{key: value for key, value in row.items() if key != "details"} for row in rows]})
        return
    screen = console()
    # The id begins with the time, and runs of one suite mostly share their documents: these go first.
    headings = ("run", "suite", "questions", "config")
    headings += ("began (UTC)", "documents") if screen.width >= _WIDE else ()
    table = Table()
    for heading in headings:
        table.add_column(heading, overflow="fold", no_wrap=heading == "run")
    for run, done in found:
        count = str(run.questions) if run.ended else f"{done} of {run.questions}, not ended"
        row = (run.id, run.suite, count, run.config_hash, run.began[:16].replace("T", " "), run.index_hash)
        table.add_row(*row[: len(headings)])
    screen.print(table)


def read_run(wanted: str, runs_file: RunsOption) -> tuple[Run, list[Record]]:
    """A run and its records. Raises RagkitError for none, and for one that was cut off before its first answer."""
    from ragkit.evaluate.runs import DEFAULT_FILE, Runs

    with Runs(runs_file or DEFAULT_FILE) as file:
        found = file.find(wanted)
        records = list(file.records(found.id))
    if not records:
        raise RagkitError(f"run {found.id} has no answered question yet", mend="go on with ragkit eval run --resume")
    return found, records
