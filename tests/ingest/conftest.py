"""The real embedding model, loaded once, and everything that an index holds, for comparing two of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ragkit.config.schema import Chunking, Config, Embedding, Ingestion, Parsing, Store
from ragkit.embed import Embedder, make_embedder
from ragkit.retrieve.retriever import retrieve
from ragkit.store.manifest import Entry
from ragkit.store.open import open_snapshot
from ragkit.types import Chunk, Document
from tests.ingest.indexing import RECURSIVE, Watched, write

if TYPE_CHECKING:
    from numpy.typing import NDArray

QUESTIONS = (
    "How long does the battery of the hub last?",
    "Which port does the firewall have to open?",
    "What does error E-104 mean?",
    "How is a probe calibrated?",
    "Who decides about the warranty?",
)


@dataclass
class Contents:
    """What a reader of an index can see."""

    entries: dict[str, Entry] = field(default_factory=dict[str, Entry])
    documents: dict[str, Document] = field(default_factory=dict[str, Document])
    meta: dict[str, Any] = field(default_factory=dict[str, Any])
    chunks: dict[str, Chunk] = field(default_factory=dict[str, Chunk])
    vectors: dict[str, NDArray[np.float32]] = field(default_factory=dict[str, "NDArray[np.float32]"])
    counts: tuple[int, int, int] = (0, 0, 0)
    sparse: dict[str, dict[str, float]] = field(default_factory=dict[str, dict[str, float]])
    best: dict[str, list[str]] = field(default_factory=dict[str, list[str]])

    def differences(self, other: Contents) -> list[str]:
        """Each way in which two indexes differ, in a few words; empty if they are the same."""
        found: list[str] = []
        for name in ("entries", "documents", "meta", "chunks", "best"):
            mine, theirs = getattr(self, name), getattr(other, name)
            keys = {key for key in {*mine, *theirs} if mine.get(key) != theirs.get(key)}
            found.extend(f"{name}: {key}" for key in sorted(keys))
        if self.counts != other.counts:
            found.append(f"counts: {self.counts} and {other.counts}")
        if self.vectors.keys() != other.vectors.keys():
            found.append("vectors: of other chunks")
        else:
            found.extend(
                f"vector: {key}"
                for key, vector in self.vectors.items()
                if not np.allclose(vector, other.vectors[key], atol=1e-5)
            )
        for question, scores in self.sparse.items():
            if scores != pytest.approx(other.sparse[question], rel=1e-5):
                found.append(f"sparse scores: {question}")
        return found


class Remembering:
    """The real model, which does not read the same text twice: these tests index the same ones again and again."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._passages: dict[str, NDArray[np.float32]] = {}
        self._questions: dict[str, NDArray[np.float32]] = {}

    def embed_passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
        fresh = sorted({text for text in texts if text not in self._passages})
        self._passages.update(zip(fresh, self._embedder.embed_passages(fresh), strict=True))
        return np.stack([self._passages[text] for text in texts])

    def embed_question(self, text: str) -> NDArray[np.float32]:
        if text not in self._questions:
            self._questions[text] = self._embedder.embed_question(text)
        return self._questions[text]

    def embed_questions(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return np.stack([self.embed_question(text) for text in texts])


@pytest.fixture(scope="session")
def embedder() -> Embedder:
    return Remembering(make_embedder(Embedding(device="cpu")))


@pytest.fixture
def config_at() -> Callable[..., Config]:
    """A config whose index lies in the given folder."""

    def make(folder: Path, chunking: Chunking | None = None, **parsing: Any) -> Config:
        return Config(
            ingestion=Ingestion(
                store=Store(path=folder),
                embedding=Embedding(device="cpu"),
                chunking=chunking or Chunking(),
                parsing=Parsing(workers=1, **parsing),
            )
        )

    return make


@pytest.fixture
def contents(embedder: Embedder) -> Callable[[Config], Contents]:
    """Reads a whole index as a reader does."""

    def read(config: Config) -> Contents:
        snapshot = open_snapshot(config)
        try:
            read = Contents()
            for entry in snapshot.manifest.entries():
                read.entries[entry.name] = entry
                document = snapshot.manifest.document(entry.id)
                assert document is not None
                read.documents[entry.name] = document
                read.chunks |= {chunk.id: chunk for chunk in snapshot.store.chunks_of(entry.id)}
                read.vectors |= snapshot.store.vectors_of(entry.id)
            read.meta = {key: snapshot.manifest.meta(key) for key in ("settings", "average_length")}
            store = snapshot.store
            read.counts = (store.count(), store.count(vector="dense"), store.count(vector="bm25"))
            for question in QUESTIONS:
                _, hits = store.search(1000, text=question)
                read.sparse[question] = {hit.chunk_id: hit.score for hit in hits}
                results = retrieve(question, store, embedder, config.retrieval).results
                read.best[question] = [result.chunk.id for result in results[:5]]
            return read
        finally:
            snapshot.close()

    return read


@pytest.fixture
def watched(embedder: Embedder) -> Watched:
    return Watched(embedder)


@pytest.fixture
def config(tmp_path: Path, config_at: Callable[..., Config]) -> Config:
    return config_at(tmp_path / "index", RECURSIVE)


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    """Four documents of three sections each."""
    folder = tmp_path / "docs"
    (folder / "sub").mkdir(parents=True)
    for name in ("a.md", "b.md", "c.md", "sub/d.md"):
        write(folder / name, f"Manual {name}", "pump", "valve", "sensor")
    return folder
