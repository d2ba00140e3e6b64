"""`ragkit eval sweep`: try values of config keys on the tuning part, report the best once on the test part."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ragkit.cli.eval.run import SuiteOption
from ragkit.cli.options import ConfigOption, JsonOption, SetOption, load, print_json
from ragkit.errors import ConfigError

if TYPE_CHECKING:
    from ragkit.config.schema import Config
    from ragkit.evaluate.sweep import Settings, Sweep, Trial


def sweep(
    suite: SuiteOption,
    choices: Annotated[
        list[str],
        typer.Option(
            "--try", metavar="KEY=A,B,C", help="Values of a config key, e.g. retrieval.fusion.k=10,60; repeatable."
        ),
    ],
    metric: Annotated[
        str, typer.Option("--metric", help="What to make high: STAGE.LEVEL.MEASURE.")
    ] = "fused.document.ndcg@10",
    trials: Annotated[
        int | None,
        typer.Option("--trials", min=1, help="Sample so many combinations with Optuna instead of trying all."),
    ] = None,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write quality against time and cost as a page.")
    ] = None,
    config: ConfigOption = None,
    sets: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Try config values on the tuning part of a suite; the winner is measured once on the test part."""
    from ragkit.evaluate.remarks import on_synthetic
    from ragkit.evaluate.run import scratch_folder
    from ragkit.evaluate.suite import load_suite
    from ragkit.evaluate.sweep import grid, sampled
    from ragkit.evaluate.sweep import sweep as run_sweep

    wanted = _wanted(choices)
    loaded = load_suite(suite, scratch_folder(suite))

    def configure(settings: Settings) -> Config:
        return load(config, [*(sets or ()), *(f"{key}={value}" for key, value in settings.items())])

    for key, values in wanted.items():
        for value in values:
            configure({key: value})  # a wrong key or value is said before any work
    chooser = grid(wanted) if trials is None else sampled(wanted, trials, loaded.suite.seed)
    said = None if as_json else _say
    found = run_sweep(loaded, configure, chooser, metric, seed=loaded.suite.seed, tried=said)
    if html is not None:
        from ragkit.evaluate.page.frontier import frontier

        html.parent.mkdir(parents=True, exist_ok=True)
        html.write_text(frontier(found), encoding="utf-8")
    if as_json:
        print_json(_as_dict(found))
    else:
        for remark in on_synthetic(sum(case.synthetic for case in loaded.cases), len(loaded.cases)):
            typer.echo(remark)
        _print(found)


def _wanted(choices: Sequence[str]) -> dict[str, list[str]]:
    """The values by key. Raises ConfigError for a key that is named twice, or that no ranking depends on."""
    pairs = [_choice(each) for each in choices]
    keys = [key for key, _ in pairs]
    for key in keys:
        if keys.count(key) > 1:
            raise ConfigError(f"--try {key} is there twice", mend=f"name its values together: --try {key}=A,B,C")
        if not key.startswith(_RANKING):
            raise ConfigError(
                f"--try {key}: a sweep measures the ranking, which does not depend on it",
                mend="use ragkit eval run with --set, and ragkit eval compare",
            )
    return dict(pairs)


def _choice(text: str) -> tuple[str, list[str]]:
    key, equals, values = text.partition("=")
    if not equals or not values:
        raise ConfigError(f"--try {text}: write it as key=value,value", mend="e.g. --try retrieval.fusion.k=10,60")
    return key.strip(), [value.strip() for value in values.split(",")]


_RANKING = ("ingestion.", "retrieval.")


def _say(trial: Trial) -> None:
    typer.echo(f"{trial.mean:.4f}  {trial.milliseconds:6.1f} ms  {trial.name}", err=True)


def _as_dict(found: Sweep) -> dict[str, Any]:
    gain = None if found.gain is None else {"mean": found.gain.mean, "ci95": [found.gain.low, found.gain.high]}
    return {
        "metric": found.metric,
        "trials": [
            {
                "settings": dict(trial.settings),
                "tuning": trial.mean,
                "milliseconds": trial.milliseconds,
                "usd_per_1000": trial.usd_per_1000,
            }
            for trial in found.trials
        ],
        "winner": dict(found.winner.settings),
        "tuning": {"base": found.base.mean, "winner": found.winner.mean, "p": found.p_tuning},
        "test": {"base": found.base_test, "winner": found.winner_test, "gain": gain},
        "questions": {"tuning": found.tuning_questions, "test": found.test_questions},
        "better": found.better,
    }


def _print(found: Sweep) -> None:
    from rich.table import Table

    from ragkit.cli.printing import console
    from ragkit.evaluate.page.frontier import dollars

    screen = console()
    table = Table(title=f"{found.metric} on {found.tuning_questions} tuning questions")
    table.add_column("settings")
    for heading in ("value", "ms", "$ for 1,000"):
        table.add_column(heading, justify="right")
    for trial in sorted((found.base, *found.trials), key=lambda trial: -trial.mean)[:20]:
        style = "bold green" if trial is found.winner else ""
        table.add_row(trial.name, f"{trial.mean:.4f}", f"{trial.milliseconds:.1f}", dollars(trial), style=style)
    screen.print(table)
    if found.gain is None:
        screen.print("nothing was better on the tuning part than the config as it is")
        return
    screen.print(f"winner: {found.winner.name} (p {found.p_tuning:.3f} for {len(found.trials)} trials, Holm)")
    screen.print(
        f"on {found.test_questions} test questions: {found.winner_test:.4f} against {found.base_test:.4f}, gain"
        f" {found.gain.mean:+.4f} (95% {found.gain.low:+.4f} to {found.gain.high:+.4f})"
    )
    screen.print("better, by the lower bound" if found.better else "no gain is shown: keep the config as it is")
