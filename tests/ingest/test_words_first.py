"""A progressive index: searchable by words as soon as it is parsed, and in the end the index that a plain run makes."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pytest

from ragkit.config.schema import Config
from ragkit.embed import Embedder
from ragkit.ingest.batches import in_batches
from ragkit.ingest.index import build_index
from ragkit.store.folder import VECTORS
from ragkit.store.open import open_manifest, open_snapshot
from ragkit.system import Ragkit
from tests.ingest.indexing import RECURSIVE, Contents, ReportedFault, Watched, generation, write

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

T = TypeVar("T")

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


class Interrupted(Watched):
    """Calls `between` before it embeds passages."""

    def __init__(self, embedder: Embedder, between: Callable[[], None]) -> None:
        super().__init__(embedder)
        self._between = between

    def embed_passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self._between()
        return super().embed_passages(texts)


@pytest.fixture
def progressive(config: Config) -> Config:
    return config.model_copy(update={"ingestion": config.ingestion.model_copy(update={"progressive": True})})


@pytest.fixture
def plain(config_at: Callable[..., Config], tmp_path: Path, docs: Path, embedder: Embedder) -> Callable[[], Config]:
    def built() -> Config:
        other = config_at(tmp_path / "plain", RECURSIVE)
        build_index(other, [docs], embedder=embedder)
        return other

    return built


def _one_at_a_time(documents: Iterable[T], chunks_of: Callable[[T], int], _: int) -> Iterator[list[T]]:
    return in_batches(documents, chunks_of, 1)


def without_vectors(config: Config) -> int:
    with open_manifest(config) as manifest:
        assert manifest is not None
        return manifest.without_vectors()


def test_words_are_found_before_the_model_reads_a_passage(
    progressive: Config,
    docs: Path,
    embedder: Embedder,
    contents: Callable[[Config], Contents],
    plain: Callable[[], Config],
) -> None:
    seen: list[tuple[int, int, int, int, int]] = []

    def look() -> None:
        snapshot = open_snapshot(progressive)
        dense, sparse = snapshot.store.search(5, embedder.embed_question("battery"), "checked every morning")
        chunks = snapshot.manifest.totals()[1]
        without = snapshot.manifest.without_vectors()
        seen.append((chunks, without, snapshot.store.count(vector="dense"), len(dense), len(sparse)))
        snapshot.close()

    report = build_index(progressive, [docs], embedder=Interrupted(embedder, look))
    [(chunks, without, with_vector, dense, sparse)] = seen
    assert chunks == without == report.chunks == report.embedded
    assert with_vector == dense == 0
    assert sparse > 0
    whole = contents(progressive)
    assert without_vectors(progressive) == 0
    assert whole.differences(contents(plain())) == []


def test_vectors_are_published_in_parts(
    progressive: Config, docs: Path, embedder: Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ragkit.ingest.run.FIRST_PART_S", 0.0)
    monkeypatch.setattr("ragkit.ingest.words_first.in_batches", _one_at_a_time)
    left: list[int] = []

    build_index(progressive, [docs], embedder=Interrupted(embedder, lambda: left.append(without_vectors(progressive))))
    assert len(left) == 4
    assert left == sorted(set(left), reverse=True)
    assert generation(progressive) == "gen-000005"


@pytest.mark.parametrize("progressive_again", [True, False])
def test_what_failed_is_searchable_by_words_and_any_next_run_goes_on(
    progressive: Config,
    config: Config,
    docs: Path,
    embedder: Embedder,
    contents: Callable[[Config], Contents],
    plain: Callable[[], Config],
    progressive_again: bool,
) -> None:
    def fail() -> None:
        raise ReportedFault

    with pytest.raises(ReportedFault):
        build_index(progressive, [docs], embedder=Interrupted(embedder, fail))
    snapshot = open_snapshot(config)
    assert snapshot.store.search(5, text="checked every morning")[1]
    snapshot.close()
    report = build_index(progressive if progressive_again else config, [docs], embedder=embedder)
    assert (report.unchanged, report.embedded) == (4, report.chunks)
    whole = contents(config)
    assert without_vectors(config) == 0
    assert whole.differences(contents(plain())) == []


def test_one_that_was_killed_among_its_vectors_loses_neither_words_nor_vectors(
    progressive: Config,
    docs: Path,
    embedder: Embedder,
    contents: Callable[[Config], Contents],
    plain: Callable[[], Config],
) -> None:
    child = multiprocessing.get_context("fork").Process(target=_index_and_die, args=(progressive, docs, embedder))
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    with open_manifest(progressive) as manifest:
        assert manifest is not None
        without = manifest.without_vectors()
        assert 0 < without < manifest.totals()[1]
    assert build_index(progressive, [docs], embedder=embedder).embedded == without
    whole = contents(progressive)
    assert without_vectors(progressive) == 0
    assert whole.differences(contents(plain())) == []


def _index_and_die(config: Config, docs: Path, embedder: Embedder) -> None:
    calls = 0

    def die_at_the_third() -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            os.kill(os.getpid(), signal.SIGKILL)

    import ragkit.ingest.run
    import ragkit.ingest.words_first

    ragkit.ingest.run.FIRST_PART_S = 0.0
    ragkit.ingest.words_first.in_batches = _one_at_a_time
    build_index(config, [docs], embedder=Interrupted(embedder, die_at_the_third))


def test_what_a_part_that_was_cut_off_had_embedded_is_not_embedded_again(
    progressive: Config, docs: Path, embedder: Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ragkit.ingest.embedding.SLICE", 2)
    calls = 0

    def fail_at_the_third() -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise ReportedFault

    with pytest.raises(ReportedFault):
        build_index(progressive, [docs], embedder=Interrupted(embedder, fail_at_the_third))
    report = build_index(progressive, [docs], embedder=embedder)
    assert (report.embedded, report.reused) == (report.chunks - 4, 4)
    assert not list(progressive.ingestion.store.path.glob(f"{VECTORS}*"))


def test_a_rebuild_keeps_vectors_too(progressive: Config, docs: Path, embedder: Embedder) -> None:
    first = build_index(progressive, [docs], embedder=embedder)
    report = build_index(progressive, rebuild=True, embedder=embedder)
    assert (report.embedded, report.reused) == (0, first.chunks)


def test_answers_say_that_vectors_are_missing(progressive: Config, docs: Path, embedder: Embedder) -> None:
    def fail() -> None:
        raise ReportedFault

    with pytest.raises(ReportedFault):
        build_index(progressive, [docs], embedder=Interrupted(embedder, fail))
    with Ragkit(progressive) as rag:
        question = "Who checks it every morning?"
        notes = [rag.ask(question).notes, asyncio.run(rag.aask(question)).notes]
        notes += [piece.notes for piece in rag.stream(question) if not isinstance(piece, str)]
        rag.index([docs])
        assert rag.ask(question).notes == ()
    said = [note for [note] in notes]
    assert len(said) == 3
    assert all("have no vector yet and are found by their words only" in note for note in said)


def test_chunks_that_an_edit_leaves_as_they_are_keep_their_vectors(
    progressive: Config, docs: Path, embedder: Embedder
) -> None:
    build_index(progressive, [docs], embedder=embedder)
    write(docs / "a.md", "A", "battery", "antenna", "hinge")
    edited: list[tuple[int, int]] = []

    def look() -> None:
        snapshot = open_snapshot(progressive)
        edited.append((snapshot.store.count(), snapshot.store.count(vector="dense")))
        snapshot.close()

    watched = Interrupted(embedder, look)
    report = build_index(progressive, [docs], embedder=watched)
    [(chunks, with_vector)] = edited
    assert chunks - with_vector == report.embedded == len(watched.texts)
    assert 0 < report.embedded < report.chunks


def test_a_run_that_finds_nothing_to_do_publishes_nothing(progressive: Config, docs: Path, embedder: Embedder) -> None:
    build_index(progressive, [docs], embedder=embedder)
    before = generation(progressive)
    assert build_index(progressive, [docs], embedder=embedder).unchanged == 4
    assert generation(progressive) == before


def test_documents_that_are_deleted_meanwhile_wait_no_longer(
    progressive: Config, docs: Path, embedder: Embedder
) -> None:
    def fail() -> None:
        raise ReportedFault

    with pytest.raises(ReportedFault):
        build_index(progressive, [docs], embedder=Interrupted(embedder, fail))
    (docs / "b.md").unlink()
    report = build_index(progressive, [docs], embedder=embedder)
    assert report.documents == 3
    assert report.embedded == report.chunks
