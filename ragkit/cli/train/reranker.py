"""`ragkit train reranker`: a reranker for the user's own index, installed only if it is shown to help there."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from ragkit.cli.options import ConfigOption, JsonOption, load_with_origins, print_json
from ragkit.cli.train.common import (
    DryRunOption,
    MinutesOption,
    OutOption,
    QuestionsOption,
    SeedOption,
    StepsOption,
    SyntheticOption,
    TemplatesOption,
    TenantsOption,
    TrySetOption,
    config_file,
    folder_of_run,
    questions,
    refuse_mixed_tenants,
    report,
    settle,
    teller,
    why_not,
)
from ragkit.errors import ConfigError


def reranker(
    config: ConfigOption = None,
    sets: TrySetOption = None,
    questions_file: QuestionsOption = None,
    synthetic: SyntheticOption = None,
    by_template: TemplatesOption = False,
    base: Annotated[
        str, typer.Option("--base", metavar="MODEL", help="A BERT to begin with, as `ragkit models` names it.")
    ] = "all-MiniLM-L6-v2",
    layers: Annotated[
        str | None, typer.Option("--layers", metavar="0,2,5", help="Keep only these layers of it: quicker, and weaker.")
    ] = None,
    minutes: MinutesOption = 20.0,
    steps: StepsOption = None,
    seed: SeedOption = 0,
    out: OutOption = None,
    dry_run: DryRunOption = False,
    all_tenants: TenantsOption = False,
    as_json: JsonOption = False,
) -> None:
    """Train a reranker on questions about your index; install it if it helps there, else exit with 1.

    A run that was stopped goes on when the same command is given again.
    """
    from ragkit.cli.progress import training_progress
    from ragkit.system import Ragkit
    from ragkit.train.folder import check_out
    from ragkit.train.reranker import (
        RerankerSettings,
        base_folder,
        check_layers,
        check_reranker_packages,
        train_reranker,
    )

    say = teller(as_json)
    loaded = load_with_origins(config, sets)
    file = config_file(loaded)
    kept = _layers(layers)
    check_layers(base_folder(base), kept)
    check_reranker_packages()
    if out is not None:
        check_out(out)
    with Ragkit(loaded.config, follow=False) as rag:
        refuse_mixed_tenants(rag, all_tenants)
        asked, parts, rest = questions(rag, questions_file, synthetic, seed, say, by_template=by_template, chooses=True)
        settings = RerankerSettings(
            base=base,
            layers=kept,
            steps=steps,
            minutes=minutes,
            sentences=rest - rest // 2,
            headings=rest // 2,
            seed=seed,
        )
        folder = folder_of_run(rag, "reranker", out, asked, parts, asdict(settings))
        with training_progress(quiet=as_json) as progress:
            result = train_reranker(rag, asked, parts, settings, folder, say, progress)
    report(result.gains, say)
    say("cost", f"{result.milliseconds:,.0f} ms for the candidates of a question (median)")
    say("model", f"{folder.reference} (README.md says how it came about)")
    if result.present is not None and result.present.difference.high < 0:
        say("warning", f"the reranker that is configured now ranks worse than none: {result.present.in_words()}")
        say("", "to turn it off: retrieval.reranking.backend: none")
    ending = settle(file, result.changes, why_not(result.gains), sets, say, dry_run=dry_run)
    if as_json:
        print_json(
            {
                "model": folder.reference,
                "weight": result.weight,
                "gains": [each.as_dict() for each in result.gains],
                "synthetic": result.synthetic,
                "rerank_ms": result.milliseconds,
                "helps": result.helps,
                "installed": ending.installed,
                "diff": ending.diff,
            }
        )
    if ending.code:
        raise typer.Exit(ending.code)


def _layers(given: str | None) -> tuple[int, ...] | None:
    """
    >>> _layers("0,2,5")
    (0, 2, 5)
    """
    if given is None:
        return None
    parts = [part.strip() for part in given.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise ConfigError(f"--layers {given}: write the numbers of layers from 0, such as 0,2,5")
    return tuple(int(part) for part in parts)
