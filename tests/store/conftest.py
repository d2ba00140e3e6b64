"""Stores and chunks for the tests: every backend behind the same two fixtures."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from qdrant_client import QdrantClient

from ragkit.config.schema import Bm25, Store
from ragkit.store import Hit, QuestionWeights, StoreWriter
from ragkit.store.pgvector import PgvectorStore
from ragkit.store.qdrant import QdrantStore
from ragkit.store.qdrant_edge import EdgeStore
from ragkit.types import Chunk, MetadataValue
from tests.store.letters import letters

SERVER = os.environ.get("RAGKIT_TEST_QDRANT_URL")
BACKENDS = ["qdrant_edge", "qdrant_local", "pgvector", *(["qdrant_server"] if SERVER else [])]


@pytest.fixture(params=BACKENDS)
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], StoreWriter]]:
    """Opens the store of this test; a further call closes it and opens the same place again."""
    yield from _opening(request, tmp_path, None)


@pytest.fixture(params=BACKENDS)
def open_splade_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], StoreWriter]]:
    """The same for a store with SPLADE, for which `letters` stands in: its weights are known."""
    yield from _opening(request, tmp_path, letters)


def _opening(
    request: pytest.FixtureRequest, tmp_path: Path, splade: QuestionWeights | None
) -> Iterator[Callable[[], StoreWriter]]:
    opened: list[StoreWriter] = []
    backend: str = request.param
    bm25 = Bm25()
    settings = Store(backend="qdrant", url=SERVER, collection=f"ragkit-test-{uuid.uuid4().hex}")
    if backend == "pgvector":
        settings = request.getfixturevalue("pgvector_settings")

    def open_it() -> StoreWriter:
        while opened:
            opened.pop().close()
        if backend == "qdrant_edge":
            opened.append(EdgeStore(tmp_path / "shard", bm25, splade))
        elif backend == "qdrant_local":
            client = QdrantClient(path=str(tmp_path / "local"))
            opened.append(QdrantStore(Store(backend="qdrant", collection="test"), bm25, client, splade))
        elif backend == "pgvector":
            opened.append(PgvectorStore(settings, bm25, splade))
        else:
            opened.append(QdrantStore(settings, bm25, splade=splade))
        return opened[0]

    yield open_it
    while opened:
        opened.pop().close()
    if backend == "qdrant_server":
        server = QdrantStore(settings, bm25)
        server.drop()
        server.close()


@pytest.fixture
def make_chunk() -> Callable[..., Chunk]:
    """A chunk with an id made of `number`."""

    def make(
        number: int,
        text: str,
        document: str = "document",
        header: str = "",
        metadata: dict[str, MetadataValue] | None = None,
    ) -> Chunk:
        chunk_id = str(uuid.uuid5(uuid.NAMESPACE_OID, str(number)))
        fields: dict[str, MetadataValue] = {"source_document": f"{document}.md", **(metadata or {})}
        return Chunk(chunk_id, document, text, number, number + len(text), 1, fields, header)

    return make


@pytest.fixture
def assert_same_ranking() -> Callable[[Sequence[Hit], Sequence[Hit], int], None]:
    """Checks the best `limit` hits against a whole reference: the same up to the order of equal scores."""

    def check(hits: Sequence[Hit], reference: Sequence[Hit], limit: int) -> None:
        scores = {hit.chunk_id: hit.score for hit in reference}
        assert len(hits) == min(limit, len(reference))
        assert len({hit.chunk_id for hit in hits}) == len(hits)
        for hit, expected in zip(hits, reference, strict=False):
            assert hit.score == pytest.approx(expected.score, rel=1e-4, abs=1e-6)
            assert scores[hit.chunk_id] == pytest.approx(hit.score, rel=1e-4, abs=1e-6)

    return check
