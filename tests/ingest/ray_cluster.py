"""The cluster of two nodes that scripts/ray_local.sh starts, and a look at its processes, to kill some of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

ROOT = Path(__file__).parents[2]


class TwoNodes:
    """Started on entry, ended on exit; both by the script."""

    def __init__(self, state: Path) -> None:
        self._state = state
        self._environment = {**os.environ, "RAGKIT_RAY": str(state), "PYTHON": sys.executable}

    def __enter__(self) -> Self:
        self.said = self._script("start")
        self.address = (self._state / "address").read_text(encoding="ascii")
        self.pid = int((self._state / "pid").read_text(encoding="ascii"))
        self.environment = {
            **os.environ,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(self._state.resolve() / "token"),
        }
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._script("stop")

    def _script(self, command: str) -> str:
        done = subprocess.run(
            ["bash", str(ROOT / "scripts/ray_local.sh"), command],
            env=self._environment, capture_output=True, text=True, check=True, timeout=120,
        )  # fmt: skip
        return done.stdout

    def processes(self, name: str) -> set[int]:
        """The ids of all processes of the cluster whose command line begins with a name, or is a program of it."""
        return {pid for pid in descendants(self.pid) if _is(pid, name)}


def descendants(pid: int) -> set[int]:
    """All processes that a process started, and those that they did."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                status = (entry / "stat").read_text(encoding="utf-8", errors="replace")
            except OSError:
                continue
            children.setdefault(int(status.rsplit(")", 1)[1].split()[1]), []).append(int(entry.name))
    found: set[int] = set()
    left = [pid]
    while left:
        new = children.get(left.pop(), [])
        found.update(new)
        left.extend(new)
    return found


def _is(pid: int, name: str) -> bool:
    try:
        command = Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8", errors="replace").split("\0")[0]
    except OSError:
        return False
    return command.startswith(name) or Path(command).name == name


def listening(pid: int) -> set[str]:
    """The addresses that a process listens at, as Linux writes them: hexadecimal, each word of four bytes turned."""
    inodes: set[str] = set()
    for file in Path(f"/proc/{pid}/fd").glob("*"):
        with suppress(OSError):
            inodes.add(str(file.readlink()))
    found: set[str] = set()
    for table in ("tcp", "tcp6"):
        lines: list[str] = []
        with suppress(OSError):  # a process that has ended since
            lines = Path(f"/proc/{pid}/net/{table}").read_text(encoding="ascii").splitlines()[1:]
        for line in lines:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in inodes:
                found.add(fields[1].split(":")[0])
    return found


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def wait_until(condition: Callable[[], bool], within_s: float = 60.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that in time"
        time.sleep(0.02)
