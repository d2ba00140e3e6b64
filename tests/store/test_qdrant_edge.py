"""The segments of the embedded store: small while much is written, few when it is published."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ragkit.config.schema import Bm25
from ragkit.store import qdrant_edge
from ragkit.store.qdrant_edge import EdgeStore
from ragkit.types import Chunk

# The engine makes a segment of what was written from 10 MB of vectors on.
PART, PARTS, DIMENSIONS = 700, 10, 2_048
COUNT, PART_KB = PARTS * PART, PART * DIMENSIONS * 4 // 1_000


@pytest.fixture(scope="module")
def rows() -> NDArray[np.float32]:
    rows = np.random.default_rng(3).standard_normal((COUNT, DIMENSIONS)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture(autouse=True)
def _small_segments(monkeypatch: pytest.MonkeyPatch) -> None:  # pyright: ignore[reportUnusedFunction]
    monkeypatch.setattr(qdrant_edge, "_SETTLE_EVERY", 2 * PART)
    monkeypatch.setattr(qdrant_edge, "_LARGEST_WHILE_WRITING_KB", 2 * PART_KB)
    monkeypatch.setattr(qdrant_edge, "_LARGEST_SEGMENT_KB", 3 * PART_KB)


def chunk(number: int) -> Chunk:
    return Chunk(str(uuid.UUID(int=number + 1)), f"d{number}", f"word{number}", 0, 9, 1, {"source_document": "a.md"})


def fill(store: EdgeStore, rows: NDArray[np.float32], first: int, last: int) -> None:
    for begin in range(first, last, PART):
        end = min(last, begin + PART)
        store.upsert([chunk(number) for number in range(begin, end)], rows[begin:end], 1.0)


def segments(folder: Path) -> int:
    return len(list((folder / "segments").iterdir()))


def largest_kb(folder: Path) -> int:
    return json.loads((folder / "edge_config.json").read_text())["optimizers"]["max_segment_size"]


def test_what_is_published_is_a_few_segments_however_much_was_written(
    tmp_path: Path, rows: NDArray[np.float32]
) -> None:
    store = EdgeStore(tmp_path / "shard", Bm25())
    fill(store, rows, 0, COUNT)
    before = segments(tmp_path / "shard")
    store.finish()
    assert before >= 6
    assert segments(tmp_path / "shard") <= 3  # one of them takes what comes next
    assert largest_kb(tmp_path / "shard") == pytest.approx(0.6 * PARTS * PART_KB, rel=0.01)
    found = [store.search(1, rows[number], f"word{number}") for number in range(0, COUNT, 97)]
    wanted = [chunk(number).id for number in range(0, COUNT, 97)]
    assert [dense[0].chunk_id for dense, _ in found] == wanted
    assert [sparse[0].chunk_id for _, sparse in found] == wanted
    store.close()


def test_a_later_run_writes_small_segments_too_and_loses_nothing(tmp_path: Path, rows: NDArray[np.float32]) -> None:
    store = EdgeStore(tmp_path / "shard", Bm25())
    fill(store, rows, 0, 3 * PART)
    store.finish()
    store.close()
    store = EdgeStore(tmp_path / "shard", Bm25())
    fill(store, rows, 3 * PART, 6 * PART)
    store.delete_documents([f"d{number}" for number in range(100)])
    assert largest_kb(tmp_path / "shard") == 2 * PART_KB
    store.finish()
    assert segments(tmp_path / "shard") <= 3
    store.close()
    store = EdgeStore(tmp_path / "shard", Bm25())
    assert store.count() == store.count(vector="dense") == store.count(vector="bm25") == 6 * PART - 100
    ids = [chunk(number).id for number in range(100, 6 * PART, 97)]
    back = store.vectors(ids)
    assert np.stack([back[each] for each in ids]) == pytest.approx(rows[100 : 6 * PART : 97], abs=1e-6)
    store.close()


def test_weighing_all_anew_goes_by_small_segments_too(tmp_path: Path, rows: NDArray[np.float32]) -> None:
    store = EdgeStore(tmp_path / "shard", Bm25())
    fill(store, rows, 0, 4 * PART)
    store.finish()
    before = store.search(1, None, "word7")[1][0].score
    store.reweigh(2.0)
    assert largest_kb(tmp_path / "shard") == 2 * PART_KB
    store.finish()
    assert segments(tmp_path / "shard") <= 3
    assert largest_kb(tmp_path / "shard") == 3 * PART_KB
    assert store.count() == store.count(vector="dense") == store.count(vector="bm25") == 4 * PART
    found = [store.search(1, None, f"word{number}")[1][0] for number in range(0, 4 * PART, 97)]
    assert [hit.chunk_id for hit in found] == [chunk(number).id for number in range(0, 4 * PART, 97)]
    assert found[0].score > before, "one word is short beside two on average"
    store.close()


@pytest.mark.parametrize("kind", ["disk", "scalar", "binary"])
def test_how_vectors_are_kept_stays_as_it_was_made(tmp_path: Path, rows: NDArray[np.float32], kind: str) -> None:
    folder = tmp_path / "shard"
    store = EdgeStore(folder, Bm25(), vectors=kind)  # pyright: ignore[reportArgumentType]
    fill(store, rows, 0, 10)
    made = json.loads((folder / "edge_config.json").read_text())
    store.finish()
    store.close()
    kept = json.loads((folder / "edge_config.json").read_text())
    for part in ("vectors", "sparse_vectors", "id_tracker_memory", "wal_enabled"):
        assert kept[part] == made[part]
