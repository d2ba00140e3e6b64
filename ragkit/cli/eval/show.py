"""`ragkit eval worst` and `ragkit eval show`: the questions that went wrong, and one question through every stage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ragkit.cli.eval.run import RunsOption
from ragkit.cli.eval.runs import read_run
from ragkit.cli.options import JsonOption, print_json
from ragkit.errors import RagkitError

if TYPE_CHECKING:
    from rich.text import Text

    from ragkit.evaluate.record import Record

_NAMED = 5
"""How many questions are named when several may be meant."""

RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="Id of a run, the beginning of one, or `last`.")]


def worst(
    run: RunArgument = "last",
    top: Annotated[int, typer.Option("--top", min=1, help="How many questions.")] = 20,
    runs_file: RunsOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the questions of a run that went worst: lost answers first, the earlier the stage the higher."""
    from rich.table import Table
    from rich.text import Text

    from ragkit.cli.printing import clean, console
    from ragkit.evaluate.ordering import worst_first

    found, records = read_run(run, runs_file)
    lost = worst_first(records)[:top]
    if as_json:
        print_json({"run": found.id, "questions": [record.model_dump(mode="json") for record in lost]})
        return
    table = Table(title=f"run {found.id}: {len(lost)} of {len(records)} questions", show_lines=True)
    # An id is to be copied, so it has a line of its own that nothing shortens.
    table.add_column("question", overflow="fold", ratio=1)
    table.add_column("answer", overflow="fold", ratio=1)
    for record in lost:
        table.add_row(_headed(record), Text(_shortened(clean(record.error or record.text))))
    console().print(table)


def _headed(record: Record) -> Text:
    """A question under its id and what became of it."""
    from rich.text import Text

    from ragkit.cli.printing import FAINT, clean
    from ragkit.evaluate.remarks import marked

    text = Text(f"{clean(record.case.id)}\n", style="bold")
    text.append(f"{marked(record)}\n", style=f"not bold {FAINT}")
    return text.append(_shortened(clean(record.case.question)), style="not bold")


def show(
    run: RunArgument,
    question: Annotated[
        str, typer.Argument(metavar="QUESTION", help="Id of the question, its part behind the /, or words.")
    ],
    runs_file: RunsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Follow one question of a run through every stage: where the labelled places ranked, and what was answered."""
    from rich.table import Table
    from rich.text import Text

    from ragkit.cli.printing import FAINT, clean, console, place
    from ragkit.evaluate.remarks import marked

    _, records = read_run(run, runs_file)
    record = _chosen(records, question)
    if as_json:
        print_json(record.model_dump(mode="json"))
        return
    screen = console()
    screen.print(Text(clean(record.case.question), style="bold"))
    screen.print(Text(f"id: {clean(record.case.id)}", style=FAINT))
    screen.print(f"outcome: {marked(record)}" + (f" ({clean(record.error)})" if record.error else ""))
    if record.case.answers:
        screen.print(f"labelled answers: {clean(' | '.join(record.case.answers))}")
    for labelled in record.places:
        ranks = ", ".join(f"{stage} {rank}" for stage, rank in labelled.ranks.items()) or "no stage ranked it"
        pages = f", page {', '.join(map(str, labelled.pages))}" if labelled.pages else ""
        screen.print(f"labelled place: {clean(labelled.document)}{pages}: came to {labelled.reached}; {ranks}")
    table = Table(title="retrieved")
    for heading in ("", "passage", "ranks"):
        table.add_column(heading)
    for number, passage in enumerate(record.passages, start=1):
        marks = f"{number}{'*' if passage.labelled else ''}{'' if passage.in_prompt else ' (not in the prompt)'}"
        where = ", ".join(part for part in (clean(passage.document), place(passage.page, passage.section)) if part)
        ranks = "\n".join(f"{stage} {rank}" for stage, rank in passage.ranks.items())
        table.add_row(marks, Text(f"{where}\n").append(_shortened(clean(passage.text), 300), style=FAINT), ranks)
    screen.print(table)
    screen.print("answer:")
    screen.print(Text(clean(record.text)))
    for citation in record.citations:
        holds = "" if citation.resolves else " DOES NOT RESOLVE"
        where = ", ".join(part for part in (clean(citation.document), place(citation.page, None)) if part)
        screen.print(f"  cites {where}, support {citation.support:.2f}{holds}: {_shortened(clean(citation.quote))}")
    values = [f"{name} {value:.2f}" for name, value in record.metrics.items() if "." not in name]
    screen.print(Text(" · ".join(values), style=FAINT))


def _chosen(records: list[Record], question: str) -> Record:
    """By its id, by the end of an id behind a "/" (ids begin with the name of their set), or by words of its text."""
    found = (
        [record for record in records if record.case.id == question]
        or [record for record in records if record.case.id.endswith(f"/{question}")]
        or [record for record in records if question.casefold() in record.case.question.casefold()]
    )
    if len(found) == 1:
        return found[0]
    if found:
        ids = ", ".join(record.case.id for record in found[:_NAMED])
        raise RagkitError(f"{len(found)} questions have {question!r}", mend=f"name one by its id: {ids}")
    raise RagkitError(f"no question of this run is or has {question!r}", mend="see: ragkit eval worst")


def _shortened(text: str, length: int = 160) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= length else f"{flat[: length - 2]} …"
