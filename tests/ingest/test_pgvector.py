"""Indexes in PostgreSQL: the same as in the embedded store, and whole again after a kill at any moment."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from ragkit.config.schema import Config, Filter, Store
from ragkit.embed import Embedder
from ragkit.errors import StoreError
from ragkit.ingest.delete import delete_documents
from ragkit.ingest.index import build_index
from ragkit.retrieve.retriever import retrieve
from ragkit.store.open import Edit, NoIndex, open_snapshot
from tests.ingest.indexing import RECURSIVE, Contents, tables
from tests.ingest.test_kill import DOCUMENTS, SAMPLES, Child, change
from tests.postgres_server import PASSWORD, PostgresServer

pytestmark = pytest.mark.integration

QUESTIONS = SAMPLES.parent / "samples_questions.jsonl"
Contains = Callable[[Config], Contents]
Moment = Callable[[float], bool]
"""Whether to kill now, from the share of the run that has passed (1 is its usual length)."""


def served(config: Config, store: Store, path: Path) -> Config:
    """The config with its chunks in that store and its manifest in that folder."""
    return config.model_copy(
        update={"ingestion": config.ingestion.model_copy(update={"store": store.changed({"path": path})})}
    )


def test_an_index_in_postgresql_is_the_embedded_one(
    tmp_path: Path,
    config_at: Callable[..., Config],
    contents: Contains,
    embedder: Embedder,
    docs: Path,
    pgvector_settings: Store,
) -> None:
    embedded = config_at(tmp_path / "embedded", RECURSIVE)
    config = served(embedded, pgvector_settings, tmp_path / "manifest")
    with pytest.raises(NoIndex):
        open_snapshot(config)

    for each in (embedded, config):
        assert build_index(each, [docs], embedder=embedder).new == 4
    (docs / "a.md").write_text("# Another\n\nThe valve is now checked by three people.\n", encoding="utf-8")
    (docs / "b.md").unlink()
    for each in (embedded, config):
        report = build_index(each, [docs], embedder=embedder)
        assert (report.edited, report.deleted) == (1, 1)
        assert delete_documents(each, ["c.md"]).vectors == 0

    assert contents(embedded).differences(contents(config)) == []
    assert build_index(config, [docs], embedder=embedder, rebuild=True).rebuilt


def test_what_is_built_anew_is_seen_when_it_is_whole(
    tmp_path: Path, config_at: Callable[..., Config], embedder: Embedder, docs: Path, pgvector_settings: Store
) -> None:
    config = served(config_at(tmp_path, RECURSIVE), pgvector_settings, tmp_path / "manifest")
    build_index(config, [docs], embedder=embedder)
    [first] = tables(config.ingestion.store)
    finer = config.model_copy(
        update={
            "ingestion": config.ingestion.model_copy(
                update={"chunking": RECURSIVE.model_copy(update={"chunk_size": 24})}
            )
        }
    )
    reader = open_snapshot(config)
    held = reader.store.count()

    def meanwhile(edit: Edit) -> None:
        assert edit.store.count() > held
        assert reader.is_current()
        snapshot = open_snapshot(config)
        assert snapshot.store.count() == held
        snapshot.close()

    build_index(finer, [docs], embedder=embedder, rebuild=True, finish=meanwhile)
    assert not reader.is_current()
    assert reader.store.count() == held, "whoever reads goes on with what it began with"
    reader.close()
    (docs / "a.md").unlink()
    build_index(finer, [docs], embedder=embedder)
    [second] = tables(config.ingestion.store)
    assert second != first
    build_index(finer, [docs], embedder=embedder, rebuild=True)
    [third] = tables(config.ingestion.store)
    assert third not in (first, second)


def test_a_table_that_is_gone_is_no_empty_index(
    tmp_path: Path, config_at: Callable[..., Config], embedder: Embedder, docs: Path, pgvector_settings: Store
) -> None:
    config = served(config_at(tmp_path, RECURSIVE), pgvector_settings, tmp_path / "manifest")
    build_index(config, [docs], embedder=embedder)
    [table] = tables(config.ingestion.store)
    assert pgvector_settings.url is not None
    with psycopg.connect(pgvector_settings.url, password=PASSWORD, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(table)))
    (docs / "new.md").write_text("# New\n\nThe pump is new.\n", encoding="utf-8")
    for use in (lambda: open_snapshot(config), lambda: build_index(config, [docs], embedder=embedder)):
        with pytest.raises(StoreError, match=f"has no table '{table}'"):
            use()


@pytest.mark.timeout(600)
def test_questions_about_the_samples_find_what_they_find_in_the_embedded_store(
    tmp_path: Path, config_at: Callable[..., Config], embedder: Embedder, pgvector_settings: Store
) -> None:
    embedded = config_at(tmp_path / "embedded")
    config = served(embedded, pgvector_settings, tmp_path / "manifest")
    for each in (embedded, config):
        assert build_index(each, [SAMPLES], embedder=embedder).documents > 40
    lines = QUESTIONS.read_text(encoding="utf-8").splitlines()[::3][:20]
    questions = [json.loads(line)["question"] for line in lines]
    assert len(questions) == 20
    filters: list[list[Filter]] = [[], [Filter(field="folder", any=["guides", "service"])]]

    def best(each: Config) -> list[list[tuple[str, float]]]:
        snapshot = open_snapshot(each)
        try:
            return [
                [
                    (result.chunk.id, result.score)
                    for result in retrieve(
                        question, snapshot.store, embedder, each.retrieval, filters=condition
                    ).results
                ]
                for question in questions
                for condition in filters
            ]
        finally:
            snapshot.close()

    # Only chunks of the same score may change places.
    for mine, theirs in zip(best(config), best(embedded), strict=True):
        assert [score for _, score in mine] == pytest.approx([score for _, score in theirs], abs=1e-4)
        scores = dict(theirs)
        assert mine[0][0] == theirs[0][0] or mine[0][1] == pytest.approx(theirs[1][1], abs=1e-4)
        for chunk_id, score in mine[:-1]:  # beyond the last may be one as good as it
            assert scores.get(chunk_id, theirs[-1][1]) == pytest.approx(score, abs=1e-4)


def some_documents(folder: Path) -> Path:
    docs = folder / "docs"
    for name in DOCUMENTS:
        (docs / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(SAMPLES / name, docs / name)
    return docs


def moments(database: psycopg.Connection, table: str) -> Iterator[tuple[str, Moment]]:
    """Never, to measure a run; over the whole of it; and as soon as others see each of its first changes."""

    def never(_: float) -> bool:
        return False

    yield "measured", never
    for tenth in (1, 4, 7, 8, 9):
        yield f"{tenth / 10} of a run", lambda passed, share=tenth / 10: passed >= share
    state = sql.SQL("SELECT max(number), count(*) FROM {}").format(sql.Identifier(table))
    for changes in (1, 1, 2, 2):
        seen: list[object] = [database.execute(state).fetchone()]

        def changed(_: float, changes: int = changes, seen: list[object] = seen) -> bool:
            now = database.execute(state).fetchone()
            if now != seen[-1]:
                seen.append(now)
            return len(seen) > changes

        yield f"change {changes}", changed


@pytest.mark.parametrize("first", [True, False], ids=["the first run", "a later run"])
def test_a_run_that_ended_before_it_weighed_anew_is_made_up_for(
    first: bool,
    tmp_path: Path,
    embedder: Embedder,
    config_at: Callable[[Path], Config],
    contents: Contains,
    pgvector_settings: Store,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All documents are done then, so that the next run finds nothing to read."""
    docs = some_documents(tmp_path)
    base = served(config_at(tmp_path), pgvector_settings, tmp_path / "base")
    if not first:
        build_index(base, [docs], embedder=embedder)
        change(docs)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        # As if each document were a batch: the first has another average than all.
        patch.setattr("ragkit.ingest.engine.LocalEngine.batch_chunks", 1)
        patch.setattr("ragkit.ingest.run.reweigh", killed)
        with pytest.raises(KeyboardInterrupt):
            build_index(base, [docs], embedder=embedder)
    report = build_index(base, [docs], embedder=embedder)
    assert (report.parsed, report.embedded) == (0, 0)
    clean = config_at(tmp_path / "clean")
    build_index(clean, [docs], embedder=embedder)
    assert contents(clean).differences(contents(base)) == []


@pytest.mark.timeout(900)
def test_an_indexer_may_be_killed_at_any_moment(
    tmp_path: Path,
    embedder: Embedder,
    config_at: Callable[[Path], Config],
    contents: Contains,
    pgvector_server: PostgresServer,
    pgvector_settings: Store,
    capsys: pytest.CaptureFixture[str],
) -> None:
    docs = some_documents(tmp_path)
    base = served(config_at(tmp_path), pgvector_settings, tmp_path / "base")
    build_index(base, [docs], embedder=embedder)
    old = contents(base)
    [table] = tables(base.ingestion.store)
    change(docs)
    # What the next run is to end as: the embedded store's own, made at once.
    clean = config_at(tmp_path / "clean")
    build_index(clean, [docs], embedder=embedder)
    new = contents(clean)
    assert old.differences(new), "the changes can be seen"
    same = {name for name, entry in old.entries.items() if new.entries.get(name) == entry}
    assert len(same) > 3

    address = pgvector_settings.url or ""
    made: list[str] = []

    def next_round() -> Config:
        """A copy of the index: of its folder, and of its database."""
        name = f"round_{len(made)}"
        with pgvector_server.connection() as connection:
            words = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
            connection.execute(words.format(sql.Identifier(name), sql.Identifier(address.rpartition("/")[2])))
        made.append(pgvector_server.address(name))
        path = Path(shutil.copytree(tmp_path / "base", tmp_path / name))
        return served(base, pgvector_settings.changed({"url": made[-1]}), path)

    found: list[str] = []
    landed: dict[str, int] = {}
    ahead = [Child(docs), Child(docs)]
    length, rounds = 0.0, 0
    for round_number in range(10):
        config = next_round()
        child = ahead.pop(0)
        with psycopg.connect(made[-1], password=PASSWORD, autocommit=True) as watching:
            name, moment = list(moments(watching, table))[round_number]
            ahead.append(Child(docs))
            began = child.go(config)
            passed = 0.0
            while not child.done() and not moment(passed / (length or 1)):
                time.sleep(0.0002)
                passed = time.perf_counter() - began
            if child.done():
                length = min(length or passed, passed)
                name = f"{name}, not killed"
            child.kill()
        rounds += "not killed" not in name
        pending = _states(config)
        landed[pending] = landed.get(pending, 0) + 1
        seen = contents(config)
        lost = {
            entry.name
            for entry in old.entries.values()
            if entry.name in same
            for chunk in old.chunks.values()
            if chunk.document_id == entry.id and seen.chunks.get(chunk.id) != chunk
        }
        found += [f"{name}, lost by the kill: {each}" for each in sorted(lost)]
        build_index(config, [docs], embedder=embedder)
        found += [f"{name}, run again: {text}" for text in new.differences(contents(config))]
    for child in ahead:
        child.kill()
    for each in made:
        pgvector_server.drop(each)
    with capsys.disabled():
        states = ", ".join(f"{count} {state}" for state, count in sorted(landed.items()))
        print(f"\nkill -9 in {rounds} of {len(made)} runs of {length:.1f} s (then {states}): {len(found)} differences")
    assert found == []
    assert rounds >= 6
    assert "documents pending" in landed


def _states(config: Config) -> str:
    """How far the manifest says that the run had come."""
    snapshot = open_snapshot(config)
    try:
        states = {entry.state for entry in snapshot.manifest.entries()}
    finally:
        snapshot.close()
    return "documents pending" if "pending" in states else "being deleted" if "deleting" in states else "all done"
