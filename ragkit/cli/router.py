"""`ragkit router fit`: when a cheap answer does, found on recorded answers and held to a bound of the user's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ragkit.cli.eval.run import RunsOption, SuiteOption
from ragkit.cli.options import STYLE, ConfigOption, JsonOption, SetOption, load_with_origins, print_json

if TYPE_CHECKING:
    from rich.table import Table

    from ragkit.config.edit import Scalar
    from ragkit.config.keys import KeyPath
    from ragkit.config.routing import Cascade
    from ragkit.gateway.router_fit import Fit
    from ragkit.gateway.router_replay import Compared

app = typer.Typer(help="Fit the router to recorded answers.", **STYLE)

_SHOWN = 9
"""Thresholds of the table; all are in --json and in the page."""


@app.callback()
def _group() -> None:  # pyright: ignore[reportUnusedFunction]
    """Fit the router to recorded answers."""


@app.command()
def fit(
    suite: SuiteOption,
    config: ConfigOption = None,
    sets: SetOption = None,
    most_lost: Annotated[
        float,
        typer.Option("--most-lost", min=0.0, max=100.0, metavar="POINTS", help="Most accuracy that may be lost."),
    ] = 1.0,
    runs_file: RunsOption = None,
    concurrency: Annotated[
        int, typer.Option("--concurrency", min=1, max=256, help="Questions asked at once; for models behind a server.")
    ] = 1,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write accuracy against cost as a page.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Change no file.")] = False,
    seed: Annotated[int, typer.Option("--seed")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Ask each endpoint the questions of a suite, and find when the answer of a cheap one does.

    It is fitted on the tuning part and reported on the test part. Endpoints stand in the config from the cheapest to
    the dearest; what was asked before is not asked again.
    """
    from ragkit.cli.printing import console
    from ragkit.cli.progress import index_progress, question_progress
    from ragkit.cli.train.common import config_file, settle, teller
    from ragkit.config.edit import change_config
    from ragkit.embed import make_embedder
    from ragkit.evaluate.run import scratch_folder
    from ragkit.evaluate.runs import DEFAULT_FILE, Runs
    from ragkit.evaluate.suite import load_suite
    from ragkit.gateway.router_checks import check
    from ragkit.gateway.router_fit import fit as fitted
    from ragkit.gateway.router_log import logged, record
    from ragkit.gateway.router_report import page, rivals

    say = teller(as_json)
    read = load_with_origins(config, sets)
    file = config_file(read)
    loaded = load_suite(suite, scratch_folder(suite))
    check(loaded, read.config)
    names = [endpoint.name for endpoint in read.config.routing.endpoints]
    # Whether the file takes such keys is known before anything is paid for.
    change_config(file, _placeholders(names), dry_run=True)
    with Runs(runs_file or DEFAULT_FILE, create=True) as runs, index_progress(quiet=as_json) as indexing:
        answers = record(
            loaded,
            read.config,
            runs,
            concurrency=concurrency,
            indexing=indexing,
            asked=lambda _: question_progress(quiet=as_json),
        )
    rows = logged(loaded, read.config, answers)
    to_fit = [row for row in rows if row.id in loaded.tuning]
    to_report = [row for row in rows if row.id not in loaded.tuning]
    found = fitted(to_fit, most_lost / 100, seed=seed)
    compared: list[Compared] = []
    if to_report:
        compared = rivals(names, make_embedder(read.config.ingestion.embedding), found, to_fit, to_report, seed)
    if not as_json:
        console().print(steps_table(found, most_lost))
        if compared:
            console().print(compared_table(compared, names, len(to_report)))
    if html is not None:
        html.parent.mkdir(parents=True, exist_ok=True)
        html.write_text(page(found, compared, names, len(to_report)), encoding="utf-8")
    ending = settle(
        file,
        _changes(found, names, read.config.routing.cascade),
        why_not(found, names, most_lost),
        sets,
        say,
        dry_run=dry_run,
    )
    if as_json:
        print_json({"fit": asdict(found), "test": [asdict(each) for each in compared], "installed": ending.installed})
    if ending.code:
        raise typer.Exit(ending.code)


def _changes(found: Fit, names: Sequence[str], now: Cascade) -> dict[KeyPath, Scalar]:
    """The keys to set; a weight of 0 is the default and only written where the file has another."""
    changes: dict[KeyPath, Scalar] = {("routing", "policy"): "cascade"}
    if found.threshold is not None:
        changes["routing", "cascade", "threshold"] = found.threshold
    for name, score in zip(names, found.scores, strict=False):
        given = now.scores[name].model_fields_set if name in now.scores else frozenset[str]()
        for key, value in score.model_dump().items():
            if value or key in given:
                changes["routing", "cascade", "scores", name, key] = value
    return changes


def _placeholders(names: Sequence[str]) -> dict[KeyPath, Scalar]:
    from ragkit.config.routing import Score

    changes: dict[KeyPath, Scalar] = {("routing", "policy"): "cascade", ("routing", "cascade", "threshold"): 0.5}
    for name in names[:-1]:
        changes |= {("routing", "cascade", "scores", name, key): 1.0 for key in Score.model_fields}
    return changes


def why_not(found: Fit, names: Sequence[str], most_lost: float) -> str:
    """Why the cascade does not go into the config, "" if it does; `most_lost` are points."""
    last = found.nano_usd[-1]
    for name, nano in zip(names[:-1], found.nano_usd, strict=False):
        if nano > last:
            return (
                f"1,000 answers of {name} cost ${nano / 1e6:.3f} and those of {names[-1]}, the last endpoint,"
                f" ${last / 1e6:.3f}; write routing.endpoints from the cheapest to the dearest"
            )
    if found.threshold is None:
        return _not_shown(found, most_lost)
    if not last:
        return f"{names[-1]} costs nothing, so nothing is saved; set costs.prices or costs.machine_usd_per_hour"
    if found.step is not None and found.step.cost_share >= 1:
        return (
            f"nothing is saved: at threshold {found.threshold:.3f}, the lowest that keeps the bound, the cascade costs"
            f" {found.step.cost_share:.0%} of {names[-1]} alone"
        )
    return ""


def _not_shown(found: Fit, most_lost: float) -> str:
    from ragkit.gateway.router_fit import documents_for

    if not found.steps:
        return "no cheap endpoint gave an answer: they only refused"
    safest = found.steps[0]
    said = (
        f"no threshold is shown to lose at most {most_lost:g} points: the safest, {safest.threshold:.3f}, lost"
        f" {100 * safest.lost:.1f} on {found.clusters} documents, which shows {100 * safest.at_most:.1f}"
    )
    needed = documents_for(most_lost / 100)
    if needed is not None and found.clusters < needed:
        return (
            f"{said}; {most_lost:g} takes about {needed:,} documents even if nothing is lost: label questions about"
            " more of them, or allow more with --most-lost"
        )
    return f"{said}; allow more with --most-lost, or take a cheap endpoint that is right more often"


def steps_table(found: Fit, most_lost: float) -> Table:
    """What thresholds lose and cost on the questions that they were chosen on."""
    from rich.table import Table

    title = f"fitted to {found.questions} questions about {found.clusters} documents, at most {most_lost:g} points lost"
    table = Table(title=title)
    for heading in ("threshold", "points lost", "at most (95%)", "cost"):
        table.add_column(heading, justify="right")
    apart = max(1, len(found.steps) // _SHOWN)
    for number, step in enumerate(found.steps):
        chosen = step.threshold == found.threshold
        if chosen or number % apart == 0:
            table.add_row(
                f"{step.threshold:.3f}",
                f"{100 * step.lost:+.1f}",
                f"{100 * step.at_most:+.1f}",
                f"{step.cost_share:.0%}",
                style="bold green" if chosen else "",
            )
    return table


def compared_table(compared: Sequence[Compared], names: Sequence[str], questions: int) -> Table:
    """The cascade and what it must beat, on questions that it was not fitted to."""
    from rich.table import Table

    from ragkit.gateway.router_report import SAME_SPEND

    table = Table(title=f"{questions} test questions", caption=SAME_SPEND if len(compared) > 1 else None)
    for heading in ("", "right (95%)", f"against {names[-1]} (95%), points", "$ for 1,000", "saved", "answered by"):
        table.add_column(heading, justify="left" if heading in ("", "answered by") else "right")
    for each in compared:
        one, other = each.right, each.change
        table.add_row(
            each.name,
            f"{one.mean:.3f} ({one.low:.3f} to {one.high:.3f})",
            f"{100 * other.mean:+.1f} ({100 * other.low:+.1f} to {100 * other.high:+.1f})",
            f"{each.usd_per_1000:.3f}",
            f"{each.saved:.0%}",
            ", ".join(f"{name} {share:.0%}" for name, share in zip(names, each.answered, strict=True) if share),
        )
    return table
