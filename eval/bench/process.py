"""A contender as a process of its own, within a limit of time and of memory."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from eval.bench.spec import ROOT, THREADS, Skipped, Values

LEAVE_FREE = 0.1
"""Share of the memory that is free at the start and that a contender does not get."""


_RAISED = re.compile(r"(?:\([^)]*\) )?(?:\w+\.)*\w*(?:Error|Exception|Interrupt)\b(?::|$)")
_POOLS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS", "NUMBA_NUM_THREADS")


def environment(*, whole_machine: bool = False) -> dict[str, str]:
    """The same threads and no network for everybody."""
    return {
        **os.environ,
        **({} if whole_machine else dict.fromkeys(_POOLS, str(THREADS))),
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "HAYSTACK_TELEMETRY_ENABLED": "False",
        "PYTHONPATH": str(ROOT),
        "PYTHONWARNINGS": "ignore",
    }


def free_mb() -> float:
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        if line.startswith("MemAvailable"):
            return int(line.split()[1]) / 1e3
    raise Skipped("this system does not say how much memory is free")


def status_mb(pid: int | str, key: str) -> float:
    """A figure of /proc/PID/status in MB, 0 where the process is gone."""
    try:
        text = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1e3 for line in text.splitlines() if line.startswith(f"{key}:")), 0.0)


def measured(arguments: list[str], limit_s: float, *, whole_machine: bool = False) -> Values:
    """What `worker.py` measured with these arguments. Raises Skipped with the reason where it could not."""
    most_mb = free_mb() * (1 - LEAVE_FREE)
    with tempfile.TemporaryDirectory() as folder:
        out, log = Path(folder) / "out.json", Path(folder) / "log"
        command = [sys.executable, "-m", "eval.bench.worker", *arguments, str(out)]
        with log.open("wb") as stream:
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=environment(whole_machine=whole_machine),
                stdout=stream,
                stderr=stream,
                start_new_session=True,
            )
            reason = watched(process, limit_s, most_mb)
        if reason:
            raise Skipped(reason)
        if not out.exists():
            raise Skipped(f"ended with code {process.returncode}: {reason_in(log)}")
        told = json.loads(out.read_text(encoding="utf-8"))
    if "skipped" in told:
        raise Skipped(str(told["skipped"]))
    return told["values"]


def reason_in(log: Path) -> str:
    """Why a process ended, by what it printed: the last line with an exception's name, for what comes behind it is
    clearing up; else the last line."""
    lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    raised = [line for line in lines if _RAISED.match(line)]
    return (raised or lines or ["no output"])[-1][:300]


def watched(process: subprocess.Popen[bytes], limit_s: float, most_mb: float) -> str:
    """Wait for the end; the reason if it had to be brought about. If the process leads a group, what it has started
    ends with it, whichever way."""
    end = time.monotonic() + limit_s
    try:
        while True:
            try:
                process.wait(0.2)
                return ""
            except subprocess.TimeoutExpired:
                if status_mb(process.pid, "RssAnon") > most_mb:
                    return f"took more memory than there is ({most_mb / 1e3:.0f} GB)"
                if time.monotonic() > end:
                    return f"was ended after {limit_s / 60:.0f} minutes"
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # an engine that is left alone keeps the memory of a GPU
        if process.poll() is None:
            process.kill()
            process.wait()
