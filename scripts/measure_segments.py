"""Few large segments of the embedded store against small ones: searches, and what it takes to change one document.

    python scripts/measure_segments.py [CHUNKS]

The same chunks of made words, with vectors of 384 dimensions about one centre for 300 chunks, in both; a search is for
200 chunks by meaning and 200 by words. Quote the ratio: machines differ.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ragkit.config.schema import Bm25
from ragkit.store import qdrant_edge
from ragkit.store.qdrant_edge import EdgeStore
from ragkit.types import Chunk

SMALL = {"_LARGEST_SEGMENT_KB": 40_000, "_LARGEST_SHARE": 0.0}
FEW = {name: getattr(qdrant_edge, name) for name in SMALL}
KINDS = {"small segments": SMALL, "few segments": FEW}
PART, ROUNDS, ASKED, CHANGED = 500, 6, 100, 7
Rows = NDArray[np.float32]


def made_chunk(number: int, text: str) -> Chunk:
    """A chunk of this text; ten are a document."""
    document = f"document {number // 10}"
    return Chunk(f"00000000-0000-0000-0000-{number:012d}", document, text, 0, 1, 60, {"source_document": document})


class Words:
    """Texts and vectors, the same in each run."""

    def __init__(self, clusters: int) -> None:
        self._generator = np.random.default_rng(0)
        self._centres = self._generator.standard_normal((clusters, 384))
        weights = 1 / np.arange(1, 20_001)
        self._weights = weights / weights.sum()

    def texts(self, number: int, words: int) -> list[str]:
        drawn = self._generator.choice(len(self._weights), (number, words), p=self._weights)
        return [" ".join(f"word{each}" for each in row) for row in drawn]

    def vectors(self, number: int) -> Rows:
        members = self._generator.integers(0, len(self._centres), number)
        rows = self._centres[members] + 0.7 * self._generator.standard_normal((number, 384))
        return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def settle_with(kind: str) -> None:
    for name, value in KINDS[kind].items():
        setattr(qdrant_edge, name, value)


def filled(folder: Path, texts: list[str], rows: Rows) -> EdgeStore:
    store = EdgeStore(folder, Bm25())
    for begin in range(0, len(texts), PART):
        part = [made_chunk(begin + number, text) for number, text in enumerate(texts[begin : begin + PART])]
        store.upsert(part, rows[begin : begin + PART], 60.0)
    store.finish()
    return store


def seconds_to_change(store: EdgeStore, rows: Rows) -> float:
    document = f"document {CHANGED}"
    chunks = store.chunks_of(document)
    began = time.perf_counter()
    store.delete_documents([document])
    store.upsert(chunks, rows[10 * CHANGED : 10 * CHANGED + len(chunks)], 60.0)
    store.finish()
    return time.perf_counter() - began


def main(count: int) -> None:
    words = Words(max(1, count // 300))
    texts, rows = words.texts(count, 60), words.vectors(count)
    questions, asked = words.texts(ASKED, 8), words.vectors(ASKED)
    with tempfile.TemporaryDirectory() as folder:
        stores: dict[str, EdgeStore] = {}
        for kind in KINDS:
            settle_with(kind)
            began = time.perf_counter()
            stores[kind] = filled(Path(folder) / kind, texts, rows)
            number = len(list((Path(folder) / kind / "segments").iterdir()))
            print(f"{count:,} chunks, {kind}: {number}, built in {time.perf_counter() - began:.1f} s")
        ms: dict[str, list[float]] = {kind: [] for kind in KINDS}
        for _ in range(ROUNDS):
            for kind, store in stores.items():
                began = time.perf_counter()
                for vector, question in zip(asked, questions, strict=True):
                    store.search(200, vector, question)
                ms[kind].append((time.perf_counter() - began) / ASKED * 1e3)
        for kind, store in stores.items():
            settle_with(kind)
            del ms[kind][0]  # it read the files
            print(f"{kind}: a search {statistics.median(ms[kind]):.2f} ms, ", end="")
            print(f"one document changed in {seconds_to_change(store, rows):.2f} s")
    small, few = (ms[kind] for kind in KINDS)
    ratios = [one / other for one, other in zip(few, small, strict=True)]
    print(f"a search, few to small: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
