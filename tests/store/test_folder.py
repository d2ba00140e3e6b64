"""Generations of an embedded index: published whole, kept while read, and safe against being killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from ragkit.config.schema import Bm25
from ragkit.errors import IndexLocked, StoreError
from ragkit.store.folder import (
    SHARD,
    VECTORS,
    collect_garbage,
    current_generation,
    discard_building,
    hold_current,
    keep_current,
    kept_generation,
    publish,
    release,
    start_building,
    writer_lock,
)
from ragkit.store.qdrant_edge import EdgeStore
from ragkit.types import Chunk

Start = Callable[[str, Path], "subprocess.Popen[str]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Runs a program with the folder as its argument; whatever is left of them is killed at the end."""
    running: list[subprocess.Popen[str]] = []

    def run(program: str, folder: Path) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", program, str(folder)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        running.append(process)
        return process

    yield run
    for process in running:
        process.kill()
        process.communicate()


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def tell(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


def publish_text(folder: Path, text: str, fresh: bool = False) -> Path:
    building = start_building(folder, fresh)
    (building / "text").write_text(text, encoding="utf-8")
    return publish(folder)


def held_text(folder: Path) -> str:
    held = hold_current(folder)
    assert held is not None
    generation, lease = held
    with lease:
        return (generation / "text").read_text(encoding="utf-8")


def test_nothing_is_current_before_the_first_publication(tmp_path: Path) -> None:
    assert current_generation(tmp_path / "index") is None
    assert hold_current(tmp_path / "index") is None

    start_building(tmp_path / "index", fresh=False)

    assert hold_current(tmp_path / "index") is None


def test_a_folder_with_files_of_a_user_is_left_alone(tmp_path: Path) -> None:
    plans = tmp_path / "building" / "plans.md"
    plans.parent.mkdir()
    plans.write_text("a house", encoding="utf-8")

    with pytest.raises(StoreError, match="is no index: it holds 'building'"), writer_lock(tmp_path, 0):
        start_building(tmp_path, fresh=True)

    assert plans.read_text(encoding="utf-8") == "a house"
    assert [path.name for path in tmp_path.iterdir()] == ["building"]


def test_publishing_makes_a_generation_current(tmp_path: Path) -> None:
    published = publish_text(tmp_path, "one")

    assert current_generation(tmp_path) == published == tmp_path / "gen-000001"
    assert held_text(tmp_path) == "one"
    assert not (tmp_path / "building").exists()
    assert publish_text(tmp_path, "two").name == "gen-000002"
    assert held_text(tmp_path) == "two"


def test_a_building_starts_as_a_copy_unless_fresh(tmp_path: Path) -> None:
    publish_text(tmp_path, "one")

    building = start_building(tmp_path, fresh=False)
    assert (building / "text").read_text(encoding="utf-8") == "one"
    (building / "text").write_text("changed", encoding="utf-8")
    assert held_text(tmp_path) == "one"

    assert not (start_building(tmp_path, fresh=True) / "text").exists()


@pytest.mark.parametrize(
    "parts",
    [
        [],
        [(0, 9)],
        [(5_000_000, 9)],
        [(0, 9), (3_000_000, 2_500_000), (32_000_000, 1)],
        [(at, 4096) for at in range(0, 2_000_000, 8192)],
    ],
)
def test_a_copy_holds_the_same_bytes_and_takes_no_more_of_the_disk(
    parts: list[tuple[int, int]], tmp_path: Path
) -> None:
    """The engine makes files of 32 MB to write a few kB in each."""
    source = publish_text(tmp_path, "a") / "page.dat"
    with source.open("wb") as file:
        for at, length in parts:
            file.seek(at)
            file.write(os.urandom(length))
        file.truncate(40_000_000)
    copy = start_building(tmp_path, fresh=False) / "page.dat"
    assert copy.read_bytes() == source.read_bytes()
    assert copy.stat().st_blocks <= source.stat().st_blocks


def test_what_a_reader_writes_for_a_moment_is_not_copied(tmp_path: Path) -> None:
    """The engine replaces small files by way of temporary ones, which may be gone before they are copied."""
    published = publish_text(tmp_path, "one")
    (published / ".atomicwriteXyz").symlink_to(tmp_path / "gone")
    building = start_building(tmp_path, fresh=False)
    assert (building / "text").read_text(encoding="utf-8") == "one"
    assert not list(building.glob(".atomicwrite*"))


def test_the_last_reader_of_an_old_generation_takes_it_off_the_disk(tmp_path: Path) -> None:
    first = publish_text(tmp_path, "one")
    held = [hold_current(tmp_path), hold_current(tmp_path)]
    second = publish_text(tmp_path, "two")
    for number, reader in enumerate(held):
        assert reader is not None
        release(*reader)
        assert first.exists() == (number == 0)
    current = hold_current(tmp_path)
    assert current is not None
    release(*current)
    assert second.exists(), "the current one stays"


def test_discarding_leaves_the_published_generation(tmp_path: Path) -> None:
    publish_text(tmp_path, "one")
    start_building(tmp_path, fresh=True)

    discard_building(tmp_path)
    discard_building(tmp_path)

    assert not (tmp_path / "building").exists()
    assert held_text(tmp_path) == "one"


def test_publishing_drops_the_journal_of_vectors(tmp_path: Path) -> None:
    start_building(tmp_path, fresh=True)
    (tmp_path / VECTORS).touch()

    publish(tmp_path)

    assert not (tmp_path / VECTORS).exists()


def test_a_generation_stays_while_it_is_held(tmp_path: Path) -> None:
    first = publish_text(tmp_path, "one")
    held = hold_current(tmp_path)
    assert held is not None

    second = publish_text(tmp_path, "two")
    assert (first / "text").read_text(encoding="utf-8") == "one"
    third = publish_text(tmp_path, "three")
    assert first.exists()
    assert not second.exists()

    held[1].close()
    collect_garbage(tmp_path)
    assert [path.name for path in tmp_path.glob("gen-*")] == [third.name]


def test_a_folder_of_a_writer_that_was_killed_before_the_switch_is_replaced(tmp_path: Path) -> None:
    publish_text(tmp_path, "one")
    orphan = tmp_path / "gen-000002"
    orphan.mkdir()
    (orphan / "text").write_text("half", encoding="utf-8")
    (tmp_path / "CURRENT.new").write_text("gen-0", encoding="ascii")

    assert held_text(tmp_path) == "one"
    assert publish_text(tmp_path, "two") == orphan
    assert held_text(tmp_path) == "two"


def test_a_pointer_to_nothing_is_an_error_with_the_mend(tmp_path: Path) -> None:
    (tmp_path / "CURRENT").write_text("gen-000009", encoding="ascii")

    with pytest.raises(StoreError, match="--rebuild"):
        hold_current(tmp_path)


READER = """
import sys
from pathlib import Path
from ragkit.store.folder import hold_current

generation, lease = hold_current(Path(sys.argv[1]))
print((generation / "text").read_text(), flush=True)
sys.stdin.readline()
print((generation / "text").read_text(), flush=True)
lease.close()
generation, lease = hold_current(Path(sys.argv[1]))
print((generation / "text").read_text(), flush=True)
sys.stdin.readline()
"""


def test_two_readers_keep_what_they_read_while_a_writer_publishes(tmp_path: Path, start: Start) -> None:
    publish_text(tmp_path, "one")
    readers = [start(READER, tmp_path), start(READER, tmp_path)]
    assert [line_of(reader) for reader in readers] == ["one", "one"]

    publish_text(tmp_path, "two")
    publish_text(tmp_path, "three")
    assert sorted(path.name for path in tmp_path.glob("gen-*")) == ["gen-000001", "gen-000003"]

    for reader in readers:
        tell(reader)
    assert [line_of(reader) for reader in readers] == ["one", "one"]
    assert [line_of(reader) for reader in readers] == ["three", "three"]
    collect_garbage(tmp_path)
    assert [path.name for path in tmp_path.glob("gen-*")] == ["gen-000003"]


BUSY_READER = """
import sys, time
from pathlib import Path
from ragkit.store.folder import hold_current

seen, last, until = 0, 0, time.monotonic() + 4
print("ready", flush=True)
while last < 60 and time.monotonic() < until:
    generation, lease = hold_current(Path(sys.argv[1]))
    number = int((generation / "text").read_text())
    assert number >= last, (number, last)
    last, seen = number, seen + 1
    lease.close()
print("done", last, seen, flush=True)
"""


@pytest.mark.integration
def test_readers_never_miss_an_index_that_is_published_again_and_again(tmp_path: Path, start: Start) -> None:
    publish_text(tmp_path, "1")
    readers = [start(BUSY_READER, tmp_path), start(BUSY_READER, tmp_path)]
    assert [line_of(reader) for reader in readers] == ["ready", "ready"]

    for number in range(2, 61):
        publish_text(tmp_path, str(number))

    for reader in readers:
        word, last, seen = line_of(reader).split()
        assert (word, last) == ("done", "60")
        assert int(seen) > 5


LOCKER = """
import sys
from pathlib import Path
from ragkit.store.folder import writer_lock

with writer_lock(Path(sys.argv[1]), 0):
    print("locked", flush=True)
    sys.stdin.readline()
"""


def test_a_second_writer_is_told_who_the_first_is(tmp_path: Path, start: Start) -> None:
    first = start(LOCKER, tmp_path)
    assert line_of(first) == "locked"

    with pytest.raises(IndexLocked, match=rf"process {first.pid}\b"), writer_lock(tmp_path, 0):
        pytest.fail("two writers at once")


def test_a_second_writer_waits_as_long_as_it_was_told(tmp_path: Path, start: Start) -> None:
    first = start(LOCKER, tmp_path)
    assert line_of(first) == "locked"

    begin = time.monotonic()
    with pytest.raises(IndexLocked), writer_lock(tmp_path, 0.5):
        pytest.fail("two writers at once")
    assert time.monotonic() - begin >= 0.5

    tell(first)
    with writer_lock(tmp_path, 30):
        assert str(os.getpid()) in (tmp_path / "writer.lock").read_text(encoding="utf-8")


def test_the_lock_of_a_killed_writer_is_free(tmp_path: Path, start: Start) -> None:
    first = start(LOCKER, tmp_path)
    assert line_of(first) == "locked"
    os.kill(first.pid, signal.SIGKILL)
    first.wait()

    with writer_lock(tmp_path, 0):
        pass
    with writer_lock(tmp_path, 0):
        pass


WRITER = """
import itertools, sys
from pathlib import Path
import numpy as np
from ragkit.config.schema import Bm25
from ragkit.store.folder import SHARD, start_building, writer_lock
from ragkit.store.qdrant_edge import EdgeStore
from ragkit.types import Chunk

folder = Path(sys.argv[1])
with writer_lock(folder, 0):
    store = EdgeStore(start_building(folder, fresh=False) / SHARD, Bm25())
    store.delete_documents(["old"])
    for n in itertools.count():
        ids = [f"00000000-0000-0000-0001-{n * 100 + i:012d}" for i in range(100)]
        chunks = [Chunk(i, "new", "birch", 0, 5, 1, {"source_document": "n.md"}) for i in ids]
        store.upsert(chunks, np.ones((100, 8), dtype=np.float32), 1.0)
        if n % 3 == 2:
            store.finish()
        print(store.count(), flush=True)
"""


@pytest.mark.integration
def test_a_writer_killed_in_the_middle_leaves_the_published_index_as_it_was(tmp_path: Path, start: Start) -> None:
    chunks = [
        Chunk(f"00000000-0000-0000-0000-{n:012d}", "old", "amber", 0, 5, 1, {"source_document": "old.md"})
        for n in range(50)
    ]
    vectors = np.random.default_rng(0).normal(size=(50, 8)).astype(np.float32)
    store = EdgeStore(start_building(tmp_path, fresh=True) / SHARD, Bm25())
    store.upsert(chunks, vectors, 1.0)
    store.finish()
    before = store.search(50, vectors[0], "amber")
    store.close()
    generation = publish(tmp_path)

    for batches in (1, 4, 7):
        # The engine tidies up after itself when a reader opens the folder, so look anew each time.
        files = {path: path.read_bytes() for path in generation.rglob("*") if path.is_file()}
        writer = start(WRITER, tmp_path)
        for _ in range(batches):
            assert int(line_of(writer)) > 0
        os.kill(writer.pid, signal.SIGKILL)
        writer.wait()

        assert (tmp_path / "building").exists()
        assert {path: path.read_bytes() for path in generation.rglob("*") if path.is_file()} == files
        held = hold_current(tmp_path)
        assert held is not None
        assert held[0] == generation
        reader = EdgeStore(held[0] / SHARD, Bm25())
        assert reader.search(50, vectors[0], "amber") == before
        assert reader.search(50, text="birch") == ([], [])
        reader.close()
        held[1].close()

    with writer_lock(tmp_path, 0):
        again = EdgeStore(start_building(tmp_path, fresh=False) / SHARD, Bm25())
        assert again.count() == 50
        again.delete_documents(["old"], {"old": [chunks[0].id]})
        again.finish()
        again.close()
        latest = publish(tmp_path)
    after = EdgeStore(latest / SHARD, Bm25())
    assert [chunk.id for chunk in after.iter_chunks()] == [chunks[0].id]
    after.close()


@pytest.mark.parametrize("number", [13, 30])
def test_a_reader_that_may_not_write_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """The super-user, whom tests may run as, may write everywhere: this is what the engine says to others."""
    import qdrant_edge

    class Shard:
        @staticmethod
        def load(path: str) -> None:
            raise Exception(f"Failed to open mmap payload storage of {path}: (os error {number})")

    monkeypatch.setattr(qdrant_edge, "EdgeShard", Shard)
    with pytest.raises(StoreError, match="the engine needs to write its files, even to search; give this"):
        EdgeStore(tmp_path, Bm25())


def publish_keeping(folder: Path, text: str, until: float) -> Path:
    (start_building(folder, fresh=True) / "text").write_text(text, encoding="utf-8")
    keep_current(folder, until)
    return publish(folder)


def test_a_generation_is_kept_until_its_time_is_up(tmp_path: Path) -> None:
    old = publish_text(tmp_path, "old")
    until = time.time() + 3600
    publish_keeping(tmp_path, "new", until)
    publish_text(tmp_path, "newer")
    collect_garbage(tmp_path)
    assert kept_generation(tmp_path) == (old, until)
    assert sorted(path.name for path in tmp_path.glob("gen-*")) == ["gen-000001", "gen-000003"]
    publish_keeping(tmp_path, "newest", time.time() - 1)
    assert kept_generation(tmp_path) is None
    assert sorted(path.name for path in tmp_path.glob("gen-*")) == ["gen-000004"]


def test_the_last_reader_leaves_what_is_kept_and_takes_what_is_not(tmp_path: Path) -> None:
    publish_text(tmp_path, "old")
    held = hold_current(tmp_path)
    assert held is not None
    publish_keeping(tmp_path, "new", time.time() + 3600)
    release(*held)
    assert held[0].exists()
    current = hold_current(tmp_path)
    assert current is not None
    publish_keeping(tmp_path, "newest", time.time() - 1)
    assert not held[0].exists()
    assert current[0].exists()
    release(*current)
    assert not current[0].exists()


def test_a_copy_can_be_made_of_the_generation_that_is_kept(tmp_path: Path) -> None:
    publish_text(tmp_path, "old")
    publish_keeping(tmp_path, "new", time.time() + 3600)
    kept = kept_generation(tmp_path)
    assert kept is not None
    start_building(tmp_path, fresh=False, source=kept[0])
    publish(tmp_path)
    assert held_text(tmp_path) == "old"
    assert current_generation(tmp_path) == tmp_path / "gen-000003"


@pytest.mark.parametrize("written", [b"", b"gen-\xff\xfe", b"../../etc", b"gen-12x"])
def test_a_damaged_pointer_is_told_and_a_new_generation_takes_its_place(tmp_path: Path, written: bytes) -> None:
    publish_text(tmp_path, "one")
    publish_text(tmp_path, "two")
    (tmp_path / "CURRENT").write_bytes(written)
    for read in (current_generation, hold_current):
        with pytest.raises(StoreError, match="CURRENT is damaged: it names no generation"):
            read(tmp_path)
    collect_garbage(tmp_path)
    assert publish_text(tmp_path, "three", fresh=True).name == "gen-000003", "no name comes twice"
    assert held_text(tmp_path) == "three"


def test_a_folder_in_the_place_of_the_pointer_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "CURRENT").mkdir()
    for use in (current_generation, publish_text_into):
        with pytest.raises(StoreError, match="CURRENT is a folder"):
            use(tmp_path)


def publish_text_into(folder: Path) -> None:
    publish_text(folder, "one", fresh=True)


def test_a_damaged_note_of_what_is_kept_is_told_and_a_reader_ends_in_peace(tmp_path: Path) -> None:
    publish_text(tmp_path, "old")
    held = hold_current(tmp_path)
    assert held is not None
    publish_keeping(tmp_path, "new", time.time() + 3600)
    (tmp_path / "gen-000002" / "kept.json").write_text("{", encoding="utf-8")
    with pytest.raises(StoreError, match=r"kept\.json is damaged; remove it"):
        kept_generation(tmp_path)
    release(*held)
    assert held[0].exists(), "it may be the one that is kept"
