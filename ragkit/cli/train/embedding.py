"""`ragkit train embedding`: an embedding model for the user's own index, installed only if it helps there."""

from __future__ import annotations

from dataclasses import asdict

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


def embedding(
    config: ConfigOption = None,
    sets: TrySetOption = None,
    questions_file: QuestionsOption = None,
    synthetic: SyntheticOption = None,
    by_template: TemplatesOption = False,
    minutes: MinutesOption = 20.0,
    steps: StepsOption = None,
    seed: SeedOption = 0,
    out: OutOption = None,
    dry_run: DryRunOption = False,
    all_tenants: TenantsOption = False,
    as_json: JsonOption = False,
) -> None:
    """Tune the embedding model on questions about your index; install it if it helps there, else exit with 1.

    Once installed the index has to be made anew: `ragkit index --rebuild`. A run that was stopped goes on when the same
    command is given again.
    """
    from ragkit.cli.printing import command_line
    from ragkit.cli.progress import training_progress
    from ragkit.system import Ragkit
    from ragkit.train.course import in_time
    from ragkit.train.embedder import EmbedderSettings, check_embedder_packages, check_trainable, train_embedder
    from ragkit.train.folder import check_out

    say = teller(as_json)
    loaded = load_with_origins(config, sets)
    file = config_file(loaded)
    check_trainable(loaded.config.ingestion.embedding)
    check_embedder_packages()
    if out is not None:
        check_out(out)
    with Ragkit(loaded.config, follow=False) as rag:
        refuse_mixed_tenants(rag, all_tenants)
        asked, parts, rest = questions(
            rag, questions_file, synthetic, seed, say, by_template=by_template, chooses=False
        )
        settings = EmbedderSettings(
            steps=steps, minutes=minutes, sentences=rest - rest // 2, headings=rest // 2, seed=seed
        )
        base = loaded.config.ingestion.embedding.model
        folder = folder_of_run(rag, "embedding", out, asked, parts, asdict(settings), base=base)
        with training_progress(quiet=as_json) as progress:
            result = train_embedder(rag, asked, parts, settings, folder, say, progress)
    report(result.gains, say)
    say("model", f"{folder.reference} (README.md says how it came about)")
    rebuild = command_line("index --rebuild", config, sets)
    ending = settle(file, result.changes, why_not(result.gains), sets, say, dry_run=dry_run)
    if ending.code == 0:
        say("next", f"{rebuild}   (about {in_time(result.embedding_s)}, {result.chunks:,} chunks)")
        say("", "The index holds vectors of the model before, which mean nothing to this one: until it is made anew,")
        say("", "searches and answers of this config are refused. A server goes on with the old one until it reloads.")
    if as_json:
        print_json(
            {
                "model": folder.reference,
                "gains": [each.as_dict() for each in result.gains],
                "synthetic": result.synthetic,
                "helps": result.helps,
                "installed": ending.installed,
                "rebuild": rebuild,
                "diff": ending.diff,
            }
        )
    if ending.code:
        raise typer.Exit(ending.code)
