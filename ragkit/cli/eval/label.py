"""`ragkit eval label`: a person judges answers of a run with single keys, which corrects the judges' means."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from ragkit.cli.eval.run import RunsOption
from ragkit.cli.eval.runs import read_run
from ragkit.cli.options import JsonOption, print_json
from ragkit.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

    from ragkit.evaluate.labels import Corrected
    from ragkit.evaluate.record import Record


def label(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Id of a run, the beginning of one, or `last`.")] = "last",
    count: Annotated[int, typer.Option("--count", min=1, help="Stop after so many answers.")] = 30,
    runs_file: RunsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Judge answers with the keys y, n, s (skip) and q (stop); with --json nothing is asked."""
    from ragkit.cli.printing import console
    from ragkit.evaluate.labels import ENOUGH, Labels, to_label
    from ragkit.evaluate.runs import DEFAULT_FILE

    found, records = read_run(run, runs_file)
    labels = Labels(runs_file or DEFAULT_FILE, found.id)
    try:
        screen = console()
        if not as_json:
            waiting = to_label(records, list(labels.all()), found.seed)[:count]
            _ask(screen, waiting, labels.give)
        known = labels.all()
    finally:
        labels.close()
    corrected = _corrected(records, known, found.seed)
    if as_json:
        print_json({"run": found.id, "labels": len(known), "judges": [asdict(each) for each in corrected]})
        return
    screen.print(f"{len(known)} answers have a label, {sum(known.values())} are good")
    for each in corrected:
        low, high = each.corrected.low, each.corrected.high
        screen.print(
            f"{each.judge}: {each.raw:.3f} by itself on {each.judged} answers ({each.failed} failed), corrected by"
            f" {each.people} labels {each.corrected.mean:.3f} (95% {low:.3f} to {high:.3f})"
            + ("" if each.is_enough else f"; too few labels, it takes {ENOUGH}")
        )


def _ask(screen: Console, records: list[Record], give: Callable[[str, bool], None]) -> None:
    """Show one answer after another; `give` takes the id of a question and whether its answer is good."""
    from rich.text import Text

    from ragkit.cli.printing import FAINT, clean
    from ragkit.evaluate.remarks import SYNTHETIC

    for number, record in enumerate(records, start=1):
        mark = f" ({SYNTHETIC})" if record.case.synthetic else ""
        screen.rule(f"{number} of {len(records)}: {clean(record.case.id)}{mark}")
        screen.print(Text(clean(record.case.question), style="bold"))
        screen.print(Text(clean(record.text)))
        for citation in record.citations:
            screen.print(Text(f"  {clean(citation.document)}: {clean(citation.quote)}", style=FAINT))
        if record.case.answers:
            screen.print(Text(f"  labelled: {clean(' | '.join(record.case.answers))}", style=FAINT))
        screen.print("Is the answer right and backed by what it cites?  y yes · n no · s skip · q stop")
        key = _key()
        if key == "q":
            return
        if key in ("y", "n"):
            give(record.case.id, key == "y")


def _key() -> str:
    """One of y, n, s, q, read as a single key; the end of the input stops."""
    while True:
        try:
            key = typer.getchar(echo=False).lower()
        except EOFError:
            return "q"
        except OSError as error:
            raise ConfigError("answers are labelled with single keys, and there is no terminal") from error
        if key in ("\x03", "\x04"):
            raise typer.Abort
        if key in ("y", "n", "s", "q"):
            return key


def _corrected(records: list[Record], labels: dict[str, bool], seed: int) -> list[Corrected]:
    """Each judge of the run, if there are labels enough."""
    from ragkit.evaluate.labels import corrected_by_labels

    judges = sorted({judgement.judge for record in records for judgement in record.judgements})
    corrected: list[Corrected] = []
    for judge in judges:
        try:
            corrected.append(corrected_by_labels(records, judge, labels, seed))
        except ValueError:  # too few labels for this one
            continue
    return corrected
