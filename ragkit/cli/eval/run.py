"""`ragkit eval run`: ask every question of a suite, measure the answers, and judge the suite's gates."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ragkit.cli.options import ConfigOption, JsonOption, SetOption, load, print_json

if TYPE_CHECKING:
    from ragkit.evaluate.runs import Run
    from ragkit.evaluate.suite import LoadedSuite
    from ragkit.evaluate.summary import Summary

SuiteOption = Annotated[Path, typer.Option("--suite", metavar="FILE", help="Suite: a YAML file, see eval/suites/.")]
RunsOption = Annotated[
    Path | None,
    typer.Option("--runs", metavar="FILE", help="Where runs are kept; .ragkit/evaluation.sqlite if left out."),
]

ResumeOption = Annotated[
    bool, typer.Option("--resume", help="Go on with the last run of the same things that did not end.")
]


def run(
    suite: SuiteOption,
    config: ConfigOption = None,
    sets: SetOption = None,
    runs_file: RunsOption = None,
    part: Annotated[
        Literal["test", "tuning", "all"], typer.Option("--part", help="Which questions of the suite are asked.")
    ] = "test",
    resume: ResumeOption = False,
    concurrency: Annotated[
        int, typer.Option("--concurrency", min=1, max=256, help="Questions asked at once; for models behind a server.")
    ] = 1,
    as_json: JsonOption = False,
) -> None:
    """Ask every question of a suite, measure the answers, and judge the suite's gates."""
    from ragkit.cli.eval.tables import summary_tables
    from ragkit.cli.printing import console
    from ragkit.cli.progress import index_progress, question_progress
    from ragkit.evaluate.run import run_suite, scratch_folder
    from ragkit.evaluate.runs import DEFAULT_FILE, Runs
    from ragkit.evaluate.suite import load_suite
    from ragkit.evaluate.summary import summarise

    loaded = load_suite(suite, scratch_folder(suite))
    say_beforehand(loaded.only(part), quiet=as_json)
    with Runs(runs_file or DEFAULT_FILE, create=True) as runs:
        with index_progress(quiet=as_json) as indexing, question_progress(quiet=as_json) as asked:
            done = run_suite(
                loaded,
                load(config, sets),
                runs,
                part=part,
                resume=resume,
                concurrency=concurrency,
                indexing=indexing,
                asked=asked,
                told=say,
            )
        summary = summarise(list(runs.records(done.id)), loaded.suite)
    if as_json:
        print_json(as_dict(done, summary))
    else:
        screen = console()
        for table in summary_tables(done, summary, loaded.suite.metrics):
            screen.print(table)
    if not summary.passed:
        raise typer.Exit(1)


def say(words: str) -> None:
    """On stderr, whatever is printed on stdout."""
    typer.echo(words, err=True)


def say_beforehand(loaded: LoadedSuite, quiet: bool) -> None:
    """What the questions can show at all, before any is asked, and what of their labels cannot be used; on stderr."""
    from ragkit.evaluate.power import DISAGREEMENT, before_asking

    if quiet:
        return
    clusters = len({case.cluster for case in loaded.cases})
    shows = before_asking(clusters)
    can = f"a difference of {shows:.2f} between two shares" if shows < 1 else "no difference between two shares"
    typer.echo(
        f"{len(loaded.cases)} questions, {clusters} of them independent (one for each document), can show {can}"
        f" (4 times in 5, if two systems disagree on {DISAGREEMENT:.0%} of them)",
        err=True,
    )
    for note in loaded.notes:
        typer.echo(f"note: {note}", err=True)


def as_dict(run: Run, summary: Summary) -> dict[str, Any]:
    """A run and its summary as the JSON promises it."""
    return {
        "run": run.id,
        "suite": run.suite,
        "config_hash": run.config_hash,
        "data_hash": run.data_hash,
        "index_hash": run.index_hash,
        "questions": summary.questions,
        "failed": summary.failed,
        "metrics": {name: figure.mean for name, figure in summary.figures.items()},
        "ci95": {name: [figure.low, figure.high] for name, figure in summary.figures.items()},
        "counts": {name: figure.questions for name, figure in summary.figures.items()},
        "segments": {
            segment: {name: figure.mean for name, figure in figures.items()}
            for segment, figures in summary.segments.items()
        },
        "segments_ci95": {
            segment: {name: [figure.low, figure.high] for name, figure in figures.items()}
            for segment, figures in summary.segments.items()
        },
        "synthetic": summary.synthetic,
        "outcomes": dict(summary.losses),
        "failed_judgements": dict(summary.failed_judgements),
        "latency_ms": {stage: asdict(latency) for stage, latency in summary.latency.items()},
        "cost_usd": summary.cost_usd,
        "unpriced": summary.unpriced,
        "gates": [
            {**result.gate.model_dump(exclude_none=True), "verdict": result.verdict, "value": _mean(result.figure)}
            for result in summary.gates
        ],
        "part": run.details.get("part", "all"),
        "notes": run.details.get("notes", []),
        "leaks": run.details.get("leaks", []),
        "passed": summary.passed,
    }


def _mean(figure: Any) -> float | None:
    return None if figure is None else figure.mean
