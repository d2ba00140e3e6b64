"""`ragkit index --blue-green` and `--rollback`: another index takes the place of the one that is searched, and back."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ragkit.cli.options import print_json

if TYPE_CHECKING:
    from ragkit.config import Config
    from ragkit.embed import Embedder
    from ragkit.evaluate.two_indexes import Comparison, IndexComparison
    from ragkit.ingest.report import IndexReport

Shown = Callable[["IndexReport"], None]
"""Prints what a run of the index path did."""


def blue_green(
    config: Config,
    paths: Sequence[str],
    *,
    suite: Path | None,
    margin: float | None,
    grace_s: float,
    retry: bool,
    wait_s: float,
    as_json: bool,
    show: Shown,
) -> IndexReport:
    """Build, compare by the suite if there is one, switch, and say so; exit 1 where it is not shown to do."""
    from ragkit.cli.printing import console
    from ragkit.cli.progress import index_progress
    from ragkit.embed import make_embedder
    from ragkit.errors import ConfigError
    from ragkit.evaluate.two_indexes import NotShown
    from ragkit.ingest.blue_green import switch_index

    if suite is None and margin is not None:
        raise ConfigError("--margin is of a comparison", mend="name the questions for it: --suite FILE")
    embedder = make_embedder(config.ingestion.embedding)
    # What is wrong with the suite or the model of before shows here, before hours of embedding.
    comparison = None if suite is None else _comparison(config, suite, margin, embedder)
    verify = None if comparison is None else comparison.verify
    try:
        with index_progress(quiet=as_json) as progress:
            report, kept_until = switch_index(
                config,
                paths,
                verify=verify,
                grace_s=grace_s,
                embedder=embedder,
                retry=retry,
                wait_s=wait_s,
                progress=progress,
            )
    except NotShown as error:
        if as_json:
            print_json({"switched": False, "comparison": _as_dict(error.comparison)})
        else:
            typer.echo(str(error))
        raise typer.Exit(1) from None
    compared = None if comparison is None else comparison.comparison
    if as_json:
        print_json(
            {**report.as_dict(), "switched": True, "kept_until": _time(kept_until), "comparison": _as_dict(compared)}
        )
        return report
    show(report)
    screen = console()
    if compared is None:
        screen.print("The new index was not compared with the old one; --suite FILE does that.", soft_wrap=True)
    else:
        for gain in compared.gains:
            between = f"{gain.interval.low:+.3f} to {gain.interval.high:+.3f}"
            screen.print(f"{gain.measure}: {gain.old:.3f} → {gain.new:.3f}, {gain.interval.mean:+.3f} ({between})")
        screen.print(f"on {compared.questions} questions about {compared.documents} documents")
    screen.print(
        f"The new index is searched now. The old one is kept until {_time(kept_until)}: ragkit index --rollback",
        soft_wrap=True,
    )
    screen.print("Processes that run go over to it by themselves; give them this config before they start again.")
    return report


def rollback(config: Config, *, grace_s: float, wait_s: float, as_json: bool) -> None:
    """Switch back, and say to what."""
    from rich.text import Text

    from ragkit.cli.printing import clean, console, counted
    from ragkit.ingest.blue_green import roll_back

    back = roll_back(config, grace_s=grace_s, wait_s=wait_s)
    if as_json:
        print_json({**asdict(back), "kept_until": _time(back.kept_until)})
        return
    screen = console()
    screen.print("The old index is searched again.")
    for line in back.settings:
        screen.print(Text(f"  {clean(line)}"))
    if back.behind:
        screen.print(
            f"{counted(back.behind, 'document')} of the other index are not in it, or in another version: run ragkit"
            " index with its config",
            soft_wrap=True,
        )
    screen.print(f"The other one is kept until {_time(back.kept_until)}; --rollback again goes back to it.")


def _comparison(config: Config, suite: Path, margin: float | None, embedder: Embedder) -> IndexComparison:
    from ragkit.embed import make_embedder
    from ragkit.evaluate.run import scratch_folder
    from ragkit.evaluate.suite import load_suite
    from ragkit.evaluate.two_indexes import MARGIN, IndexComparison
    from ragkit.ingest.blue_green import built_before
    from ragkit.rerank import make_reranker

    loaded = load_suite(suite, scratch_folder(suite)).only("test")
    old = make_embedder(built_before(config).ingestion.embedding)
    old.embed_question("warm up")
    return IndexComparison(
        loaded.cases,
        old,
        embedder,
        make_reranker(config.retrieval.reranking),
        margin=MARGIN if margin is None else margin,
        seed=loaded.suite.seed,
    )


def _as_dict(comparison: Comparison | None) -> dict[str, Any] | None:
    return None if comparison is None else {**asdict(comparison), "holds": comparison.holds}


def _time(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))
