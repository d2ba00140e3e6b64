"""Paths that hold no model, or cannot be one: each is one line, none hangs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ragkit.cli.main import main
from ragkit.errors import ModelError
from ragkit.models.resolve import find


def refused(reference: str) -> str:
    with pytest.raises(ModelError) as caught:
        find(reference)
    line = str(caught.value)
    assert "\n" not in line
    line.encode("utf-8")  # what no terminal takes is not in it
    return line


def test_folders_without_files(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "again").symlink_to(tmp_path)
    assert "holds no files" in refused(str(tmp_path))


def test_what_is_neither_file_nor_folder(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "is neither a file nor a folder" in refused(str(tmp_path / "pipe"))
    assert "is neither a file nor a folder" in refused("/dev/zero")


@pytest.mark.parametrize("name", ["a" * 300, "./" + "a" * 300, "/" + "a/" * 3000, "~no-such-user/model"])
def test_names_that_no_file_can_have(name: str) -> None:
    assert refused(name).startswith(("no model is called", "there is no model at"))


@pytest.mark.parametrize("name", ["./a\0b", "./a\ud800", "a\nb", "hf:org/na\0me"])
def test_characters_that_no_reference_has(name: str) -> None:
    assert "holds characters that no model reference has" in refused(name)


def test_links_that_lead_nowhere_or_round(tmp_path: Path) -> None:
    (tmp_path / "dangling").symlink_to(tmp_path / "nothing")
    (tmp_path / "round").symlink_to(tmp_path / "round")
    assert "there is no model at" in refused(str(tmp_path / "dangling"))
    assert "there is no model at" in refused(str(tmp_path / "round"))


def test_a_file_that_cannot_be_read(capsys: pytest.CaptureFixture[str]) -> None:
    # Of the memory at address 0 nobody reads a byte, whatever their rights.
    assert main(["models", "verify", "/proc/self/mem"]) == 1
    assert capsys.readouterr().out.startswith("damaged   cannot read /proc/self/mem: ")


def test_files_and_folders_without_rights(tmp_path: Path) -> None:
    """As a user whom the rights bind: in a process that gives up being root, where it is."""
    closed = tmp_path / "closed"
    (closed / "model").mkdir(parents=True)
    (closed / "model" / "weights.gguf").touch()
    file = tmp_path / "weights.gguf"
    file.touch()
    file.chmod(0)
    closed.chmod(0)
    code = """
import os, sys
from ragkit.models.resolve import find
from ragkit.errors import ModelError
find("all-MiniLM-L6-v2", check=False)  # imports what it needs while it may read it
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
for path in sys.argv[1:]:
    try:
        print("found", find(path))
    except ModelError as error:
        print(error)
"""
    root = str(Path(__file__).parents[2])
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == os.geteuid() and not folder.stat().st_mode & 1:
            folder.chmod(folder.stat().st_mode | 0o011)
    paths = [str(file), str(closed), str(closed / "model")]
    environ = {**os.environ, "PYTHONPATH": root}
    done = subprocess.run(
        [sys.executable, "-c", code, *paths], capture_output=True, text=True, env=environ, check=False
    )
    closed.chmod(0o700)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split(";")[0] for line in lines] == [
        f"cannot read {paths[0]}",
        f"cannot read {paths[1]}",
        f"cannot look at {paths[2]}: Permission denied",
    ]
