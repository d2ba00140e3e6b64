"""`ragkit eval compare`: is the second run better than the first?"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ragkit.cli.eval.run import RunsOption
from ragkit.cli.options import JsonOption, print_json

if TYPE_CHECKING:
    from ragkit.evaluate.runs import Run


def compare(
    first: Annotated[str, typer.Argument(metavar="RUN_A", help="Id of the run before, or the beginning of one.")],
    second: Annotated[str, typer.Argument(metavar="RUN_B", help="Id of the run after, or `last`.")],
    relevant: Annotated[
        float, typer.Option("--relevant", min=0.0, max=1.0, help="The smallest difference that matters to you.")
    ] = 0.05,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown for a pull request.")] = False,
    runs_file: RunsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare two runs question by question; exit code 1 if the second is worse."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    from ragkit.cli.printing import FAINT, clean, console
    from ragkit.evaluate.comparison import as_markdown, changed_keys, compare_runs
    from ragkit.evaluate.remarks import on_synthetic
    from ragkit.evaluate.runs import DEFAULT_FILE, Runs

    with Runs(runs_file or DEFAULT_FILE) as runs:
        before, after = runs.find(first), runs.find(second)
        comparison = compare_runs(
            list(runs.records(before.id)),
            list(runs.records(after.id)),
            after.details["suite"]["metrics"],
            seed=after.seed,
            relevant=relevant,
        )
        changed = changed_keys(_measured(before), _measured(after))
    if as_json:
        named = {"first": before.id, "second": after.id, "verdict": comparison.verdict, "config": changed}
        print_json({**named, **asdict(comparison)})
    elif markdown:
        typer.echo(as_markdown(comparison, before.id, after.id, changed), nl=False)
    else:
        screen = console()
        for key, (one, other) in changed.items():
            screen.print(Text(clean(f"{key}: {one} → {other}"), style=FAINT))
        title = f"{comparison.questions} questions, {after.id} against {before.id}"
        # Two lines a metric, so that it fits a terminal of 80 columns.
        table = Table(title=title, box=SIMPLE_HEAD, padding=0, pad_edge=False, show_edge=False)
        table.add_column("metric", overflow="fold")
        for heading in ("n", "shows*", "values", "difference"):
            table.add_column(heading, justify="right", no_wrap=True)
        table.add_column("verdict", no_wrap=True)
        table.caption = "* the smallest difference that these pairs show in 4 of 5 cases; p by Holm"
        styles = {"better": "bold green", "worse": "bold red", "too small a set": "yellow"}
        for each in comparison.differences:
            table.add_row(
                each.metric,
                str(each.questions),
                each.can_show,
                f"{each.first:.3f}\n→ {each.second:.3f}",
                f"{each.interval.mean:+.3f}\n{each.interval.low:+.3f} to {each.interval.high:+.3f}",
                Text(f"{each.verdict}\np {each.p:.3f}", style=styles.get(each.verdict, "")),
            )
        screen.print(table)
        for flip in comparison.flips:
            style = "green" if flip.gained else "red" if flip.lost else FAINT
            screen.print(Text(f"{flip.id}: {flip.before} → {flip.after}: {clean(flip.question)}", style=style))
        for count, which in ((comparison.only_first, "first"), (comparison.only_second, "second")):
            if count:
                screen.print(f"{count} questions were asked in the {which} run only and are left out")
        for remark in on_synthetic(comparison.synthetic, comparison.questions):
            screen.print(Text(remark, style="yellow"))
        flipped = comparison.flipped
        screen.print(f"{flipped.gained} gained, {flipped.lost} lost (McNemar p {flipped.p:.3f})")
        screen.print(Text(comparison.verdict, style="bold"))
    if comparison.verdict == "worse":
        raise typer.Exit(1)


def _measured(run: Run) -> dict[str, Any]:
    """What a run measured: its config, and by the side the documents and the versions of packages."""
    config: dict[str, Any] = run.details.get("config", {})
    return {**config, "documents": run.index_hash, "versions": run.details.get("versions", {})}
