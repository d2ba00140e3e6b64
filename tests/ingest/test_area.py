"""Which files a run looks at, over a real index: one document per file, and sources that vanish."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ragkit.config.schema import Config
from ragkit.errors import ConfigError, RagkitError
from ragkit.ingest.delete import delete_documents
from ragkit.ingest.index import build_index
from ragkit.ingest.report import Receipt
from ragkit.store.open import open_manifest
from tests.ingest.indexing import RECURSIVE, Watched, counts, texts_of, write

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


class TestVanishedSources:
    def test_a_folder_that_is_not_there_is_an_error_until_its_documents_are_deleted(
        self, config: Config, docs: Path, watched: Watched
    ) -> None:
        """It may lie on a disk that is not mounted: nothing leaves the index unasked."""
        build_index(config, [docs], embedder=watched)
        away = docs.rename(docs.with_name("away"))
        gist = r"there is no .*docs'; bring it back, or take its 4 documents .*: ragkit delete --from .*docs"
        for rebuild in (False, True):
            with pytest.raises(RagkitError, match=gist):
                build_index(config, [docs], rebuild=rebuild, embedder=watched)
        assert texts_of(config, "a.md")
        receipt = delete_documents(config, paths=[docs])
        assert receipt == Receipt(documents=4, vectors=0, bm25=0, manifest=0, files=0)
        assert build_index(config, [away], embedder=watched).documents == 4

    def test_a_file_or_a_pattern_that_was_indexed_by_itself_may_vanish(
        self, config: Config, docs: Path, watched: Watched
    ) -> None:
        for path, names in ((docs / "a.md", ["a.md"]), (docs / "b*.md", ["b.md"])):
            build_index(config, [path], embedder=watched)
            for name in names:
                (docs / name).unlink()
            report = build_index(config, [path], embedder=watched)
            assert (report.deleted, report.documents) == (1, 0)
            assert report.receipt is not None
            with pytest.raises(RagkitError, match=r"there is no|no file matches"):
                build_index(config, [path], embedder=watched)

    def test_deleting_from_a_path_that_nothing_came_from_names_those_that_something_did(
        self, config: Config, docs: Path, watched: Watched
    ) -> None:
        build_index(config, [docs], embedder=watched)
        with pytest.raises(ConfigError, match=rf"holds nothing from 'elsewhere'; it was made from: {docs}"):
            delete_documents(config, paths=["elsewhere"])


class TestOneDocumentPerFile:
    @staticmethod
    def names(config: Config) -> dict[str, str]:
        with open_manifest(config) as manifest:
            assert manifest is not None
            return {entry.name: Path(entry.root).name for entry in manifest.entries()}

    WHOLE = dict.fromkeys(("a.md", "b.md", "c.md", "sub/d.md"), "docs")

    def test_parts_of_a_folder_that_is_indexed_bring_nothing_twice(
        self, config: Config, docs: Path, watched: Watched
    ) -> None:
        build_index(config, [docs], embedder=watched)
        for part in (docs / "sub", docs / "sub" / "d.md", f"{docs}/**/*.md", f"{docs}/sub/*"):
            report = build_index(config, [part], embedder=watched)
            assert (report.changed, report.documents) == (False, 4)
        write(docs / "sub" / "d.md", "Edited", "antenna")
        write(docs / "sub" / "e.md", "New", "antenna")
        (docs / "a.md").unlink()
        assert counts(build_index(config, [docs / "sub"], embedder=watched)) == {"new": 1, "edited": 1}
        (docs / "sub" / "e.md").unlink()
        (docs / "sub" / "d.md").unlink()
        assert counts(build_index(config, [docs / "sub" / "e.md"], embedder=watched)) == {"deleted": 1}
        assert self.names(config) == self.WHOLE
        assert counts(build_index(config, [docs], embedder=watched)) == {"deleted": 2, "unchanged": 2}

    @pytest.mark.parametrize("first", ["sub", "sub/d.md", "sub/*.md", "*.md", "a.md"])
    def test_a_wider_folder_takes_over_what_is_known_without_embedding_it_again(
        self, config: Config, docs: Path, watched: Watched, first: str
    ) -> None:
        build_index(config, [docs / first], embedder=watched)
        known = set(watched.texts)
        watched.texts.clear()
        report = build_index(config, [docs], embedder=watched)
        assert report.documents == 4
        assert self.names(config) == self.WHOLE
        assert not known & set(watched.texts)
        assert build_index(config, [docs], embedder=watched).changed is False

    def test_both_at_once_in_either_order_and_rebuilt(
        self, config: Config, docs: Path, tmp_path: Path, watched: Watched, config_at: Callable[..., Config]
    ) -> None:
        orders = ([docs, docs / "sub"], [docs / "sub" / "d.md", docs / "sub", docs])
        for number, paths in enumerate(orders):
            place = config_at(tmp_path / f"index{number}", RECURSIVE)
            build_index(place, paths, embedder=watched)
            assert self.names(place) == self.WHOLE
            assert build_index(place, [docs / "sub"], rebuild=True, embedder=watched).documents == 4
            assert self.names(place) == self.WHOLE

    def test_deleting_from_a_part_of_a_folder(self, config: Config, docs: Path, watched: Watched) -> None:
        build_index(config, [docs], embedder=watched)
        assert delete_documents(config, paths=[docs / "sub"]).documents == 1
        assert delete_documents(config, paths=[f"{docs}/[ab].md"]).documents == 2
        assert list(self.names(config)) == ["c.md"]

    def test_a_part_that_vanished_is_an_error_until_its_documents_are_deleted(
        self, config: Config, docs: Path, watched: Watched
    ) -> None:
        build_index(config, [docs], embedder=watched)
        (docs / "sub" / "d.md").unlink()
        (docs / "sub").rmdir()
        with pytest.raises(RagkitError, match=r"there is no .*sub'; .*its 1 document .*ragkit delete --from .*sub"):
            build_index(config, [docs / "sub"], embedder=watched)
        assert delete_documents(config, paths=[docs / "sub"]).documents == 1

    def test_a_folder_in_one_of_the_same_name(
        self,
        config: Config,
        docs: Path,
        watched: Watched,
        against_clean: Callable[[Config, Path], list[str]],
    ) -> None:
        """docs/a.md could be named "docs/a.md" too, to tell it apart, and then be taken for docs/docs/a.md."""
        (docs / "docs").mkdir()
        write(docs / "docs" / "a.md", "Inner", "pump")
        for _ in range(2):
            build_index(config, [docs], embedder=watched)
            assert self.names(config) == dict.fromkeys((*self.WHOLE, "docs/a.md"), "docs")
        (docs / "docs" / "a.md").unlink()
        assert counts(build_index(config, [docs], embedder=watched)) == {"deleted": 1, "unchanged": 4}
        assert against_clean(config, docs) == []


def test_a_folder_that_cannot_be_listed_keeps_its_documents(
    config: Config, docs: Path, watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_index(config, [docs], embedder=watched)
    scandir = os.scandir

    def listed(path: str | Path) -> object:
        if Path(path) == docs / "sub":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", listed)
    report = build_index(config, [docs], embedder=watched)
    assert (report.failures, report.documents) == ([("sub", "cannot be read: Permission denied")], 4)
