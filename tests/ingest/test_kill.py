"""An indexer killed at any moment costs nothing but its time: readers see the old index or the new one, whole, and
the next run ends where a clean build would."""

from __future__ import annotations

import multiprocessing
import random
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest

from ragkit.config.schema import Config
from ragkit.embed import Embedder
from ragkit.ingest.index import build_index
from tests.ingest.indexing import Contents

SAMPLES = Path(__file__).parents[2] / "eval" / "samples"
RANDOM_KILLS = 20
DOCUMENTS = (
    "api/api-reference.md",
    "guides/quick-start.md",
    "guides/network-and-firewall.md",
    "guides/glossary.txt",
    "guides/faq.html",
    "mail/2026-01-13-welcome-to-kelvane.eml",
    "policies/warranty-and-returns.pdf",
    "policies/data-retention-policy.docx",
    "releases/release-notes-2.1.txt",
    "releases/release-notes-3.0.md",
    "service/troubleshooting-error-codes.md",
    "service/battery-replacement.txt",
)
ADDED = ("service/runbook-hub-failure.md", "service/calibration-procedure.pdf", "guides/upgrade-2x-to-3x.md")

Moment = Callable[[Path, float], bool]
"""Whether to kill now, from the index folder and the share of the run that has passed (1 is its usual length)."""


class Child:
    """A process that has loaded everything and waits to be told which index to bring up to date."""

    def __init__(self, docs: Path) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["sentence_transformers", "ragkit.ingest.index", "ragkit.store.qdrant_edge"])
        self._pipe, theirs = context.Pipe()
        self.process: ForkServerProcess = context.Process(target=index_when_told, args=(theirs, docs))
        self.process.start()
        theirs.close()

    def go(self, config: Config) -> float:
        assert self._pipe.recv() == "ready"
        self._pipe.send(config)
        return time.perf_counter()

    def done(self) -> bool:
        return not self.process.is_alive()

    def kill(self) -> None:
        """Kill -9, and see that the parser processes of the killed one end by themselves."""
        pid = self.process.pid
        assert pid is not None
        try:
            parsers = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
        except OSError:
            parsers = []
        self.process.kill()
        self.process.join()
        self._pipe.close()
        deadline = time.monotonic() + 10
        while any(alive(int(parser)) for parser in parsers):
            assert time.monotonic() < deadline, "a parser process outlived its indexer"
            time.sleep(0.01)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def index_when_told(pipe: Connection, docs: Path) -> None:
    from ragkit.config.schema import Embedding
    from ragkit.embed import make_embedder

    embedder = make_embedder(Embedding(device="cpu"))
    embedder.embed_question("to load the model")
    pipe.send("ready")
    config = pipe.recv()
    build_index(config, [docs], embedder=embedder)


def change(docs: Path) -> None:
    """Edits, deletions, additions and a move."""
    (docs / "guides/quick-start.md").write_text(
        (docs / "guides/quick-start.md").read_text(encoding="utf-8") + "\n\n## Added\n\nThe battery lasts 99 hours.\n",
        encoding="utf-8",
    )
    glossary = (docs / "guides/glossary.txt").read_text(encoding="utf-8")
    (docs / "guides/glossary.txt").write_text(glossary[len(glossary) // 2 :], encoding="utf-8")
    shutil.copy(SAMPLES / "service/maintenance-schedule.docx", docs / "policies/data-retention-policy.docx")
    (docs / "releases/release-notes-2.1.txt").unlink()
    (docs / "mail/2026-01-13-welcome-to-kelvane.eml").unlink()
    (docs / "releases/release-notes-3.0.md").rename(docs / "releases-3.0.md")
    for name in ADDED:
        shutil.copy(SAMPLES / name, docs / name)


def after(share: float) -> Moment:
    return lambda _, passed: passed >= share


def holds(*names: str) -> Moment:
    return lambda folder, _: all((folder / name).exists() for name in names)


def lacks(name: str) -> Moment:
    return lambda folder, _: not (folder / name).exists()


def switched(folder: Path, _: float) -> bool:
    return (folder / "CURRENT").read_text(encoding="ascii") != "gen-000001"


def moments() -> Iterator[tuple[str, Moment]]:
    """Random ones over the whole run, and each step of writing and of publishing."""
    chance = random.Random(20261123)
    for index in range(RANDOM_KILLS):
        yield "random", after((index + chance.random()) / RANDOM_KILLS)
    yield "building", holds("building")
    yield "copied", holds("building/lease")
    yield "embedding", holds("vectors.sqlite")
    for _ in range(3):
        yield "renamed", holds("gen-000002")
    yield "pointer written", holds("CURRENT.new")
    for _ in range(2):
        yield "switched", switched
    yield (
        "journal deleted",
        lambda folder, passed: switched(folder, passed) and not (folder / "vectors.sqlite").exists(),
    )
    yield "old one deleted", lacks("gen-000001/lease")


@pytest.mark.integration
@pytest.mark.timeout(600)
def test_an_indexer_may_be_killed_at_any_moment(
    tmp_path: Path,
    embedder: Embedder,
    config_at: Callable[[Path], Config],
    contents: Callable[[Config], Contents],
    capsys: pytest.CaptureFixture[str],
) -> None:
    docs = tmp_path / "docs"
    for name in DOCUMENTS:
        (docs / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(SAMPLES / name, docs / name)
    base, clean = config_at(tmp_path / "base"), config_at(tmp_path / "clean")
    build_index(base, [docs], embedder=embedder)
    old = contents(base)
    change(docs)
    build_index(clean, [docs], embedder=embedder)
    new = contents(clean)
    assert old.differences(new), "the changes can be seen"

    def round_at(number: int) -> Config:
        shutil.rmtree(tmp_path / f"round-{number}", ignore_errors=True)
        return config_at(Path(shutil.copytree(tmp_path / "base", tmp_path / f"round-{number}")))

    ahead = [Child(docs), Child(docs)]

    def next_child() -> Child:
        ahead.append(Child(docs))
        return ahead.pop(0)

    measured = next_child()
    config = round_at(0)
    began = measured.go(config)
    measured.process.join()
    length = time.perf_counter() - began
    assert new.differences(contents(config)) == [], "a run that is not killed ends as a clean build does"

    seen: Counter[str] = Counter()
    found: list[str] = []
    kills = 0
    for number, (name, moment) in enumerate(moments(), start=1):
        config = round_at(number)
        killed, seconds = killed_at(moment, length, next_child(), config)
        if not killed:  # This run was quicker than the one before, and the moment lay behind its end.
            length = min(length, seconds)
            config = round_at(number)
            killed, _ = killed_at(moment, length, next_child(), config)
        folder = config.ingestion.store.path
        kills += killed

        state = state_of(folder)
        seen[state] += 1
        visible = contents(config)
        expected = new if state == "published" else old
        found += [f"{number} {name}, read after the kill: {text}" for text in expected.differences(visible)]
        build_index(config, [docs], embedder=embedder)
        found += [f"{number} {name}, run again: {text}" for text in new.differences(contents(config))]
        found += [f"{number} {name}, left behind: {left}" for left in leftovers(folder)]
        shutil.rmtree(folder)
    for child in ahead:
        child.kill()
    with capsys.disabled():
        landed = ", ".join(f"{count} {state}" for state, count in sorted(seen.items()))
        print(f"\nkill -9 at {kills} points of a run of {length:.1f} s ({landed}): {len(found)} differences")
    assert found == []
    assert kills >= 24
    assert {"writing", "published"} <= set(seen)


def killed_at(moment: Moment, length: float, child: Child, config: Config) -> tuple[bool, float]:
    """Whether the moment came before the end of the run, and the seconds that it ran."""
    began = child.go(config)
    passed = 0.0
    while not child.done() and not moment(config.ingestion.store.path, passed / length):
        time.sleep(0.0002)
        passed = time.perf_counter() - began
    killed = not child.done()
    child.kill()
    return killed, passed


def state_of(folder: Path) -> str:
    if switched(folder, 0):
        return "published"
    if (folder / "gen-000002").exists():
        return "renamed"
    if (folder / "building").exists():
        return "writing"
    return "not begun"


def leftovers(folder: Path) -> list[str]:
    """What a finished index folder does not hold."""
    current = (folder / "CURRENT").read_text(encoding="ascii")
    expected = {"CURRENT", "writer.lock", current}
    return sorted({path.name for path in folder.iterdir()} - expected)
