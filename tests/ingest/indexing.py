"""What tests of indexing share: an embedder that notes what it is given, and a look at what an index holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ragkit.config.schema import Chunking, Config, Embedding, Ingestion, Parsing, Store
from ragkit.embed import Embedder
from ragkit.ingest.report import IndexReport
from ragkit.store.manifest import Entry
from ragkit.store.open import open_snapshot
from ragkit.types import Chunk, Document

if TYPE_CHECKING:
    from numpy.typing import NDArray

RECURSIVE = Chunking(strategy="recursive", chunk_size=64, overlap=0)


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


QUESTION = "Who checks the valve of the manual?"


def made_with(store: Store, *, chunk_size: int, dimensions: int | None = None) -> Config:
    strategy = "recursive" if dimensions is None else "fixed_size"
    return Config(
        ingestion=Ingestion(
            store=store,
            embedding=Embedding(device="cpu", dimensions=dimensions),
            chunking=Chunking(strategy=strategy, chunk_size=chunk_size, overlap=0),
            parsing=Parsing(workers=1),
        ),
    )


def tables(store: Store) -> list[str]:
    """The tables of chunks in the database of a store; none if it has no database."""
    if store.backend != "pgvector":
        return []
    import psycopg

    assert store.url is not None
    assert store.password is not None
    with psycopg.connect(store.url, password=store.password.get_secret_value()) as connection:
        rows = connection.execute("SELECT tablename FROM pg_tables WHERE tablename LIKE 'ragkit%' ORDER BY tablename")
        names = {str(row[0]) for row in rows}
    return sorted(name for name in names if f"{name}_words" in names)


class ReportedFault(Exception):
    """What an embedding service out of order raises."""


class Watched:
    """The real embedder, which notes what it is given and fails after `fails_after` texts."""

    def __init__(self, embedder: Embedder, fails_after: int | None = None) -> None:
        self._embedder = embedder
        self._fails_after = fails_after
        self.texts: list[str] = []

    def embed_passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
        if self._fails_after is not None and len(self.texts) + len(texts) > self._fails_after:
            raise ReportedFault
        self.texts.extend(texts)
        return self._embedder.embed_passages(texts)

    def embed_question(self, text: str) -> NDArray[np.float32]:
        return self._embedder.embed_question(text)

    def embed_questions(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return self._embedder.embed_questions(texts)


def write(path: Path, title: str, *topics: str) -> None:
    sections = [f"## The {topic}\n\nThe {topic} of {title} is checked every morning by two people." for topic in topics]
    path.write_text("\n\n".join([f"# {title}", *sections]) + "\n", encoding="utf-8")


def counts(report: IndexReport) -> dict[str, int]:
    names = ("new", "edited", "moved", "deleted", "unchanged")
    return {name: getattr(report, name) for name in names if getattr(report, name)}


def generation(config: Config) -> str:
    return (config.ingestion.store.path / "CURRENT").read_text(encoding="ascii")


def texts_of(config: Config, name: str) -> list[str]:
    snapshot = open_snapshot(config)
    try:
        entry = snapshot.manifest.find(name)
        return [] if entry is None else [chunk.text for chunk in snapshot.store.chunks_of(entry.id)]
    finally:
        snapshot.close()
