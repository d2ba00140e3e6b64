"""The index path: files - discover - parse - chunk - embed - upsert - publish, on one screen.

Only what changed since the last run is done. Readers see the old index until everything is in; a run that fails or is
killed leaves it as it was, and the next run does not embed again what this one had embedded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from ragkit.config.schema import Config
from ragkit.embed import Embedder, make_embedder
from ragkit.ingest.delete import receipt_for
from ragkit.ingest.engine import make_engine
from ragkit.ingest.plan import plan_run, relative_root
from ragkit.ingest.report import IndexReport, Stopwatch
from ragkit.ingest.run import Progress, Run
from ragkit.ingest.settings import (
    built_with,
    check_built_with,
    differences,
    index_settings_of,
    token_counter_of,
)
from ragkit.ingest.write import is_weighed
from ragkit.store.folder import VECTORS, writer_lock
from ragkit.store.open import Edit, clear_up, editing, open_manifest


def build_index(
    config: Config,
    paths: Sequence[str | Path] = (),
    *,
    embedder: Embedder | None = None,
    rebuild: bool = False,
    embed_again: bool = False,
    retry: bool = False,
    wait_s: float = 0.0,
    progress: Progress | None = None,
    finish: Callable[[Edit], None] | None = None,
) -> IndexReport:
    """Bring the index in line with the sources and report what was done.

    `paths` default to `ingestion.sources`. `rebuild` makes everything anew, from `paths` and from all that the index
    was made of; vectors of texts that stay are kept, unless `embed_again`. `retry` reads files again that could not be
    read before. `finish` gets what is about to be published; when it raises, the index stays as it was.

    Raises ConfigError, IndexMismatch (the index was built with other settings and `rebuild` is not set), IndexLocked
    (another run is writing, and waiting `wait_s` seconds did not help), StoreError and ModelError. Files that cannot be
    read are named in the report.
    """
    watch = Stopwatch()
    settings = index_settings_of(config)
    tokens = token_counter_of(config)
    with writer_lock(config.ingestion.store.path, wait_s):
        with open_manifest(config, to_replace=rebuild) as manifest, watch.measure("scan"):
            if manifest is not None and not rebuild:
                check_built_with(manifest, settings)
            # A rebuild with the settings of the index changes nothing for who followed it to them.
            kin = manifest is not None and not differences(manifest.meta("settings") or {}, settings)
            before = manifest.meta("succeeds") if manifest is not None and kin else None
            plan = plan_run(config, paths, manifest, rebuild=rebuild, retry=retry)
            fresh = rebuild or manifest is None
            waiting = manifest is not None and manifest.without_vectors() > 0
            weighed = manifest is None or is_weighed(manifest)
        report = IndexReport.of_plan(plan, rebuilt=rebuild)
        if fresh or waiting or not weighed or not plan.is_empty:
            embedder = embedder or make_embedder(config.ingestion.embedding)
            idle = not waiting and not plan.to_parse()
            with closing(make_engine(config, tokens, embedder, idle=idle)) as engine:
                run = Run(config, engine, embedder, report, watch)
                if embed_again:
                    _forget_journals(config.ingestion.store.path)
                elif rebuild:
                    run.keep_vectors()
                with editing(config, fresh=rebuild) as edit:
                    # First of all: a store on a server stays as far as a killed run has come, and the next takes it up.
                    edit.manifest.set_meta("settings", settings)
                    edit.manifest.set_meta("built_with", built_with(config))
                    run.bring_in(edit, plan, progress)
                    if not config.ingestion.progressive:
                        run.fill(edit, None, progress)
                    edit.manifest.set_meta("succeeds", before)
                    if plan.gone:
                        edit.forget_kept()
                    run.note_makers(edit, fresh=fresh)
                    edit.manifest.set_failures(
                        replace(failure, root=relative_root(failure.root, config.ingestion.store.path))
                        for failure in [*plan.remembered, *run.failed]
                    )
                    if finish is not None:
                        with watch.measure("verify"):
                            finish(edit)
                    with watch.measure("publish"):
                        edit.publish(keep_journals=config.ingestion.progressive)
                if config.ingestion.progressive:
                    run.fill_in_parts(progress)
                _forget_journals(config.ingestion.store.path)
        else:
            # What a killed writer left, even after its work was published: deleted documents are to be gone.
            clear_up(config)
            _forget_journals(config.ingestion.store.path)
    if plan.gone:
        report.receipt = receipt_for(config, [entry.id for entry in plan.gone])
    with open_manifest(config) as manifest:
        report.without_vectors = manifest.without_vectors() if manifest else 0
        return report.finished(watch, manifest.totals() if manifest else (0, 0, 0, 0))


def _forget_journals(folder: Path) -> None:
    for journal in folder.glob(f"{VECTORS}*"):
        journal.unlink()
