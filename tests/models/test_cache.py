"""Where models lie, and that a hash is compared again exactly when a file changed."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from ragkit.errors import ModelError
from ragkit.models import cache
from ragkit.models.cache import cache_folder, check_sha256, fetch_lock


def test_the_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RAGKIT_MODELS", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"
    monkeypatch.delenv("RAGKIT_MODELS")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "ragkit" / "models"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "ragkit" / "models"


def test_a_file_is_read_again_only_when_it_changed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RAGKIT_MODELS", str(tmp_path / "models"))
    file = tmp_path / "weights"
    file.write_bytes(b"one")
    expected = hashlib.sha256(b"one").hexdigest()
    read: list[Path] = []
    original = cache.sha256_of

    def counted(path: Path) -> str:
        read.append(path)
        return original(path)

    monkeypatch.setattr(cache, "sha256_of", counted)
    check_sha256(file, expected)
    check_sha256(file, expected)
    assert len(read) == 1
    check_sha256(file, expected, again=True)
    assert len(read) == 2
    stat = file.stat()
    file.write_bytes(b"two")
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    with pytest.raises(ModelError, match=f"{hashlib.sha256(b'two').hexdigest()}, expected is {expected}"):
        check_sha256(file, expected)


@pytest.mark.parametrize("content", ["", "[1]", "{", '{"/x": 3}'])
def test_a_spoiled_memory_of_hashes_costs_only_time(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str
) -> None:
    monkeypatch.setenv("RAGKIT_MODELS", str(tmp_path))
    (tmp_path / "verified.json").write_text(content, encoding="utf-8")
    file = tmp_path / "weights"
    file.write_bytes(b"one")
    check_sha256(file, hashlib.sha256(b"one").hexdigest())


def test_a_cache_that_cannot_be_written_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("RAGKIT_MODELS", str(tmp_path / "file"))
    with pytest.raises(ModelError, match=r"cannot write .*; set RAGKIT_MODELS"), fetch_lock("x"):
        pass
