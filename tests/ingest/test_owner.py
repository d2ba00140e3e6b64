"""The tenant of an uploaded document is that of its folder, whatever stands in the document."""

from __future__ import annotations

import json
from pathlib import Path

from ragkit.config.schema import Config
from ragkit.ingest.index import build_index
from ragkit.ingest.owner import owned, owner_of, uploads_of
from ragkit.store.filters import parse_filter
from ragkit.store.open import open_snapshot
from ragkit.types import Document


def test_the_first_folder_below_uploads_is_the_tenant(tmp_path: Path) -> None:
    uploads = uploads_of(tmp_path)
    assert owner_of(uploads / "acme" / "a.md", tmp_path) == "acme"
    assert owner_of(uploads / "_" / "a.md", tmp_path) is None
    assert owner_of(uploads / "a.md", tmp_path) is None
    assert owner_of(tmp_path / "docs" / "acme" / "a.md", tmp_path) is None


def test_a_document_without_an_owner_keeps_what_it_says_of_itself() -> None:
    document = Document("1", "text", "a.md", "text/markdown", "A", "hash", metadata={"tenant": "acme"})
    assert owned(document, None) is document
    assert owned(document, "umbrella").metadata == {"tenant": "umbrella"}


def test_an_upload_cannot_say_that_it_is_of_another_tenant(tmp_path: Path) -> None:
    config = Config.model_validate(
        {
            "ingestion": {"store": {"path": str(tmp_path / "index")}, "chunking": {"strategy": "recursive"}},
            "serve": {"folder": str(tmp_path / "serve")},
        }
    )
    uploads = uploads_of(config.serve.folder)
    (uploads / "acme").mkdir(parents=True)
    row = {"id": "1", "text": "The kettle holds two litres.", "metadata": {"tenant": ["umbrella", "acme"], "n": 1}}
    (uploads / "acme" / "rows.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")
    for rebuild in (False, True):
        build_index(config, [uploads], rebuild=rebuild)
        snapshot = open_snapshot(config)
        try:
            assert snapshot.store.count([parse_filter("tenant=acme")]) == 1
            assert snapshot.store.count([parse_filter("tenant=umbrella")]) == 0
            assert [entry.name for entry in snapshot.manifest.entries_with("tenant", "acme")] == ["acme/rows.jsonl#1"]
            assert list(snapshot.manifest.entries_with("tenant", "umbrella")) == []
        finally:
            snapshot.close()
