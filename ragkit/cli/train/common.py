"""What the commands that train share: their options, their questions, and how a result gets into the config."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ragkit.errors import ConfigError, RagkitError

if TYPE_CHECKING:
    from ragkit.config import LoadedConfig
    from ragkit.config.edit import Scalar
    from ragkit.config.keys import KeyPath
    from ragkit.system import Ragkit
    from ragkit.train.compared import Gain
    from ragkit.train.folder import RunFolder
    from ragkit.train.questions import Asked, Parts

ENOUGH_LABELLED = 500
"""Labelled questions from which on none are made unless --synthetic says so; and how many are made below it."""

QuestionsOption = Annotated[
    Path | None,
    typer.Option("--questions", metavar="FILE", help="Labelled questions: JSON lines, CSV, SQuAD or a BEIR folder."),
]
SyntheticOption = Annotated[
    int | None,
    typer.Option(
        "--synthetic",
        metavar="N",
        min=0,
        max=100_000,
        help=f"Make N questions from the index to train on; left out, {ENOUGH_LABELLED} if fewer are labelled.",
    ),
]
TemplatesOption = Annotated[
    bool, typer.Option("--by-template", help="Make them without the config's language model, even if there is one.")
]
OutOption = Annotated[
    Path | None, typer.Option("--out", metavar="DIR", help="Where the model goes; left out, beside the index.")
]
MinutesOption = Annotated[float, typer.Option("--minutes", min=0.01, help="About how long to train at most.")]
StepsOption = Annotated[
    int | None, typer.Option("--steps", metavar="N", min=1, help="Train so many steps, however long they take.")
]
SeedOption = Annotated[int, typer.Option("--seed", help="Another one draws other questions and passages.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Show what the config would become, and leave it.")]
TrySetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Set one config key for a try, of which nothing is installed; repeatable."
    ),
]
TenantsOption = Annotated[
    bool, typer.Option("--all-tenants", help="Learn from the documents of all tenants of a shared index.")
]


Say = Callable[[str, str], None]
"""Prints a word and a line."""


def teller(as_json: bool) -> Say:
    """What prints the lines of a run: on stdout, or on stderr where stdout is for JSON."""
    from ragkit.cli.printing import clean

    def say(word: str, line: str) -> None:
        typer.echo(clean(f"{word:<13} {line}"), err=as_json)

    return say


def refuse_mixed_tenants(rag: Ragkit, agreed: bool) -> None:
    """Raise RagkitError for an index with documents of tenants, unless somebody said that this may be."""
    if not agreed and "tenant" in rag.snapshot().manifest.metadata_fields():
        raise RagkitError(
            "the index holds documents of tenants, and what is trained learns from all of them",
            mend="add --all-tenants if that may be, or train on an index of one tenant's documents",
        )


def models_folder(rag: Ragkit) -> Path:
    """Where models go that --out does not place: beside the index."""
    return rag.config.ingestion.store.path.parent / "models"


def folder_of_run(
    rag: Ragkit, kind: str, out: Path | None, asked: Asked, parts: Parts, settings: Mapping[str, Any], **more: str
) -> RunFolder:
    """Where a run works, named by all that its result depends on: so a run that was stopped finds what it did."""
    from ragkit.evaluate.run import index_fingerprint
    from ragkit.train.folder import run_folder

    depends_on = {
        **more,
        "index": index_fingerprint(rag.snapshot().manifest),
        "questions": asked.digest,
        "settings": dict(settings),
        "made": [each.case.id for each in parts.train if each.case.synthetic],
    }
    return run_folder(models_folder(rag), kind, out, depends_on)


def questions(
    rag: Ragkit,
    file: Path | None,
    synthetic: int | None,
    seed: int,
    say: Say,
    *,
    by_template: bool,
    chooses: bool,
) -> tuple[Asked, Parts, int]:
    """The questions, their parts, and how many more are to be made of sentences and headings.

    `chooses` says whether a part is needed to choose something on. Labelled questions are what is measured on; made
    ones are trained on too. Without labelled ones made ones are parted in their place. Raises RagkitError if nothing
    can be held out.
    """
    from ragkit.cli.printing import counted, loading
    from ragkit.train.questions import collected, made, parted, placed

    folder = models_folder(rag)
    asked = collected(rag, file, folder)
    wanted = synthetic if synthetic is not None else ENOUGH_LABELLED if len(asked.labelled) < ENOUGH_LABELLED else 0
    facts = wanted // 2
    if facts and rag.config.can_write and not by_template:
        say("questions", f"{facts} are made by the language model of the config (--by-template: without it)")
    with loading("making questions", quiet=False):
        cases = made(rag, facts, seed, folder, by_model=not by_template) if facts else []
    more = placed(cases, rag.snapshot())
    if asked.labelled:
        parts = parted(asked.labelled, chooses=chooses)
        held_out = parts.held_out
        parts = replace(parts, train=[*parts.train, *(each for each in more if not each.documents & held_out)])
    else:
        asked.labelled = more
        parts = parted(more, chooses=chooses)
    if cases:
        asked.counts["made"] = len(more)
    said = ", ".join(f"{count:,} {source}" for source, count in asked.counts.items())
    choice = f"{len(parts.tuning)} to choose, " if chooses else ""
    sizes = f"{len(parts.train)} to train, {choice}{len(parts.test)} to report on"
    say("questions", f"{said}: {sizes}, no document in two of these")
    for note in asked.notes:
        say("note", note)
    if asked.synthetic:
        say("note", f"{counted(len(parts.test), 'question')} to report on are made, which are easier than people's:")
        say("", "a gain on them is no promise; label questions of your own and name them with --questions")
    return asked, parts, wanted - facts


def config_file(loaded: LoadedConfig) -> Path:
    """The file that a result is installed in. Raises ConfigError if there is none."""
    if not loaded.files:
        raise ConfigError("there is no config file to install a result in", mend="run: ragkit init")
    return loaded.files[-1]


def report(gains: list[Gain], say: Say) -> None:
    """The gains, a line each."""
    for each in gains:
        say("result", each.in_words())


def why_not(gains: Sequence[Gain]) -> str:
    """Why the result does not help: the first gain that is not shown. Empty if all are."""
    return next((each.why_not() for each in gains if not each.shown), "")


@dataclass(frozen=True, slots=True)
class Ending:
    """What became of a result: whether the config has it now, what changes there, and the exit code of the command."""

    installed: bool
    diff: str
    code: int


def settle(
    file: Path,
    changes: Mapping[KeyPath, Scalar],
    why_not: str,
    sets: Sequence[str] | None,
    say: Say,
    *,
    dry_run: bool,
) -> Ending:
    """Set the keys in the config file, or show what would be set, or say why neither: `why_not`, empty if it helps.

    With --set nothing is installed: the gain was measured with keys that the file does not have, and might be none
    without them.
    """
    from ragkit.config.edit import change_config

    if why_not:
        say("not installed", f"{why_not}; {file} is as it was")
        return Ending(False, "", 1)
    installs = not (dry_run or sets)
    diff = change_config(file, changes, dry_run=not installs)
    say("installed" if installs else "dry run", f"{file}, {'these lines' if installs else 'which stays as it is'}:")
    for line in diff.splitlines() or ["(it says so already)"]:
        say("", line)
    if sets:
        # Names alone: a value may be a secret.
        names = " ".join(f"--set {each.partition('=')[0].strip()}" for each in sets)
        say(
            "not installed",
            f"the figures hold under {names}, which the file does not have; write it into the file first",
        )
    return Ending(installs, diff, 1 if sets else 0)
