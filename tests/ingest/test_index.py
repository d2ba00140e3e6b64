"""Indexing: only what changed is done again, nothing is lost when it fails, and readers see only the result."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ragkit.config.schema import Bm25, Chunking, Config, Retrieval
from ragkit.embed import Embedder
from ragkit.embed.models import model_folder
from ragkit.errors import ConfigError, IndexLocked, IndexMismatch, ModelError, RagkitError, StoreError
from ragkit.ingest.delete import delete_documents
from ragkit.ingest.index import build_index
from ragkit.ingest.report import Receipt
from ragkit.store.folder import SHARD, VECTORS
from ragkit.store.open import NoIndex, open_manifest, open_snapshot
from tests.ingest.indexing import RECURSIVE, Contents, ReportedFault, Watched, counts, generation, texts_of, write

if TYPE_CHECKING:
    from numpy.typing import NDArray

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

SAMPLES = Path(__file__).parents[2] / "eval" / "samples"


def damage(config: Config, file: str) -> None:
    """Other bytes at the beginning of a file, in every segment of the index."""
    folder = config.ingestion.store.path / generation(config) / SHARD / "segments"
    found = list(folder.glob(f"*/{file}"))
    assert found
    for path in found:
        with path.open("r+b") as opened:
            opened.write(os.urandom(min(path.stat().st_size, 1 << 16)))


class TestIncremental:
    def test_the_first_run_brings_in_everything(self, config: Config, docs: Path, watched: Watched) -> None:
        report = build_index(config, [docs], embedder=watched)
        assert counts(report) == {"new": 4}
        assert (report.documents, report.parsed, dict(report.by_type)) == (4, 4, {"md": 4})
        assert report.chunks == report.chunks_written == report.embedded == len(watched.texts) > 4
        assert report.failures == []
        assert {"scan", "parse", "chunk", "embed", "store", "publish", "total"} <= set(report.seconds)

    def test_the_same_again_does_nothing(self, config: Config, docs: Path, watched: Watched) -> None:
        build_index(config, [docs], embedder=watched)
        before, embedded = generation(config), len(watched.texts)
        report = build_index(config, [docs], embedder=watched)
        assert counts(report) == {"unchanged": 4}
        assert (report.documents, report.changed, report.embedded) == (4, False, 0)
        assert (generation(config), len(watched.texts)) == (before, embedded)

    def test_each_kind_of_change_costs_what_changed(self, config: Config, docs: Path, watched: Watched) -> None:
        build_index(config, [docs], embedder=watched)
        watched.texts.clear()
        with (docs / "a.md").open("a", encoding="utf-8") as stream:
            stream.write("\n## The radio\n\nIts channel is 868.3 MHz.\n")
        (docs / "b.md").rename(docs / "sub" / "b.md")
        (docs / "c.md").unlink()
        write(docs / "e.md", "Extra", "antenna")
        report = build_index(config, [docs], embedder=watched)
        assert counts(report) == {"new": 1, "edited": 1, "moved": 1, "deleted": 1, "unchanged": 1}
        assert report.documents == 4
        # What the edit added, and the new document; the moved one and the rest of the edited one are there.
        assert sorted(text.split("\n", 1)[0] for text in watched.texts) == ["Extra", "Manual a.md > The radio"]
        assert (report.embedded, report.reused > 3) == (2, True)
        assert any("868.3 MHz" in text for text in texts_of(config, "a.md"))
        assert texts_of(config, "b.md") == texts_of(config, "c.md") == []
        assert len(texts_of(config, "sub/b.md")) > 1
        assert report.receipt == Receipt(documents=2, vectors=0, bm25=0, manifest=0, files=0)

    def test_it_ends_where_a_clean_build_does(
        self,
        config: Config,
        docs: Path,
        watched: Watched,
        against_clean: Callable[[Config, Path], list[str]],
    ) -> None:
        build_index(config, [docs], embedder=watched)
        for step in range(4):
            write(docs / "a.md", f"Manual {step}", *["pump", "antenna", "battery of the hub", "port"][: step + 1])
            write(docs / f"new-{step}.md", f"New {step}", "probe", "warranty")
            if step:
                (docs / f"new-{step - 1}.md").rename(docs / f"old-{step - 1}.md")
            build_index(config, [docs], embedder=watched)
        (docs / "old-0.md").unlink()
        build_index(config, [docs], embedder=watched)
        assert against_clean(config, docs) == []

    def test_rows_of_a_json_lines_file_are_documents_of_their_own(
        self, config: Config, tmp_path: Path, watched: Watched
    ) -> None:
        path = tmp_path / "tickets.jsonl"
        tickets = [{"id": n, "text": f"Ticket {n} is about a pump.", "metadata": {"n": n}} for n in range(5)]
        path.write_text("\n".join(map(json.dumps, tickets)), encoding="utf-8")
        assert counts(build_index(config, [path], embedder=watched)) == {"new": 5}
        tickets[1]["text"] = "Ticket 1 is about a valve \ud83d."
        del tickets[3]
        tickets.append({"id": "empty", "text": " "})
        path.write_text("\n".join(map(json.dumps, tickets)), encoding="utf-8")
        report = build_index(config, [path], embedder=watched)
        assert counts(report) == {"edited": 1, "deleted": 1, "unchanged": 3}
        assert report.failures == [("tickets.jsonl#empty", "has an empty text (line 5)")]
        assert report.embedded == 1
        assert texts_of(config, "tickets.jsonl#1") == ["Ticket 1 is about a valve \ufffd."]

    def test_an_emptied_json_lines_file_keeps_its_rows_and_is_reported(
        self, config: Config, tmp_path: Path, watched: Watched
    ) -> None:
        path = tmp_path / "t.jsonl"
        path.write_text('{"id": 1, "text": "One."}\n{"id": 2, "text": "Two."}', encoding="utf-8")
        build_index(config, [path], embedder=watched)
        path.write_text("\n", encoding="utf-8")
        report = build_index(config, [path], embedder=watched)
        assert (report.failures, report.documents) == ([("t.jsonl", "has no rows")], 2)

    def test_metadata_that_is_changed_is_told_once_a_file(
        self, config: Config, tmp_path: Path, watched: Watched
    ) -> None:
        lines = [f'{{"id": {n}, "text": "Row {n}.", "metadata": {{"score": NaN}}}}' for n in range(3)]
        (tmp_path / "t.jsonl").write_text("\n".join(lines), encoding="utf-8")
        report = build_index(config, [tmp_path / "t.jsonl"], embedder=watched)
        assert report.warnings == [("t.jsonl", 'metadata "score": NaN and infinity are left out')]

    def test_other_folders_stay_as_they_are(self, config: Config, docs: Path, tmp_path: Path, watched: Watched) -> None:
        other = tmp_path / "other"
        other.mkdir()
        write(other / "a.md", "Other", "antenna")
        build_index(config, [docs], embedder=watched)
        report = build_index(config, [other], embedder=watched)
        assert (counts(report), report.documents) == ({"new": 1}, 5)
        assert texts_of(config, "other/a.md") != texts_of(config, "a.md")
        (docs / "b.md").unlink()
        assert counts(build_index(config, [other], embedder=watched)) == {"unchanged": 1}
        report = build_index(config, [docs, other], embedder=watched)
        assert counts(report) == {"deleted": 1, "unchanged": 4}

    def test_a_folder_that_vanished_is_an_error_and_no_deletion(
        self, config: Config, docs: Path, tmp_path: Path, watched: Watched
    ) -> None:
        build_index(config, [docs], embedder=watched)
        docs.rename(tmp_path / "unmounted")
        with pytest.raises(RagkitError, match=r"there is no '.*docs'"):
            build_index(config, [docs], embedder=watched)
        assert len(texts_of(config, "a.md")) > 1

    def test_nothing_given_is_an_error(self, config: Config, watched: Watched) -> None:
        with pytest.raises(ConfigError, match="nothing to index; name files or folders: ragkit index PATH"):
            build_index(config, embedder=watched)
        with pytest.raises(NoIndex):
            open_snapshot(config)

    def test_names_on_disk_that_are_no_text_can_be_indexed(self, config: Config, docs: Path, watched: Watched) -> None:
        write(Path(os.fsdecode(os.fsencode(docs) + b"/caf\xe9.md")), "Odd", "pump")
        assert build_index(config, [docs], embedder=watched).documents == 5
        assert counts(build_index(config, [docs], embedder=watched)) == {"unchanged": 5}
        assert len(texts_of(config, "caf\\xe9.md")) == 1


class TestFailures:
    def test_a_file_that_cannot_be_read_is_named_and_keeps_its_old_version(
        self, config: Config, docs: Path, watched: Watched
    ) -> None:
        build_index(config, [docs], embedder=watched)
        before = texts_of(config, "a.md")
        (docs / "a.md").write_bytes(b"\x00\x01 garbage")
        (docs / "new.pdf").write_bytes(b"no pdf")
        write(docs / "b.md", "Edited", "antenna")
        report = build_index(config, [docs], embedder=watched)
        assert report.failures == [
            ("a.md", "is not text (it holds NUL bytes)"),
            ("new.pdf", "is not readable as PDF: its first bytes are of another format"),
        ]
        assert texts_of(config, "a.md") == before
        assert "antenna" in texts_of(config, "b.md")[0]
        assert report.documents == 4
        write(docs / "a.md", "Mended", "antenna")
        report = build_index(config, [docs], embedder=watched)
        assert "antenna" in texts_of(config, "a.md")[0]
        assert [name for name, _ in report.failures] == ["new.pdf"]

    def test_an_embedder_that_fails_midway_loses_nothing(
        self, config: Config, docs: Path, tmp_path: Path, embedder: Embedder
    ) -> None:
        build_index(config, [docs], embedder=embedder)
        before = generation(config)
        rows = tmp_path / "rows.jsonl"
        rows.write_text(
            "\n".join(json.dumps({"id": n, "text": f"Row number {n}."}) for n in range(300)), encoding="utf-8"
        )
        failing = Watched(embedder, fails_after=200)
        with pytest.raises(ReportedFault):
            build_index(config, [docs, rows], embedder=failing)
        assert generation(config) == before
        assert len(texts_of(config, "a.md")) > 1
        assert texts_of(config, "rows.jsonl#1") == []
        again = Watched(embedder)
        report = build_index(config, [docs, rows], embedder=again)
        assert report.documents == 304
        assert len(failing.texts) >= 100
        assert len(failing.texts) + len(again.texts) == 300
        assert not set(failing.texts) & set(again.texts), "no text is embedded twice"

    def test_a_first_run_that_fails_leaves_no_index(self, config: Config, docs: Path, embedder: Embedder) -> None:
        with pytest.raises(ReportedFault):
            build_index(config, [docs], embedder=Watched(embedder, fails_after=0))
        with pytest.raises(NoIndex, match=r"there is no index at .*; run: ragkit index PATH"):
            open_snapshot(config)
        assert counts(build_index(config, [docs], embedder=embedder)) == {"new": 4}


class TestSettings:
    def test_an_index_of_other_settings_is_refused_with_the_difference_and_the_command(
        self, config: Config, docs: Path, tmp_path: Path, watched: Watched, config_at: Callable[..., Config]
    ) -> None:
        build_index(config, [docs], embedder=watched)
        other = config_at(tmp_path / "index", Chunking(strategy="recursive", chunk_size=100, overlap=0))
        gist = r"ingestion\.chunking\.chunk_size: 64 in the index, 100 in the config; .*ragkit index --rebuild"
        with pytest.raises(IndexMismatch, match=gist):
            build_index(other, [docs], embedder=watched)
        report = build_index(other, rebuild=True, embedder=watched)
        assert (report.rebuilt, report.new, report.deleted, report.documents) == (True, 4, 0, 4)
        assert build_index(other, [docs], embedder=watched).unchanged == 4

    def test_the_layout_of_pdfs_is_one_of_them_and_the_parser_is_noted(
        self, config: Config, docs: Path, watched: Watched, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (docs / "e.html").write_text("<p>A page of the manual.</p>", encoding="utf-8")
        monkeypatch.setattr("ragkit.ingest.settings.version", "0.1".format)
        build_index(config, [docs], embedder=watched)
        monkeypatch.undo()
        parsing = config.ingestion.parsing.model_copy(update={"pdf_layout": False})
        other = config.model_copy(update={"ingestion": config.ingestion.model_copy(update={"parsing": parsing})})
        with pytest.raises(IndexMismatch, match=r"pdf_layout: true in the index, false in the config"):
            build_index(other, [docs], embedder=watched)
        write(docs / "a.md", "Edited", "antenna")
        assert build_index(config, [docs], embedder=watched).warnings == []
        (docs / "e.html").write_text("<p>Another page of the manual.</p>", encoding="utf-8")
        [(name, warning)] = build_index(config, [docs], embedder=watched).warnings
        assert (name, "read by kreuzberg 0.1, now by" in warning) == ("the index", True)
        assert build_index(config, rebuild=True, embedder=watched).warnings == []
        with open_manifest(config) as manifest:
            assert manifest is not None
            assert manifest.meta("parsers") == [version("kreuzberg")]

    def test_a_rebuild_loses_nothing_that_was_indexed_from_elsewhere(
        self, config: Config, docs: Path, watched: Watched, tmp_path: Path
    ) -> None:
        build_index(config, [docs], embedder=watched)
        more = tmp_path / "more"
        more.mkdir()
        (more / "e.md").write_text("A fifth document.", encoding="utf-8")
        (docs / "b.md").unlink()
        report = build_index(config, [more], rebuild=True, embedder=watched)
        assert (report.new, report.deleted, report.documents) == (4, 1, 4)
        assert (report.embedded, report.reused) == (1, report.chunks - 1)
        assert report.receipt == Receipt(documents=1, vectors=0, bm25=0, manifest=0, files=0)
        assert texts_of(config, "a.md")
        assert texts_of(config, "e.md") == ["A fifth document."]

    def test_a_rebuild_embeds_no_text_that_the_index_has_a_vector_of(
        self, config: Config, docs: Path, watched: Watched, contents: Callable[[Config], Contents]
    ) -> None:
        build_index(config, [docs], embedder=watched)
        before = contents(config)
        watched.texts.clear()
        other = config.model_copy(update={"retrieval": Retrieval(bm25=Bm25(k1=1.5))})
        report = build_index(other, rebuild=True, embedder=watched)
        assert (report.rebuilt, report.embedded, report.reused) == (True, 0, len(before.chunks))
        assert watched.texts == []
        assert not list(config.ingestion.store.path.glob(f"{VECTORS}*"))
        build_index(config, rebuild=True, embedder=watched)
        assert contents(config).differences(before) == []

    def test_vectors_can_be_kept_in_another_way_without_embedding_anything(
        self, config: Config, docs: Path, watched: Watched, contents: Callable[[Config], Contents]
    ) -> None:
        build_index(config, [docs], embedder=watched)
        before = contents(config)
        store = config.ingestion.store.model_copy(update={"vectors": "scalar"})
        other = config.model_copy(update={"ingestion": config.ingestion.model_copy(update={"store": store})})
        with pytest.raises(IndexMismatch, match=r"ingestion\.store\.vectors"):
            build_index(other, [docs], embedder=watched)
        assert build_index(other, rebuild=True, embedder=watched).embedded == 0
        assert contents(other).differences(before) == ["meta: settings"]

    def test_a_rebuild_with_a_model_of_other_bytes_embeds_everything(
        self, config: Config, docs: Path, watched: Watched, tmp_path: Path
    ) -> None:
        folder = tmp_path / "model"
        shutil.copytree(model_folder(config.ingestion.embedding.model), folder)
        embedding = config.ingestion.embedding.model_copy(update={"model": str(folder)})
        own = config.model_copy(update={"ingestion": config.ingestion.model_copy(update={"embedding": embedding})})
        first = build_index(own, [docs], embedder=watched)
        assert build_index(own, rebuild=True, embedder=watched).embedded == 0
        (folder / "config.json").write_text((folder / "config.json").read_text("utf-8") + "\n", "utf-8")
        assert build_index(own, rebuild=True, embedder=watched).embedded == first.embedded

    @pytest.mark.parametrize("damaged", ["no file", "no database", "no tables", "pages", "pointer"])
    def test_a_rebuild_of_what_cannot_be_read_takes_the_paths_that_are_given(
        self, config: Config, docs: Path, watched: Watched, damaged: str
    ) -> None:
        folder = config.ingestion.store.path
        build_index(config, [docs], embedder=watched)
        manifest = folder / "gen-000001" / "manifest.sqlite"
        if damaged == "no file":
            manifest.unlink()
        elif damaged == "no database":
            manifest.write_bytes(b"no database at all " * 400)
        elif damaged == "no tables":
            manifest.write_bytes(b"")
        elif damaged == "pages":
            whole = manifest.read_bytes()
            manifest.write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))
        else:
            (folder / "CURRENT").write_text("gen-", encoding="ascii")
        if damaged != "pages":
            for attempt in (lambda: open_snapshot(config), lambda: build_index(config, [docs], embedder=watched)):
                with pytest.raises(StoreError, match="ragkit index --rebuild"):
                    attempt()
        with pytest.raises(ConfigError, match="nothing to index"):
            build_index(config, rebuild=True, embedder=watched)
        assert build_index(config, [docs], rebuild=True, embedder=watched).documents == 4
        assert generation(config) == "gen-000002"

    def test_a_rebuild_of_what_is_broken_embeds_everything(self, config: Config, docs: Path, watched: Watched) -> None:
        first = build_index(config, [docs], embedder=watched)
        shutil.rmtree(config.ingestion.store.path / generation(config) / SHARD)
        report = build_index(config, rebuild=True, embedder=watched)
        assert (report.documents, report.embedded) == (4, first.embedded)

    @pytest.mark.parametrize("file", ["payload_storage/page_0.dat", "payload_storage/tracker.dat"])
    def test_a_rebuild_mends_damage_that_shows_when_chunks_are_read(
        self, config: Config, docs: Path, watched: Watched, file: str
    ) -> None:
        build_index(config, [docs], embedder=watched)
        damage(config, file)
        report = build_index(config, rebuild=True, embedder=watched)
        assert (report.documents, report.embedded + report.reused) == (4, report.chunks)

    def test_a_rebuild_keeps_no_vector_that_is_damaged(
        self, config: Config, docs: Path, watched: Watched, contents: Callable[[Config], Contents]
    ) -> None:
        build_index(config, [docs], embedder=watched)
        before = contents(config)
        damage(config, "vector_storage-dense/vectors/chunk_0.mmap")
        assert build_index(config, rebuild=True, embedder=watched).embedded > 0
        assert contents(config).differences(before) == []

    def test_a_rebuild_can_be_told_to_embed_again(self, config: Config, docs: Path, watched: Watched) -> None:
        first = build_index(config, [docs], embedder=watched)
        assert build_index(config, rebuild=True, embed_again=True, embedder=watched).embedded == first.embedded

    def test_vectors_of_two_models_are_told_of_and_not_kept(
        self, config: Config, docs: Path, watched: Watched, tmp_path: Path
    ) -> None:
        folder = tmp_path / "model"
        shutil.copytree(model_folder(config.ingestion.embedding.model), folder)
        embedding = config.ingestion.embedding.model_copy(update={"model": str(folder)})
        own = config.model_copy(update={"ingestion": config.ingestion.model_copy(update={"embedding": embedding})})
        build_index(own, [docs], embedder=watched)
        (folder / "config.json").write_text((folder / "config.json").read_text("utf-8") + "\n", "utf-8")
        write(docs / "e.md", "E", "pump")
        [(name, warning)] = build_index(own, [docs], embedder=watched).warnings
        assert (name, "vectors of two models" in warning) == ("the index", True)
        report = build_index(own, rebuild=True, embedder=watched)
        assert (report.embedded, report.reused, report.warnings) == (report.chunks, 0, [])

    def test_deleting_works_under_other_settings(
        self,
        config: Config,
        docs: Path,
        tmp_path: Path,
        watched: Watched,
        config_at: Callable[..., Config],
        contents: Callable[[Config], Contents],
    ) -> None:
        """BM25 keeps the parameters that the index was built with."""
        build_index(config, [docs], embedder=watched)
        other = config.model_copy(update={"retrieval": Retrieval(bm25=Bm25(k1=2.0))})
        delete_documents(other, ["a.md"])
        clean = config_at(tmp_path / "clean", RECURSIVE)
        build_index(clean, [docs], embedder=watched)
        delete_documents(clean, ["a.md"])
        assert contents(clean).differences(contents(config)) == []

    def test_a_passage_beyond_the_window_is_refused_before_anything_is_published(
        self, config: Config, docs: Path, embedder: Embedder
    ) -> None:
        """A config whose window is wider than the model's: the model's own check holds."""

        class Narrow(Watched):
            def embed_passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
                return super().embed_passages(["word " * 300, *texts])

        with pytest.raises(ModelError, match="does not fit the model"):
            build_index(config, [docs], embedder=Narrow(embedder))
        with pytest.raises(NoIndex):
            open_snapshot(config)


class TestFilesThatCannotBeRead:
    @pytest.fixture
    def broken(self, docs: Path) -> Path:
        (docs / "broken.pdf").write_bytes(b"%PDF-1.7 and no more")
        return docs / "broken.pdf"

    def test_they_are_read_once_and_reported_each_time(
        self, config: Config, docs: Path, broken: Path, watched: Watched
    ) -> None:
        first = build_index(config, [docs], embedder=watched)
        assert (first.new, first.parsed, [name for name, _ in first.failures]) == (4, 5, ["broken.pdf"])
        published = generation(config)
        second = build_index(config, [docs], embedder=watched)
        assert (second.changed, second.parsed, second.failures) == (False, 0, first.failures)
        assert generation(config) == published, "nothing to publish"
        retried = build_index(config, [docs], retry=True, embedder=watched)
        assert (retried.new, retried.parsed, retried.failures) == (0, 1, first.failures)

    def test_other_bytes_or_other_limits_are_a_new_chance(
        self, config: Config, docs: Path, broken: Path, watched: Watched
    ) -> None:
        build_index(config, [docs], embedder=watched)
        slower = config.ingestion.parsing.model_copy(update={"timeout_s": 77.0})
        other = config.model_copy(update={"ingestion": config.ingestion.model_copy(update={"parsing": slower})})
        assert build_index(other, [docs], embedder=watched).parsed == 1
        broken.unlink()
        broken = docs / "broken.txt"
        broken.write_text("It reads well now.", encoding="utf-8")
        assert build_index(other, [docs], embedder=watched).failures == []

    def test_the_failures_of_other_roots_are_remembered(
        self, config: Config, docs: Path, broken: Path, watched: Watched, tmp_path: Path
    ) -> None:
        build_index(config, [docs], embedder=watched)
        (tmp_path / "one.md").write_text("One.", encoding="utf-8")
        assert build_index(config, [tmp_path / "one.md"], embedder=watched).failures == []
        assert build_index(config, [docs], embedder=watched).parsed == 0


class TestTwoAtOnce:
    @pytest.fixture
    def holder(self, config: Config) -> Iterator[subprocess.Popen[str]]:
        """Another process that is writing this index until it reads a line."""
        program = (
            "import sys\nfrom pathlib import Path\nfrom ragkit.store.folder import writer_lock\n"
            "with writer_lock(Path(sys.argv[1]), 0):\n    print('held', flush=True)\n    sys.stdin.readline()\n"
        )
        command = [sys.executable, "-c", program, str(config.ingestion.store.path)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            yield process
            process.kill()

    def test_the_second_says_who_is_writing(
        self, config: Config, docs: Path, watched: Watched, holder: subprocess.Popen[str]
    ) -> None:
        with pytest.raises(IndexLocked, match=rf"another indexer is writing .* \(process {holder.pid}, since .*--wait"):
            build_index(config, [docs], embedder=watched)
        with pytest.raises(IndexLocked):
            delete_documents(config, ["a.md"])
        assert watched.texts == []

    def test_the_second_waits_if_asked_to(
        self, config: Config, docs: Path, watched: Watched, holder: subprocess.Popen[str]
    ) -> None:
        release = threading.Timer(0.7, holder.communicate, args=("go\n",))
        release.start()
        began = time.monotonic()
        assert build_index(config, [docs], embedder=watched, wait_s=60).new == 4
        assert time.monotonic() - began >= 0.7
        release.join()

    def test_the_second_gives_up_when_its_patience_ends(
        self, config: Config, docs: Path, watched: Watched, holder: subprocess.Popen[str]
    ) -> None:
        began = time.monotonic()
        with pytest.raises(IndexLocked):
            build_index(config, [docs], embedder=watched, wait_s=0.5)
        assert 0.5 <= time.monotonic() - began < 5

    def test_the_lock_ends_with_its_process(
        self, config: Config, docs: Path, watched: Watched, holder: subprocess.Popen[str]
    ) -> None:
        holder.kill()
        holder.wait()
        assert build_index(config, [docs], embedder=watched).new == 4


READER = """
import sys, threading
from pathlib import Path
from ragkit.config.schema import Config, Ingestion, Store, Chunking, Embedding
from ragkit.system import Ragkit
config = Config(ingestion=Ingestion(store=Store(path=Path(sys.argv[1])), embedding=Embedding(device="cpu"),
    chunking=Chunking(strategy="recursive", chunk_size=64, overlap=0)))
stop = threading.Event()
threading.Thread(target=lambda: (sys.stdin.readline(), stop.set()), daemon=True).start()
searches, last = 0, None
with Ragkit(config) as rag:
    while not stop.is_set():
        results = rag.search("which version is this", strategy="sparse")
        seen = " ".join(sorted(result.chunk.text for result in results))
        searches += 1
        if seen != last:
            last = seen
            print(seen, flush=True)
print(f"searches: {searches}", flush=True)
"""


class TestReaders:
    def test_they_search_on_while_an_indexer_publishes(self, config: Config, docs: Path, embedder: Embedder) -> None:
        """Each search sees one version, whole, and a later search never an earlier version."""

        def publish(version: int) -> None:
            for name in ("v1.md", "v2.md"):
                (docs / name).write_text(f"This is version v{version} of {name}.", encoding="utf-8")
            build_index(config, [docs], embedder=embedder)

        publish(0)
        command = [sys.executable, "-c", READER, str(config.ingestion.store.path)]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as reader:
            assert reader.stdout is not None
            seen = [reader.stdout.readline().strip()]
            for version in range(1, 9):
                publish(version)
            time.sleep(0.5)
            out, errors = reader.communicate("stop\n", timeout=60)
        assert reader.returncode == 0, errors
        *lines, last = out.splitlines()
        seen += lines
        versions = [f"This is version v{n} of v1.md. This is version v{n} of v2.md." for n in range(9)]
        assert seen[0] == versions[0]
        assert seen[-1] == versions[-1]
        assert seen == [version for version in versions if version in seen]
        assert int(last.removeprefix("searches: ")) > 100

    def test_one_with_other_settings_is_refused(self, config: Config, docs: Path, embedder: Embedder) -> None:
        from ragkit.system import Ragkit

        build_index(config, [docs], embedder=embedder)
        other = config.model_copy(update={"retrieval": Retrieval(bm25=Bm25(k1=2.0))})
        with Ragkit(other) as rag, pytest.raises(IndexMismatch, match=r"retrieval\.bm25\.k1: 1\.2 in the index, 2\.0"):
            rag.search("pump", strategy="sparse")


def test_progress_is_told_in_order(config: Config, docs: Path, embedder: Embedder) -> None:
    told: list[tuple[int, int, int]] = []

    def tell(done: int, total: int, chunks: int) -> None:
        told.append((done, total, chunks))

    report = build_index(config, [docs], embedder=embedder, progress=tell)
    assert told == sorted(told)
    assert told[-1] == (4, 4, report.embedded)


def test_the_samples_are_indexed_with_the_defaults(
    tmp_path: Path, config_at: Callable[..., Config], embedder: Embedder
) -> None:
    config = config_at(tmp_path / "index")
    report = build_index(config, [SAMPLES], embedder=embedder)
    assert (report.failures, report.warnings) == ([], [])
    assert report.documents == report.new > 40
    assert report.chunks >= report.documents
    assert build_index(config, [SAMPLES], embedder=embedder).unchanged == report.documents
