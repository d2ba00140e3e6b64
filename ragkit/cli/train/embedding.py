"""`ragkit train embedding`: an embedding model for the user's own index, installed only if it helps there."""

from __future__ import annotations

from dataclasses import asdict

import typer

from ragkit.cli.options import ConfigOption, JsonOption, SetOption, load_with_origins, print_json
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
    config_file,
    install,
    models_folder,
    not_installed,
    questions,
    refuse_mixed_tenants,
    report,
    teller,
)


def embedding(
    config: ConfigOption = None,
    sets: SetOption = None,
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
    from ragkit.evaluate.run import index_fingerprint
    from ragkit.system import Ragkit
    from ragkit.train.embedder import EmbedderSettings, check_trainable, train_embedder
    from ragkit.train.folder import run_folder
    from ragkit.train.reranker import in_time

    say = teller(as_json)
    loaded = load_with_origins(config, sets)
    file = config_file(loaded)
    check_trainable(loaded.config.ingestion.embedding)
    with Ragkit(loaded.config) as rag:
        refuse_mixed_tenants(rag, all_tenants)
        asked, parts, rest = questions(rag, questions_file, synthetic, seed, say, by_template=by_template)
        settings = EmbedderSettings(
            steps=steps, minutes=minutes, sentences=rest - rest // 2, headings=rest // 2, seed=seed
        )
        depends_on = {
            "base": loaded.config.ingestion.embedding.model,
            "index": index_fingerprint(rag.snapshot().manifest),
            "questions": asked.digest,
            "settings": asdict(settings),
            "made": [each.case.id for each in parts.train if each.case.synthetic],
        }
        folder = run_folder(models_folder(rag), "embedding", out, depends_on)
        with training_progress(quiet=as_json) as progress:
            result = train_embedder(rag, asked, parts, settings, folder, say, progress)
    report(result.gains, say)
    say("model", f"{folder.reference} (README.md says how it came about)")
    diff = ""
    rebuild = command_line("index --rebuild", config, sets)
    if result.helps:
        diff = install(file, result.changes, say, dry_run=dry_run)
        say("next", f"{rebuild}   (about {in_time(result.embedding_s)}, {result.chunks:,} chunks)")
        say("", "The index holds vectors of the model before, which mean nothing to this one: until it is made anew,")
        say("", "searches and answers of this config are refused. A server goes on with the old one until it reloads.")
    else:
        not_installed(file, next(each.why_not() for each in result.gains if not each.shown), say)
    if as_json:
        print_json(
            {
                "model": folder.reference,
                "gains": [each.as_dict() for each in result.gains],
                "synthetic": result.synthetic,
                "helps": result.helps,
                "installed": result.helps and not dry_run,
                "rebuild": rebuild,
                "diff": diff,
            }
        )
    if not result.helps:
        raise typer.Exit(1)
