"""`ragkit train answerability`: when to refuse, fitted to the user's own questions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ragkit.cli.options import ConfigOption, JsonOption, load_with_origins, print_json
from ragkit.cli.train.common import (
    DryRunOption,
    SeedOption,
    TenantsOption,
    TrySetOption,
    config_file,
    models_folder,
    refuse_mixed_tenants,
    settle,
    teller,
)

if TYPE_CHECKING:
    from rich.table import Table

    from ragkit.evaluate.statistics import Interval
    from ragkit.train.answerability import Calibrated


def answerability(
    questions: Annotated[
        Path,
        typer.Option(
            "--questions",
            metavar="FILE",
            help="50 or more labelled questions, some with answerable: false: JSON lines, CSV, SQuAD or a BEIR folder."
            " Those of praised answers are not added: they are the ones that went well.",
        ),
    ],
    config: ConfigOption = None,
    sets: TrySetOption = None,
    seed: SeedOption = 0,
    dry_run: DryRunOption = False,
    all_tenants: TenantsOption = False,
    as_json: JsonOption = False,
) -> None:
    """Calibrate on labelled questions when to refuse; install it if the chances get better, else exit with 1.

    Questions of praised answers are left out: they are those that went well.
    """
    from ragkit.cli.printing import console
    from ragkit.cli.progress import question_count
    from ragkit.system import Ragkit
    from ragkit.train.answerability import calibrate, rows_of
    from ragkit.train.questions import collected

    say = teller(as_json)
    loaded = load_with_origins(config, sets)
    file = config_file(loaded)
    with Ragkit(loaded.config, follow=False) as rag:
        refuse_mixed_tenants(rag, all_tenants)
        # Praised answers are a selected sample: their questions are more answerable than those that people ask.
        asked = collected(rag, questions, models_folder(rag), praised=False)
        for note in asked.notes:
            say("note", note)
        with question_count(quiet=as_json) as progress:
            rows = rows_of(rag, asked.labelled, asked.unanswerable, say, progress)
        found = calibrate(rows, rag.config.generation, seed)
    counts = ", ".join(f"{count} {kind}" for kind, count in found.counts.items() if count)
    say("questions", f"{counts}; about {found.documents} documents")
    if not as_json:
        console().print(_table(found))
    ending = settle(file, found.scale.changes, found.why_not(), sets, say, dry_run=dry_run)
    if ending.installed:
        say("note", "generation.refusal.min_confidence decides from now on: max_false_refusals no longer does,")
        say("", "but for what another run of this command aims at")
    if as_json:
        print_json({**_as_dict(found), "installed": ending.installed, "diff": ending.diff})
    if ending.code:
        raise typer.Exit(ending.code)


def _table(found: Calibrated) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for column in ("", "now", "calibrated, on other documents"):
        table.add_column(column, overflow="fold")
    table.add_row("expected calibration error", f"{found.before.error:.3f}", f"{found.after.error:.3f}")
    for kind in found.before.refused:
        name = "answerable, refused" if kind == "answerable" else f"{kind}, caught"
        table.add_row(name, _cell(found.before.refused[kind]), _cell(found.after.refused[kind]))
    table.add_row("squared error of the chance", f"{found.before.squared:.3f}", f"{found.after.squared:.3f}")
    one = found.brier
    table.add_row("  difference", "", f"{one.mean:+.4f} ({one.low:+.4f} to {one.high:+.4f})")
    return table


def _cell(share: Interval) -> str:
    return f"{share.mean:.3f} ({share.low:.3f} to {share.high:.3f})"


def _as_dict(found: Calibrated) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "counts": found.counts,
        "documents": found.documents,
        "before": asdict(found.before),
        "after": asdict(found.after),
        "squared_error": asdict(found.brier),
        "wished_false_refusals": found.wished,
        **asdict(found.scale),
        "better": found.better,
    }
