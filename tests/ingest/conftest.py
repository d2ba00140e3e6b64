"""The real embedding model, loaded once, and everything that an index holds, for comparing two of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ragkit.config.schema import Chunking, Config, Embedding, Ingestion, Parsing, Store
from ragkit.embed import Embedder, make_embedder
from ragkit.ingest.index import build_index
from ragkit.retrieve.retriever import retrieve
from ragkit.store.open import open_snapshot
from tests.ingest.indexing import RECURSIVE, Contents, Watched, made_with, write

if TYPE_CHECKING:
    from numpy.typing import NDArray

QUESTIONS = (
    "How long does the battery of the hub last?",
    "Which port does the firewall have to open?",
    "What does error E-104 mean?",
    "How is a probe calibrated?",
    "Who decides about the warranty?",
)


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


@pytest.fixture
def against_clean(
    tmp_path: Path,
    embedder: Embedder,
    config_at: Callable[..., Config],
    contents: Callable[[Config], Contents],
) -> Callable[[Config, Path], list[str]]:
    """Each way in which an index differs from one that is built of the folder at once."""

    def compare(config: Config, docs: Path) -> list[str]:
        clean = config_at(tmp_path / "clean", config.ingestion.chunking)
        build_index(clean, [docs], embedder=embedder)
        return contents(clean).differences(contents(config))

    return compare


@pytest.fixture(params=["qdrant_edge", "pgvector"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """Where an index that is switched lies: in its folder, or with its chunks in a real PostgreSQL."""
    settings = Store() if request.param == "qdrant_edge" else request.getfixturevalue("pgvector_settings")
    return settings.changed({"path": tmp_path / "index"})


@pytest.fixture
def blue(store: Store) -> Config:
    """The old settings: vectors of 384 numbers."""
    return made_with(store, chunk_size=24)


@pytest.fixture
def green(store: Store) -> Config:
    """The new ones: vectors of 64, which an index of the old ones cannot be searched with, and other chunks."""
    return made_with(store, chunk_size=200, dimensions=64)


@pytest.fixture
def green_embedder() -> Embedder:
    return make_embedder(Embedding(device="cpu", dimensions=64))
