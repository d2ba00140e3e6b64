"""`ragkit batch`: the questions of a file, each with its answer in another file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ragkit.cli.options import ConfigOption, SetOption, load

if TYPE_CHECKING:
    from ragkit.batch.interface import Batch
    from ragkit.batch.questions import AnswersFile
    from ragkit.gateway.ledger import Payer
    from ragkit.system import Ragkit


def batch(
    questions: Annotated[Path, typer.Argument(help="A question a line, or JSON lines with `question` and maybe `id`.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="File of answers, a JSON line each [default: FILE.answers.jsonl].")
    ] = None,
    config: ConfigOption = None,
    overrides: SetOption = None,
    provider: Annotated[
        bool, typer.Option("--provider", help="Send them through the batch interface of generation.base_url.")
    ] = False,
    concurrency: Annotated[
        int, typer.Option("--concurrency", min=1, max=256, help="Questions that are asked at once from here.")
    ] = 4,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="--provider: wait for the answers, or end when they are asked for.")
    ] = True,
    every_s: Annotated[float, typer.Option("--every", min=0.1, help="--provider: seconds between two looks.")] = 30.0,
    tenant: Annotated[str, typer.Option("--tenant", help="Whom the ledger charges.")] = "",
) -> None:
    """Answer a file of questions; the same command goes on where a run ended."""
    from ragkit.batch.questions import AnswersFile, read_questions
    from ragkit.cli.printing import console
    from ragkit.gateway.ledger import Payer
    from ragkit.system import Ragkit

    asked = read_questions(questions)
    to = out or questions.with_name(f"{questions.stem}.answers.jsonl")
    with Ragkit(load(config, overrides)) as rag, AnswersFile(to, rag.config_hash, asked) as answers:
        if len(answers.left) < len(asked):
            console(stderr=True).print(f"{len(asked) - len(answers.left)} of {len(asked)} are answered already")
        rag.snapshot()
        if provider:
            _by_provider(rag, answers, Payer(tenant), every_s if wait else None)
        else:
            _from_here(rag, answers, Payer(tenant), concurrency)
        console().print(f"{len(asked) - len(answers.left)} of {len(asked)} answered in {to}", soft_wrap=True)
        if answers.failed:
            console(stderr=True).print(f"{answers.failed} failed; the same command asks them again")
        if answers.left:
            raise typer.Exit(1)


def _from_here(rag: Ragkit, answers: AnswersFile, payer: Payer, concurrency: int) -> None:
    from ragkit.batch.local import ask_all
    from ragkit.cli.ask import as_dict
    from ragkit.cli.progress import counted

    with counted(len(answers.left), "questions") as step:
        ask_all(rag, answers, payer=payer, concurrency=concurrency, as_row=as_dict, told=step)


def _by_provider(rag: Ragkit, answers: AnswersFile, payer: Payer, every_s: float | None) -> None:
    """`every_s` None: do not wait."""
    from ragkit.batch.provider import collect, submit, wait_for
    from ragkit.cli.ask import as_dict
    from ragkit.cli.printing import console
    from ragkit.cli.progress import counted

    with counted(len(answers.left), "prepared") as step:
        begun = submit(rag, answers, payer=payer, as_row=as_dict, told=step)
    if begun is None:
        return
    screen = console(stderr=True)
    screen.print(f"batch {begun.batch} is under way; the same command collects it", soft_wrap=True)
    if every_s is None:
        return
    before: list[Batch] = []

    def told(now: Batch) -> None:
        if not before or (now.status, now.completed) != (before[-1].status, before[-1].completed):
            screen.print(f"{now.status}: {now.completed} of {now.total} done, {now.failed} failed")
        before[:] = [now]

    ended = wait_for(rag.config, begun, every_s=every_s, told=told)
    collect(rag, answers, begun, ended, payer=payer, as_row=as_dict)
