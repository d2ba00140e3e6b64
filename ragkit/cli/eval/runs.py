"""`ragkit eval runs`: the runs so far."""

from __future__ import annotations

from ragkit.cli.eval.run import RunsOption
from ragkit.cli.options import JsonOption, print_json


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
    table = Table()
    for heading in ("run", "suite", "began (UTC)", "questions", "config", "documents"):
        table.add_column(heading)
    for run, done in found:
        count = str(run.questions) if run.ended else f"{done} of {run.questions}, not ended"
        table.add_row(run.id, run.suite, run.began[:16].replace("T", " "), count, run.config_hash, run.index_hash)
    console().print(table)
