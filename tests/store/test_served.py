"""The collections of an index on a server: a generation has one, and what goes takes only its own with it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qdrant_client import QdrantClient

from ragkit.config.schema import Config, Store
from ragkit.errors import StoreError
from ragkit.store.folder import current_generation, start_building, writer_lock
from ragkit.store.open import Edit, clear_up, editing, open_manifest, open_snapshot
from ragkit.store.served import collection_name, drop_collection
from ragkit.types import Chunk


class Shared:
    """A client in this process that stores do not close: each of them has its own connection otherwise."""

    def __init__(self, client: QdrantClient) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def close(self) -> None:
        """Stay open."""


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[QdrantClient]:
    client = QdrantClient(":memory:")

    def connect(_: Store) -> Shared:
        return Shared(client)

    monkeypatch.setattr("ragkit.store.qdrant._connect", connect)
    yield client
    client.close()


@pytest.fixture
def config(tmp_path: Path) -> Config:
    store = Store(backend="qdrant", path=tmp_path / "index", collection="docs", url="http://127.0.0.1:1")
    return Config.model_validate({"ingestion": {"store": store.model_dump()}})


def write(config: Config, *numbers: int, fresh: bool = False, until: float | None = None, publish: bool = True) -> None:
    with writer_lock(config.ingestion.store.path, 0), editing(config, fresh=fresh) as edit:
        _fill(edit, numbers)
        if until is not None:
            edit.keep_current(until)
        if publish:
            edit.publish()


def _fill(edit: Edit, numbers: tuple[int, ...]) -> None:
    ids = [f"00000000-0000-0000-0000-{number:012d}" for number in numbers]
    chunks = [Chunk(each, each, "amber", 0, 5, 1, {"source_document": each}) for each in ids]
    edit.store.upsert(chunks, np.ones((len(ids), 4), dtype=np.float32), 1.0)


def held(config: Config) -> int:
    snapshot = open_snapshot(config)
    try:
        return snapshot.store.count()
    finally:
        snapshot.close()


def names(client: QdrantClient) -> set[str]:
    return {each.name for each in client.get_collections().collections}


def current(config: Config) -> str:
    generation = current_generation(config.ingestion.store.path)
    assert generation is not None
    name = collection_name(generation)
    assert name is not None
    assert name.startswith("docs_")
    return name


def in_folder(config: Config, folder: Path) -> Config:
    store = config.ingestion.store.changed({"path": folder})
    return config.model_copy(update={"ingestion": config.ingestion.model_copy(update={"store": store})})


def test_changes_are_made_in_the_collection_and_seen_at_once(config: Config, client: QdrantClient) -> None:
    write(config, 1, 2)
    snapshot = open_snapshot(config)
    write(config, 3)
    assert (names(client), held(config)) == ({current(config)}, 3)
    assert snapshot.is_current()
    assert snapshot.store.count() == 3
    assert snapshot.state == "", "no name of a state that changes"


def test_what_is_made_anew_has_a_collection_of_its_own(config: Config, client: QdrantClient) -> None:
    write(config, 1, 2)
    first = current(config)
    write(config, 3, fresh=True, publish=False)
    assert (names(client), held(config)) == ({first}, 2), "what was given up is gone"
    write(config, 3, fresh=True)
    assert (names(client), held(config)) == ({current(config)}, 1)
    assert current(config) != first
    write(config, 4)
    assert (names(client), held(config)) == ({current(config)}, 2)


def test_a_collection_stays_while_it_is_kept_or_read(config: Config, client: QdrantClient) -> None:
    write(config, 1, 2)
    first = current(config)
    reader = open_snapshot(config)
    write(config, 3, fresh=True, until=9e9)
    assert names(client) == {first, current(config)}
    write(config, 4, fresh=True)
    assert names(client) == {first, current(config)}, "it is read, and no longer kept"
    assert reader.store.count() == 2
    reader.close()
    with writer_lock(config.ingestion.store.path, 0):
        clear_up(config)
    assert names(client) == {current(config)}


def test_what_is_kept_goes_when_documents_are_deleted(config: Config, client: QdrantClient) -> None:
    write(config, 1, 2)
    write(config, 3, fresh=True, until=9e9)
    assert len(names(client)) == 2
    with writer_lock(config.ingestion.store.path, 0), editing(config, fresh=False) as edit:
        edit.forget_kept()
        edit.publish()
    assert names(client) == {current(config)}


def test_a_collection_goes_with_the_last_generation_that_has_it(config: Config, client: QdrantClient) -> None:
    """As after a rollback."""
    write(config, 1)
    generation = current_generation(config.ingestion.store.path)
    assert generation is not None
    copy = start_building(config.ingestion.store.path, fresh=False)
    drop_collection(config, copy)
    assert names(client) == {current(config)}
    (copy / "collection.json").unlink()
    drop_collection(config, generation)
    assert names(client) == set()


def test_indexes_of_two_folders_never_touch_each_other(config: Config, client: QdrantClient, tmp_path: Path) -> None:
    """Though server and `collection` are the same, and whatever is done in between."""
    mine, theirs = config, in_folder(config, tmp_path / "theirs")
    write(mine, 1, 2)
    write(theirs, 3)
    assert (held(mine), held(theirs)) == (2, 1)
    write(theirs, 4, 5, 6, fresh=True)
    write(mine, 7, fresh=True, publish=False)
    write(mine, 8, fresh=True)
    assert (held(mine), held(theirs)) == (1, 3)
    assert names(client) == {current(mine), current(theirs)}


def test_another_name_in_the_config_is_that_of_the_next_collection(config: Config, client: QdrantClient) -> None:
    write(config, 1)
    first = current(config)
    store = config.ingestion.store.changed({"collection": "papers"})
    renamed = config.model_copy(update={"ingestion": config.ingestion.model_copy(update={"store": store})})
    write(renamed, 2)
    assert (names(client), held(renamed)) == ({first}, 2)
    write(renamed, 3, fresh=True)
    [name] = names(client)
    assert name.startswith("papers_")


def test_a_switch_holds_where_the_old_collection_cannot_be_deleted(
    config: Config, client: QdrantClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(config, 1, 2)

    def out_of_reach(*_: object) -> None:
        raise StoreError("out of reach")

    with monkeypatch.context() as patch:
        patch.setattr("ragkit.store.qdrant.QdrantStore.drop", out_of_reach)
        write(config, 3, fresh=True)
        assert (len(names(client)), held(config)) == (2, 1)
    write(config, 4)
    assert (names(client), held(config)) == ({current(config)}, 2), "the next writer does it"


def test_what_was_raised_is_not_hidden_by_what_cannot_be_cleared_up(
    config: Config, client: QdrantClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(config, 1)

    def out_of_reach(*_: object) -> None:
        raise StoreError("out of reach")

    def interrupted() -> None:
        with writer_lock(config.ingestion.store.path, 0), editing(config, fresh=True) as edit:
            _fill(edit, (5,))
            monkeypatch.setattr("ragkit.store.qdrant.QdrantStore.drop", out_of_reach)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert len(names(client)) == 2
    assert held(config) == 1


def test_an_index_of_another_backend_is_told_from_none_and_can_be_built_anew(
    config: Config, client: QdrantClient, caplog: pytest.LogCaptureFixture
) -> None:
    embedded = Config.model_validate({"ingestion": {"store": {"path": config.ingestion.store.path}}})
    pgvector = Config.model_validate(
        {
            "ingestion": {
                "store": {"backend": "pgvector", "path": config.ingestion.store.path, "url": "postgresql://a@b/c"}
            }
        }
    )
    write(embedded, 1, 2)
    for change in (lambda: open_snapshot(config), lambda: write(config, 3)):
        with pytest.raises(StoreError, match="backend qdrant_edge, not qdrant"):
            change()
    assert names(client) == set()
    write(config, 3, fresh=True)
    left = current(config)
    assert held(config) == 1
    for other in (embedded, pgvector):
        with pytest.raises(StoreError, match=f"backend qdrant, not {other.ingestion.store.backend}"):
            open_snapshot(other)
    write(embedded, 4, fresh=True)
    assert held(embedded) == 1
    assert f"{left} stays on the qdrant server" in caplog.text


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"backend": "qdrant"}'])
def test_a_generation_that_names_no_collection_any_more_can_be_built_anew(
    config: Config, client: QdrantClient, content: str
) -> None:
    write(config, 1)
    [file] = config.ingestion.store.path.glob("gen-*/collection.json")
    file.write_text(content, encoding="utf-8")
    for change in (lambda: open_snapshot(config), lambda: write(config, 2)):
        with pytest.raises(StoreError, match=r"collection\.json is damaged"):
            change()
    write(config, 3, fresh=True)
    assert held(config) == 1
    assert len(names(client)) == 2, "whose the other is nobody knows"


def test_the_generation_before_goes_with_who_read_its_manifest_last(tmp_path: Path) -> None:
    embedded = Config.model_validate({"ingestion": {"store": {"path": tmp_path / "index"}}})
    write(embedded, 1)
    with open_manifest(embedded):
        write(embedded, 2)
        assert len(list((tmp_path / "index").glob("gen-*"))) == 2
    assert [path.name for path in (tmp_path / "index").glob("gen-*")] == ["gen-000002"]
