"""Where vectors are kept (`ingestion.store.vectors`): what is found, by which scores, and what comes back whole."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from ragkit.config.schema import Bm25, Filter, Store, StoredVectors
from ragkit.store import LEAST_DEPTH, OVERSAMPLING
from ragkit.store.qdrant_edge import EdgeStore
from ragkit.types import Chunk

KINDS: tuple[StoredVectors, ...] = get_args(StoredVectors)
# The engine makes a graph of a segment, and quantises it, from 10 MB of vectors on.
COUNT, DIMENSIONS = 1_400, 2_048
LEAST_RECALL = {"memory": 0.98, "disk": 0.98, "scalar": 0.97, "binary": 0.6}


@pytest.fixture(scope="module")
def rows() -> NDArray[np.float32]:
    random = np.random.default_rng(5)
    centres = random.standard_normal((100, DIMENSIONS))
    rows = centres[random.integers(0, 100, COUNT)] + 0.8 * random.standard_normal((COUNT, DIMENSIONS))
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


@pytest.fixture(scope="module", params=KINDS)
def kept(
    request: pytest.FixtureRequest, rows: NDArray[np.float32], tmp_path_factory: pytest.TempPathFactory
) -> tuple[StoredVectors, Path, EdgeStore]:
    """The kind, and a store of it that was written, closed, and opened again."""
    folder = tmp_path_factory.mktemp("kept") / "shard"
    store = EdgeStore(folder, Bm25(), vectors=request.param)
    store.upsert([chunk(number) for number in range(COUNT)], rows, 3.0)
    store.finish()
    store.close()
    return request.param, folder, EdgeStore(folder, Bm25(), vectors=request.param)


def questions(rows: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    """Vectors near some of the rows."""
    random = np.random.default_rng(6)
    for _ in range(30):
        question = rows[random.integers(COUNT)] + 0.02 * random.standard_normal(DIMENSIONS).astype(np.float32)
        yield question / np.linalg.norm(question)


def chunk(number: int) -> Chunk:
    metadata = {"source_document": f"{number}.md", "page_number": number}
    return Chunk(str(uuid.UUID(int=number + 1)), "d", f"chunk number {number}", number, number + 1, 3, metadata)


def test_only_quantised_kinds_have_quantised_vectors_on_disk(kept: tuple[StoredVectors, Path, EdgeStore]) -> None:
    kind, folder, _ = kept
    assert bool(list(folder.rglob("quantized*"))) == (kind in OVERSAMPLING)


@pytest.mark.parametrize("limit", [10, 200])
def test_the_best_are_found_with_the_scores_of_the_whole_vectors(
    kept: tuple[StoredVectors, Path, EdgeStore], rows: NDArray[np.float32], limit: int
) -> None:
    kind, _, store = kept
    shares: list[float] = []
    for question in questions(rows):
        cosines = rows @ question
        found, _ = store.search(limit, question)
        numbers = [uuid.UUID(hit.chunk_id).int - 1 for hit in found]
        assert [hit.score for hit in found] == pytest.approx([float(cosines[number]) for number in numbers], abs=1e-4)
        assert [hit.score for hit in found] == sorted((hit.score for hit in found), reverse=True)
        shares.append(len(set(numbers[:10]) & set(np.argsort(-cosines)[:10].tolist())) / 10)
    assert float(np.mean(shares)) >= LEAST_RECALL[kind]


def test_the_best_of_a_search_for_ten_are_those_of_a_search_for_more(
    kept: tuple[StoredVectors, Path, EdgeStore], rows: NDArray[np.float32]
) -> None:
    for question in questions(rows):
        ten, more = (kept[2].search(limit, question)[0] for limit in (10, LEAST_DEPTH))
        assert ten == more[:10]


def test_a_search_for_nothing_finds_nothing(
    kept: tuple[StoredVectors, Path, EdgeStore], rows: NDArray[np.float32]
) -> None:
    assert kept[2].search(0, rows[0]) == ([], [])


def test_filters_hold(kept: tuple[StoredVectors, Path, EdgeStore], rows: NDArray[np.float32]) -> None:
    found, _ = kept[2].search(10, rows[0], filters=[Filter(field="page_number", lt=20)])
    assert len(found) == 10
    assert all(uuid.UUID(hit.chunk_id).int <= 20 for hit in found)


def test_vectors_come_back_whole(kept: tuple[StoredVectors, Path, EdgeStore], rows: NDArray[np.float32]) -> None:
    _, _, store = kept
    ids = [str(uuid.UUID(int=number + 1)) for number in range(50)]
    back = store.vectors(ids)
    assert np.stack([back[each] for each in ids]) == pytest.approx(rows[:50], abs=1e-6)


def test_what_is_written_later_is_found_too(
    tmp_path: Path, kept: tuple[StoredVectors, Path, EdgeStore], rows: NDArray[np.float32]
) -> None:
    kind, _, _ = kept
    store = EdgeStore(tmp_path / "shard", Bm25(), vectors=kind)
    store.upsert([chunk(number) for number in range(COUNT - 1)], rows[:-1], 3.0)
    store.finish()
    store.upsert([chunk(COUNT - 1)], rows[-1:], 3.0)
    store.finish()
    found, _ = store.search(1, rows[-1])
    assert [hit.chunk_id for hit in found] == [chunk(COUNT - 1).id]
    store.close()


def test_postgresql_takes_no_kind() -> None:
    with pytest.raises(ValidationError, match="PostgreSQL decides itself"):
        Store(backend="pgvector", vectors="scalar")
