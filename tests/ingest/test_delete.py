"""Deleting: the receipt, the readers, and what the index is like afterwards."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ragkit.config.schema import Config
from ragkit.errors import ConfigError
from ragkit.ingest.delete import delete_documents
from ragkit.ingest.index import build_index
from ragkit.ingest.report import Receipt
from ragkit.store.open import open_snapshot
from tests.ingest.indexing import Watched, counts, generation, texts_of

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


class TestDeletion:
    def test_the_receipt_says_that_nothing_is_left(self, config: Config, docs: Path, watched: Watched) -> None:
        build_index(config, [docs], embedder=watched)
        receipt = delete_documents(config, ["a.md", "sub/d.md", "a.md"])
        assert receipt == Receipt(documents=2, vectors=0, bm25=0, manifest=0, files=0)
        assert texts_of(config, "a.md") == []
        assert len(texts_of(config, "b.md")) > 1
        held = b"".join(path.read_bytes() for path in config.ingestion.store.path.rglob("*") if path.is_file())
        assert b"Manual b.md" in held
        assert b"Manual a.md" not in held, "the words themselves are gone from the disk"

    def test_a_reader_that_holds_the_old_generation_is_reported(
        self, config: Config, docs: Path, watched: Watched
    ) -> None:
        build_index(config, [docs], embedder=watched)
        snapshot = open_snapshot(config)
        assert delete_documents(config, ["a.md"]).files == 1
        entry = snapshot.manifest.find("a.md")
        assert entry is not None
        assert len(snapshot.store.chunks_of(entry.id)) > 1, "what a reader has open does not change"
        snapshot.close()
        folder = config.ingestion.store.path
        assert [path.name for path in folder.glob("gen-*")] == [generation(config)], "gone with its last reader"
        assert delete_documents(config, ["b.md"]).files == 0

    def test_an_unknown_name_is_refused_before_anything_is_deleted(
        self, config: Config, docs: Path, watched: Watched
    ) -> None:
        build_index(config, [docs], embedder=watched)
        before = generation(config)
        with pytest.raises(ConfigError, match=r"the index holds no document named 'missing\.md'; see: ragkit inspect"):
            delete_documents(config, ["a.md", "missing.md"])
        assert generation(config) == before

    def test_what_still_lies_in_its_folder_comes_back(self, config: Config, docs: Path, watched: Watched) -> None:
        build_index(config, [docs], embedder=watched)
        delete_documents(config, ["a.md"])
        assert counts(build_index(config, [docs], embedder=watched)) == {"new": 1, "unchanged": 3}

    def test_the_average_length_follows(
        self,
        config: Config,
        docs: Path,
        watched: Watched,
        against_clean: Callable[[Config, Path], list[str]],
    ) -> None:
        """Lengths normalise BM25, so scores must be as if the deleted document had never been there."""
        (docs / "long.md").write_text("word " * 60 + "ends.\n\n" + "more " * 60 + "ends.", encoding="utf-8")
        build_index(config, [docs], embedder=watched)
        delete_documents(config, ["long.md"])
        (docs / "long.md").unlink()
        assert against_clean(config, docs) == []
