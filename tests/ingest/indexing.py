"""What tests of indexing share: an embedder that notes what it is given, and a look at what an index holds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ragkit.config.schema import Chunking, Config
from ragkit.embed import Embedder
from ragkit.ingest.report import IndexReport
from ragkit.store.open import open_snapshot

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RECURSIVE = Chunking(strategy="recursive", chunk_size=64, overlap=0)


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
