"""`ragkit eval generate` and `ragkit eval split`: make a set of questions, and part one for tuning and testing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ragkit.cli.options import ConfigOption, JsonOption, SetOption, load, print_json
from ragkit.errors import RagkitError


def generate(
    out: Annotated[Path, typer.Argument(metavar="FILE", help="Where the questions are written, as JSON lines.")],
    count: Annotated[int, typer.Option("--count", min=1, max=10_000, help="How many questions.")] = 50,
    by_model: Annotated[
        bool, typer.Option("--by-model", help="Let the config's language model write them instead of templates.")
    ] = False,
    seed: Annotated[int, typer.Option("--seed", help="Another one draws other sentences.")] = 0,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
    config: ConfigOption = None,
    sets: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make questions from sentences of the index; read and mend them before you trust a figure on them."""
    from ragkit.cli.printing import counted, loading
    from ragkit.evaluate import generate as generating
    from ragkit.system import Ragkit

    if out.exists() and not force:
        raise RagkitError(f"{out} is there already", mend="name another file, or add --force; a review is work")
    with Ragkit(load(config, sets), follow=False) as rag:
        if by_model and rag.config.generation.backend == "extractive":
            raise RagkitError("--by-model needs a language model", mend="use configs/local-llm.yaml, or leave it out")
        writer = generating.by_model(rag) if by_model else generating.by_template
        with loading("making questions", quiet=as_json):
            made = generating.generate_cases(rag, count, writer=writer, seed=seed)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text("".join(f"{case.model_dump_json(exclude_defaults=True)}\n" for case in made.cases), encoding="utf-8")
    if as_json:
        print_json({"written": str(out), "questions": len(made.cases), "dropped": made.dropped})
        return
    dropped = ", ".join(f"{number} {reason}" for reason, number in made.dropped.items() if number)
    made_of = counted(len(made.cases), "synthetic question")
    typer.echo(f"{made_of} in {out}" + (f" (dropped: {dropped})" if dropped else ""))
    typer.echo("now read them: mend what is odd, delete the line of what is no good, then name the file in a suite")
    typer.echo('every report marks them as synthetic; take "synthetic":true out of the lines that you have checked')


def split(
    questions: Annotated[
        Path, typer.Argument(metavar="QUESTIONS", help="JSON lines, CSV, SQuAD JSON or a BEIR folder.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where tuning.jsonl and test.jsonl are written.")],
    test: Annotated[float, typer.Option("--test", min=0.01, max=0.99, help="Share of the test part.")] = 0.5,
    as_json: JsonOption = False,
) -> None:
    """Part questions by document into tuning and test, and look for what the parts have in common."""
    from dataclasses import asdict

    from ragkit.cli.printing import clean
    from ragkit.evaluate.leakage import leaks_between
    from ragkit.evaluate.remarks import on_synthetic
    from ragkit.evaluate.split import split_cases, write_split
    from ragkit.evaluate.suite import read_questions

    found = read_questions(questions, out / f"{questions.stem}.jsonl")
    parts = split_cases(found.cases, test)
    if not all(parts):
        raise RagkitError(
            f"the questions of {questions} hang together by their documents, so that one part would be empty",
            mend="add questions about other documents",
        )
    facts = write_split(*parts, out)
    leaks = leaks_between(*parts)
    if as_json:
        notes = {
            "notes": found.notes,
            "synthetic": sum(case.synthetic for case in found.cases),
            "documents": None if found.documents is None else str(found.documents),
        }
        print_json({"folder": str(out), **facts, **notes, "leaks": [asdict(leak) for leak in leaks]})
    else:
        counts = f"{facts['tuning_questions']} for tuning, {facts['test_questions']} for testing"
        typer.echo(f"{counts}: {out}/tuning.jsonl, test.jsonl; hashes in split.json")
        for remark in on_synthetic(sum(case.synthetic for case in found.cases), len(found.cases)):
            typer.echo(remark)
        if found.documents is not None:
            typer.echo(f"their documents: {found.documents} (corpus: of a suite)")
        for note in found.notes:
            typer.echo(clean(f"note: {note}"))
        for leak in leaks:
            said = f"leak: {leak.kind}: test question {leak.test}, tuning question {leak.other} {leak.detail}"
            typer.echo(clean(said.rstrip()))
