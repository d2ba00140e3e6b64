"""The collections of an index on a server: a generation has one, and what goes takes only its own with it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qdrant_client import QdrantClient, models

from ragkit.config.schema import Config, Store
from ragkit.errors import StoreError
from ragkit.store.folder import current_generation, start_building, writer_lock
from ragkit.store.open import Edit, clear_up, editing, open_snapshot
from ragkit.store.served import drop_collection
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


def names(client: QdrantClient) -> list[str]:
    return sorted(each.name for each in client.get_collections().collections)


def test_changes_are_made_in_the_collection_and_seen_at_once(config: Config, client: QdrantClient) -> None:
    write(config, 1, 2)
    snapshot = open_snapshot(config)
    write(config, 3)
    assert (names(client), held(config)) == (["docs"], 3)
    assert snapshot.is_current()
    assert snapshot.store.count() == 3
    assert snapshot.state == "", "no name of a state that changes"


def test_what_is_made_anew_has_a_collection_of_its_own(config: Config, client: QdrantClient) -> None:
    write(config, 1, 2)
    write(config, 3, fresh=True, publish=False)
    assert (names(client), held(config)) == (["docs"], 2), "what was given up is gone"
    write(config, 3, fresh=True)
    assert (names(client), held(config)) == (["docs_2"], 1)
    write(config, 4)
    assert (names(client), held(config)) == (["docs_2"], 2)
    write(config, 5, fresh=True)
    assert (names(client), held(config)) == (["docs"], 1)


def test_a_collection_stays_while_it_is_kept_or_read(config: Config, client: QdrantClient) -> None:
    write(config, 1, 2)
    reader = open_snapshot(config)
    write(config, 3, fresh=True, until=9e9)
    assert names(client) == ["docs", "docs_2"]
    write(config, 4, fresh=True)
    assert names(client) == ["docs", "docs_3"], "it is read, and no longer kept"
    assert reader.store.count() == 2
    reader.close()
    with writer_lock(config.ingestion.store.path, 0):
        clear_up(config)
    assert names(client) == ["docs_3"]


def test_a_collection_goes_with_the_last_generation_that_has_it(config: Config, client: QdrantClient) -> None:
    """As after a rollback."""
    write(config, 1)
    current = current_generation(config.ingestion.store.path)
    assert current is not None
    copy = start_building(config.ingestion.store.path, fresh=False)
    drop_collection(config, copy)
    assert names(client) == ["docs"]


def test_what_others_have_made_is_neither_taken_nor_deleted(config: Config, client: QdrantClient) -> None:
    write(config, 1)
    vectors = models.VectorParams(size=4, distance=models.Distance.COSINE)
    client.create_collection("docs_2", vectors_config=vectors)
    write(config, 2, fresh=True)
    assert names(client) == ["docs_2", "docs_3"]


def test_a_name_that_others_have_is_refused_before_anything_is_written(config: Config, client: QdrantClient) -> None:
    vectors = models.VectorParams(size=4, distance=models.Distance.COSINE)
    client.create_collection("docs", vectors_config=vectors)
    with pytest.raises(StoreError, match=r"'docs' at .* was not made by ragkit"):
        write(config, 1)
    assert names(client) == ["docs"]
    assert current_generation(config.ingestion.store.path) is None


def test_an_index_of_another_folder_is_replaced_only_when_that_is_asked_for(
    config: Config, client: QdrantClient, tmp_path: Path
) -> None:
    write(config, 1, 2)
    store = config.ingestion.store.changed({"path": tmp_path / "other"})
    other = config.model_copy(update={"ingestion": config.ingestion.model_copy(update={"store": store})})
    with pytest.raises(StoreError, match=r"'docs' at .* is there already, and .*other has no index"):
        write(other, 3)
    assert held(config) == 2
    write(other, 3, fresh=True)
    assert (names(client), held(other)) == (["docs"], 1)


def test_a_switch_holds_where_the_old_collection_cannot_be_deleted(
    config: Config, client: QdrantClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(config, 1, 2)

    def out_of_reach(*_: object) -> None:
        raise StoreError("out of reach")

    with monkeypatch.context() as patch:
        patch.setattr("ragkit.store.qdrant.QdrantStore.drop", out_of_reach)
        write(config, 3, fresh=True)
        assert (names(client), held(config)) == (["docs", "docs_2"], 1)
    write(config, 4)
    assert (names(client), held(config)) == (["docs_2"], 2), "the next writer does it"


def test_an_index_that_lies_elsewhere_is_told_from_none_and_can_be_built_anew(
    config: Config, client: QdrantClient
) -> None:
    embedded = Config.model_validate({"ingestion": {"store": {"path": config.ingestion.store.path}}})
    write(embedded, 1, 2)
    for change in (lambda: open_snapshot(config), lambda: write(config, 3)):
        with pytest.raises(StoreError, match="in the folder itself, not on a server"):
            change()
    assert names(client) == []
    write(config, 3, fresh=True)
    assert (names(client), held(config)) == (["docs"], 1)
    with pytest.raises(StoreError, match="on a server, not in the folder itself"):
        open_snapshot(embedded)
    write(embedded, 4, fresh=True)
    assert held(embedded) == 1
