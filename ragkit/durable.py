"""Files that are whole or not there, whenever the power goes."""

from __future__ import annotations

import os
from pathlib import Path


def write_whole(path: Path, content: str | bytes, *, private: bool = False) -> None:
    """Write a file beside the one of this name, sync it, and put it in its place; a `private` one nobody else reads.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "state.json"
    >>> write_whole(file, "{}")
    >>> file.read_text()
    '{}'
    """
    partial = path.with_name(f"{path.name}.part")
    if private:
        partial.unlink(missing_ok=True)  # one that a kill left keeps its mode
    mode = 0o600 if private else 0o666
    with open(partial, "wb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
        file.write(content.encode() if isinstance(content, str) else content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    sync(path.parent)


def sync(path: Path) -> None:
    """Bring a file to the disk, or the names in a folder: a file that was made or renamed there stays."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
