"""Kill -9 in each phase of a blue-green run and of a rollback: one whole index is current, and the next run works."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ragkit.config.schema import Config, Store
from ragkit.embed import Embedder, make_embedder
from ragkit.ingest.blue_green import Side, roll_back, switch_index
from ragkit.ingest.index import build_index
from ragkit.system import Ragkit
from tests.ingest.indexing import QUESTION, Contents, made_with, tables

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

pytestmark = pytest.mark.integration
FOR_EVER_S = 600


class Stopping:
    """The real model, which reads some texts and is then killed with its process."""

    def __init__(self, embedder: Embedder, stop: Callable[[], None]) -> None:
        self._embedder, self._stop, self._calls = embedder, stop, 0

    def embed_passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self._calls += 1
        if self._calls == 1:
            return self._embedder.embed_passages(texts)
        self._stop()
        raise AssertionError

    def embed_question(self, text: str) -> NDArray[np.float32]:
        return self._embedder.embed_question(text)

    def embed_questions(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return self._embedder.embed_questions(texts)


def run(what: str, phase: str, config: Config, docs: Path, reached: Path) -> None:
    """In a process of its own: switch or roll back, and stand still in a phase until the kill."""
    import ragkit.ingest.embedding
    import ragkit.store.folder as store_folder

    folder = config.ingestion.store.path
    before = (folder / "CURRENT").read_text(encoding="ascii")

    def stop() -> None:
        reached.touch()
        time.sleep(FOR_EVER_S)

    real_sync = store_folder.sync

    def sync(path: Path) -> None:
        real_sync(path)
        switched = (folder / "CURRENT").read_text(encoding="ascii") != before
        renamed = path == folder and not (folder / "building").exists()
        if renamed and phase == ("switched" if switched else "renamed"):
            stop()
        if phase == "copied" and path.is_relative_to(folder / "building"):
            stop()

    def verify(old: Side, new: Side) -> None:
        assert old.store.count() != new.store.count()
        if phase == "verifying":
            stop()

    patched: Any = store_folder
    patched.sync = sync
    if what == "rollback":
        roll_back(config)
        return
    embedder = make_embedder(config.ingestion.embedding)
    if phase == "embedding":
        slices: Any = ragkit.ingest.embedding
        slices.SLICE = 2
        embedder = Stopping(embedder, stop)
    switch_index(config, [docs], embedder=embedder, verify=verify)


def kill_in(what: str, phase: str, config: Config, docs: Path, reached: Path) -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["ragkit.ingest.blue_green", "ragkit.store.qdrant_edge", "ragkit.store.pgvector"])
    process = context.Process(target=run, args=(what, phase, config, docs, reached))
    process.start()
    deadline = time.monotonic() + 120
    while not reached.exists():
        assert process.is_alive(), "it ended before"
        assert time.monotonic() < deadline, "it never came to that phase"
        time.sleep(0.01)
    process.kill()
    process.join()
    assert process.exitcode == -9


def left_behind(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {"CURRENT", "writer.lock"}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("phase", ["embedding", "verifying", "copied", "renamed", "switched"])
def test_a_switch_that_is_killed_leaves_one_whole_index(
    blue: Config,
    green: Config,
    tmp_path: Path,
    docs: Path,
    embedder: Embedder,
    green_embedder: Embedder,
    contents: Callable[[Config], Contents],
    phase: str,
) -> None:
    clean = made_with(Store(path=tmp_path / "clean"), chunk_size=200, dimensions=64)
    build_index(blue, [docs], embedder=embedder)
    old = contents(blue)
    with Ragkit(blue) as rag:
        assert rag.search(QUESTION)
        kill_in("switch", phase, green, docs, tmp_path / "reached")
        assert rag.search(QUESTION)
    if phase == "switched":
        with Ragkit(green) as rag:
            assert rag.search(QUESTION)
        assert roll_back(green).behind == 0, "the old index is kept from the moment of the switch"
    assert old.differences(contents(blue)) == []
    report, _ = switch_index(green, [docs], embedder=green_embedder)
    if phase in ("embedding", "verifying"):
        assert report.reused > 0, "what the killed run had embedded is not embedded again"
    build_index(clean, [docs], embedder=green_embedder)
    with Ragkit(clean) as at_once, Ragkit(green) as rag:
        assert {chunk.id: chunk.text for chunk in rag.snapshot().store.iter_chunks()} == {
            chunk.id: chunk.text for chunk in at_once.snapshot().store.iter_chunks()
        }
        found, same = rag.search(QUESTION), at_once.search(QUESTION)
        assert [each.chunk.id for each in found] == [each.chunk.id for each in same]
        assert [each.score for each in found] == pytest.approx([each.score for each in same], rel=1e-5)
    assert len(left_behind(tmp_path / "index")) == 2, "the current index and the one that is kept"
    assert len(tables(green.ingestion.store)) in (0, 2)
    roll_back(green)
    assert old.differences(contents(blue)) == []


@pytest.mark.timeout(300)
@pytest.mark.parametrize("phase", ["copied", "renamed", "switched"])
def test_a_rollback_that_is_killed_leaves_one_whole_index(
    blue: Config,
    green: Config,
    tmp_path: Path,
    docs: Path,
    embedder: Embedder,
    green_embedder: Embedder,
    contents: Callable[[Config], Contents],
    phase: str,
) -> None:
    build_index(blue, [docs], embedder=embedder)
    old = contents(blue)
    switch_index(green, [docs], embedder=green_embedder)
    kill_in("rollback", phase, green, docs, tmp_path / "reached")
    if phase == "switched":
        assert old.differences(contents(blue)) == []
        roll_back(blue)
    with Ragkit(green) as rag:
        assert rag.search(QUESTION)
    roll_back(green)
    assert old.differences(contents(blue)) == []
    assert len(left_behind(tmp_path / "index")) == 2
    assert len(tables(green.ingestion.store)) in (0, 2)
