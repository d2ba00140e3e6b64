"""Indexes of some sizes, made of the words of the user's own chunks, to see how disk, memory and searches grow.

Vectors are random and no model runs: what is measured is the store. `python -m ragkit.capacity.trial FOLDER` opens one
of them in a process of its own and prints what that took.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ragkit.config.schema import Bm25, Store, StoredVectors
from ragkit.errors import StoreError
from ragkit.store.bm25 import Bm25Encoder, rounded_average_length
from ragkit.store.qdrant_edge import EdgeStore
from ragkit.types import Chunk

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIZES = (10_000, 20_000, 40_000)
_BATCH = 500
_QUESTIONS = 60
_WARM_UP = 10
_QUESTION_WORDS = 8
_CANDIDATES = 50


@dataclass(frozen=True, slots=True)
class Point:
    """An index of `chunks`: bytes on disk, bytes of memory that opening and searching it took (files that are mapped
    not counted), core-seconds of one hybrid search (the median), core-seconds of writing a chunk."""

    chunks: int
    disk_bytes: int
    memory_bytes: int
    search_s: float
    write_s: float


def grown(sample: Sequence[Chunk], count: int, seed: int = 0, first: int = 0) -> Iterator[Chunk]:
    """`count` chunks, as long and with such fields as those of the sample, of words drawn from all of them together:
    as frequent as they are there. `first` numbers them."""
    random = np.random.default_rng((seed, first))
    words = np.array([word for chunk in sample for word in chunk.text.split()] or ["word"])
    for number in range(first, first + count):
        like = sample[int(random.integers(len(sample)))]
        text = " ".join(random.choice(words, max(1, len(like.text.split()))))
        document = f"trial-{number // 10}"
        metadata = {**like.metadata, "source_document": f"{document}.md"}
        yield replace(
            like, id=str(uuid.UUID(int=number + 1)), document_id=document, text=text, start=0, end=len(text),
            metadata=metadata,
        )  # fmt: skip


def points(
    sample: Sequence[Chunk],
    dimensions: int,
    bm25: Bm25,
    folder: Path,
    sizes: Sequence[int],
    vectors: StoredVectors = "memory",
) -> Iterator[Point]:
    """One index that grows from size to size in `folder`, looked at by a process of its own each time; `vectors` as in
    the config.

    Raises StoreError if that process ends without an answer.
    """
    encoder = Bm25Encoder(bm25)
    terms = sum(sum(encoder.terms(chunk.indexed_text).values()) for chunk in sample)
    average = rounded_average_length(terms, len(sample))
    random = np.random.default_rng(1)
    questions = [" ".join(chunk.text.split()[:_QUESTION_WORDS]) for chunk in grown(sample, _QUESTIONS, seed=2)]
    (folder / "questions.json").write_text(json.dumps(questions), "utf-8")
    (folder / "bm25.json").write_text(bm25.model_dump_json(), "utf-8")
    held = 0
    for size in sizes:
        began = time.process_time()
        made = 0.0
        store = EdgeStore(folder / "shard", bm25, vectors=vectors)
        for first in range(held, size, _BATCH):
            making = time.process_time()
            chunks = list(grown(sample, min(_BATCH, size - first), first=first))
            rows = _unit(random.standard_normal((len(chunks), dimensions)).astype(np.float32))
            made += time.process_time() - making
            store.upsert(chunks, rows, average)
        store.finish()
        store.close()
        write_s = (time.process_time() - began - made) / (size - held)
        held = size
        memory, search_s = _looked_at(folder, dimensions, vectors)
        disk = sum(path.stat().st_blocks * 512 for path in (folder / "shard").rglob("*") if path.is_file())
        yield Point(size, disk, memory, search_s, write_s)


def _looked_at(folder: Path, dimensions: int, vectors: StoredVectors) -> tuple[int, float]:
    command = [sys.executable, "-P", "-m", "ragkit.capacity.trial", str(folder), str(dimensions), vectors]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise StoreError(f"a trial index could not be searched: {(done.stderr.strip().splitlines() or ['?'])[-1]}")
    found = json.loads(done.stdout)
    return found["memory_bytes"], found["search_s"]


def look_at(folder: Path, dimensions: int, kept: StoredVectors) -> dict[str, float]:
    """Search the index of a trial in this process: bytes of memory that it took, core-seconds of a search."""
    questions: list[str] = json.loads((folder / "questions.json").read_text("utf-8"))
    bm25 = Bm25.model_validate_json((folder / "bm25.json").read_text("utf-8"))
    Bm25Encoder(bm25).question(questions[0])
    vectors = _unit(np.random.default_rng(3).standard_normal((len(questions), dimensions)).astype(np.float32))
    before = anonymous_bytes()
    store = EdgeStore(folder / "shard", bm25, vectors=kept)
    seconds: list[float] = []
    for question, vector in zip(questions, vectors, strict=True):
        began = time.process_time()
        dense, sparse = store.search(_CANDIDATES, vector, question)
        store.chunks([hit.chunk_id for hit in (*dense, *sparse)][:_CANDIDATES])
        seconds.append(time.process_time() - began)
    memory = anonymous_bytes() - before
    store.close()
    return {"memory_bytes": max(0, memory), "search_s": float(np.median(seconds[_WARM_UP:]))}


def anonymous_bytes() -> int:
    """Memory of this process that is its own: pages of mapped files, which the system takes back, are not counted."""
    try:
        status = Path("/proc/self/status").read_text("ascii")
    except OSError:  # no Linux: the largest that it ever was
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return sum(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("RssAnon"))


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


if __name__ == "__main__":
    print(
        json.dumps(look_at(Path(sys.argv[1]), int(sys.argv[2]), Store.model_validate({"vectors": sys.argv[3]}).vectors))
    )
