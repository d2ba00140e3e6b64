"""The folder of an index: whole generations, one of them current, switched by one rename.

    .ragkit/index/
      CURRENT              name of the generation that readers open
      gen-000007/          manifest.sqlite, shard/ or collection.json, lease, kept.json
      building/            the next generation, while an indexer works
      vectors.sqlite       embeddings made by an indexer that has not finished; vectors.sqlite.splade beside it
      writer.lock

A generation never changes after `CURRENT` names it. A writer copies it, changes the copy and publishes that; if it is
killed at any moment, readers see the old generation and the next writer starts from it again, with the embeddings
that were already made. (The engine writes into a generation that it opens, small files of its own and never what was
published; so readers need the right to write it.) Readers hold a shared lock on `lease`; a generation that is not
current is deleted by its last reader, or by the next writer. One may be kept beside the current one, which names it in
`kept.json` with the time until which: `ragkit index --rollback` goes back to it.

Where the chunks lie on a server, a generation holds the manifest and the name of its collection (`served.py`). Small
changes are made in the current one then, and only writers delete generations, with their collections.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from ragkit.durable import sync, write_whole
from ragkit.errors import IndexLocked, StoreError

MANIFEST, SHARD, VECTORS = "manifest.sqlite", "shard", "vectors.sqlite"
# Begins like the other, so that it goes with it.
SPLADE_VECTORS = f"{VECTORS}.splade"
_CURRENT, _BUILDING, _LOCK, _LEASE, _KEPT = "CURRENT", "building", "writer.lock", "lease", "kept.json"
_ANEW = "run: ragkit index --rebuild PATH"
_WAIT_S = 0.2
_COPIED_AT_ONCE = 1 << 20


Removing = Callable[[Path], None]
"""Is told of a generation just before it is deleted; where it raises, the generation stays."""


def current_generation(folder: Path) -> Path | None:
    """The folder that readers open, or None if nothing was ever published here."""
    name = current_name(folder)
    return None if name is None else folder / name


def current_name(folder: Path) -> str | None:
    """Its name alone, for which a reader asks before each search. Raises StoreError for what is no name."""
    try:
        with open(os.path.join(folder, _CURRENT), "rb", buffering=0) as file:  # noqa: PTH123, PTH118 - takes a third
            name = file.read().decode("ascii", "replace").strip()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except IsADirectoryError:
        raise StoreError(f"{folder / _CURRENT} is a folder", mend=f"remove it, and {_ANEW}") from None
    if name[:4] != "gen-" or not name[4:].isdecimal():
        raise StoreError(f"{folder / _CURRENT} is damaged: it names no generation", mend=_ANEW)
    return name


def generation_before(folder: Path) -> Path | None:
    """What a new generation takes the place of: the current one, or where `CURRENT` is damaged the newest."""
    try:
        return current_generation(folder)
    except StoreError:
        if (folder / _CURRENT).is_dir():
            raise
        return max(folder.glob("gen-*"), default=None)


def hold_current(folder: Path) -> tuple[Path, IO[bytes]] | None:
    """The current generation with a lease on it; it stays on disk until the lease is closed."""
    for _ in range(100):
        generation = current_generation(folder)
        if generation is None:
            return None
        try:
            lease = (generation / _LEASE).open("rb")
        except FileNotFoundError:
            continue  # Deleted between reading its name and opening it: a newer one is current.
        fcntl.flock(lease, fcntl.LOCK_SH)
        if (generation / _LEASE).exists():
            return generation, lease
        lease.close()
    raise StoreError(f"{folder / _CURRENT} names a generation that is not there", mend=_ANEW)


@contextmanager
def writer_lock(folder: Path, wait_s: float) -> Generator[None]:
    """Let one writer at a time into the folder.

    Waits up to `wait_s` seconds, then raises IndexLocked naming the process that holds the lock. Raises StoreError for
    a folder that cannot be written or that holds anything but an index. The lock belongs to the process and ends with
    it, however it ends.
    """
    _refuse_foreign(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        opened = (folder / _LOCK).open("a+")
    except OSError as error:
        raise StoreError(
            f"cannot write {folder}: {error.strerror}", mend="choose another ingestion.store.path"
        ) from error
    with opened as lock:
        deadline = time.monotonic() + wait_s
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise IndexLocked(
                        f"another indexer is writing {folder} ({_holder(lock)})", mend="wait for it, or use --wait"
                    ) from None
                time.sleep(_WAIT_S)
        lock.seek(0)
        lock.truncate()
        json.dump({"pid": os.getpid(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}, lock)
        lock.flush()
        yield


def _refuse_foreign(folder: Path) -> None:
    """A writer removes folders of its own names; in a folder that no writer made, they may be a user's."""
    if not folder.is_dir() or any((folder / own).exists() for own in (_LOCK, _CURRENT, MANIFEST)):
        return
    found = next(folder.iterdir(), None)
    if found is not None:
        raise StoreError(
            f"{folder} is no index: it holds {found.name!r}",
            mend="set ingestion.store.path to a folder that is empty or not there",
        )


def _holder(lock: IO[str]) -> str:
    lock.seek(0)
    try:
        holder = json.loads(lock.read())
        return f"process {holder['pid']}, since {holder['since']}"
    except (ValueError, KeyError):
        return "process unknown"


def start_building(folder: Path, fresh: bool, source: Path | None = None) -> Path:
    """An empty or copied folder for the next generation; what a killed writer left is thrown away.

    It is copied from the current one, or from `source`. The caller holds the writer lock.
    """
    building = folder / _BUILDING
    shutil.rmtree(building, ignore_errors=True)
    current = None if fresh else source or current_generation(folder)
    if current is None:
        building.mkdir(parents=True)
    else:
        # A reader that opens the shard meanwhile rewrites small files of it by way of these, which come and go.
        ignored = shutil.ignore_patterns(".atomicwrite*")
        shutil.copytree(current, building, ignore=ignored, copy_function=_copy_with_holes)
    (building / _LEASE).touch()
    return building


def _copy_with_holes(source: str | Path, target: str | Path) -> None:
    """Copy a file and leave out what was never written: the engine makes files of 32 MB to write a few kB in each."""
    with Path(source).open("rb", buffering=0) as read, Path(target).open("wb") as write:
        end = 0
        while (start := _next_data(read.fileno(), end)) is not None:
            end = os.lseek(read.fileno(), start, os.SEEK_HOLE)
            write.seek(start)
            while start < end and (piece := os.pread(read.fileno(), min(end - start, _COPIED_AT_ONCE), start)):
                start += write.write(piece)
        write.truncate(os.fstat(read.fileno()).st_size)
    shutil.copystat(source, target)


def _next_data(file: int, after: int) -> int | None:
    try:
        return os.lseek(file, after, os.SEEK_DATA)
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        return None


def discard_building(folder: Path, removing: Removing | None = None) -> None:
    """Remove an unfinished generation. The caller holds the writer lock."""
    if removing is not None and (folder / _BUILDING).exists():
        removing(folder / _BUILDING)
    shutil.rmtree(folder / _BUILDING, ignore_errors=True)


def every_generation(folder: Path) -> list[Path]:
    """All that lie there: the current one, those before it that are kept or read, and what is being built."""
    building = folder / _BUILDING
    return [*folder.glob("gen-*"), *([building] if building.exists() else [])]


def publish(folder: Path, *, keep_journals: bool = False, removing: Removing | None = None) -> Path:
    """Make the finished `building` current: sync it, rename it, and switch `CURRENT` by another rename.

    The journals of embeddings have done their work then, unless the run goes on with them.
    """
    building = folder / _BUILDING
    for path in sorted(building.rglob("*")):
        if path.is_file() or path.is_dir():
            sync(path)
    sync(building)
    before = generation_before(folder)
    number = int(before.name.removeprefix("gen-")) + 1 if before else 1
    # A killed writer may have renamed its folder and not switched; such a number is free only after removal.
    target = folder / f"gen-{number:06d}"
    shutil.rmtree(target, ignore_errors=True)
    building.rename(target)
    sync(folder)
    pointer = folder / f"{_CURRENT}.new"
    pointer.write_text(target.name, encoding="ascii")
    sync(pointer)
    pointer.replace(folder / _CURRENT)
    sync(folder)
    if not keep_journals:
        for journal in folder.glob(f"{VECTORS}*"):
            journal.unlink()
    with suppress(StoreError):  # the switch is made; what could not be removed is left to the next writer
        collect_garbage(folder, removing)
    return target


def keep_current(folder: Path, until: float) -> None:
    """Let the generation in `building` keep the one that it is to replace, until a time (seconds since 1970).

    What is written into `building` is published with it: the old one is kept from the very moment of the switch, and
    by every generation that is copied from the new one. The caller holds the writer lock.
    """
    current = current_generation(folder)
    if current is not None:
        write_whole(folder / _BUILDING / _KEPT, json.dumps({"generation": current.name, "until": until}))


def forget_kept(generation: Path) -> None:
    """Let a generation keep no other one. The caller holds the writer lock."""
    (generation / _KEPT).unlink(missing_ok=True)


def kept_generation(folder: Path) -> tuple[Path, float] | None:
    """The generation that is kept beside the current one and the time until which; None if none is, or its time is up.

    Once the time is up the next writer deletes it, or its last reader, but for one whose chunks lie on a server.
    """
    current = generation_before(folder)
    if current is None:
        return None
    try:
        kept = json.loads((current / _KEPT).read_text(encoding="utf-8"))
        if time.time() >= kept["until"] or not (folder / kept["generation"]).is_dir():
            return None
        return folder / kept["generation"], kept["until"]
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{current / _KEPT} is damaged", mend="remove it") from error


def collect_garbage(folder: Path, removing: Removing | None = None) -> None:
    """Delete generations that are neither current nor kept and that no reader holds. The caller holds the writer
    lock."""
    for generation in folder.glob("gen-*"):
        if not _is_wanted(generation):
            _remove_unless_held(generation, removing)


def _is_wanted(generation: Path) -> bool:
    kept = kept_generation(generation.parent)
    return generation == generation_before(generation.parent) or (kept is not None and generation == kept[0])


def release(generation: Path, lease: IO[bytes]) -> None:
    """Give a lease back; the last reader of a generation that is no longer current takes it off the disk.

    So what was deleted from an index is gone as soon as nobody reads it, without waiting for the next writer. A
    reader that may write the generation, as the engine demands, but not the folder around it leaves it to that writer.
    """
    lease.close()
    with suppress(StoreError):  # of a damaged folder, in which a reader deletes nothing
        if not _is_wanted(generation):
            _remove_unless_held(generation)


def _remove_unless_held(generation: Path, removing: Removing | None = None) -> None:
    try:
        with (generation / _LEASE).open("rb") as lease:
            fcntl.flock(lease, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if removing is not None:
                removing(generation)
            # The lease goes first: a reader that waits for it then sees that it is gone.
            (generation / _LEASE).unlink()
            shutil.rmtree(generation, ignore_errors=True)
    except (BlockingIOError, PermissionError):
        return
    except FileNotFoundError:
        shutil.rmtree(generation, ignore_errors=True)
