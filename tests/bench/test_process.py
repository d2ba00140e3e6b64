"""A contender as a process: what it measures comes back, what goes wrong is told, and limits hold."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from eval.bench.process import environment, measured, reason_in, watched
from eval.bench.spec import Skipped


def process_of(code: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", code])


def test_everybody_has_the_same_threads_and_no_network() -> None:
    settings = environment()
    assert settings["OMP_NUM_THREADS"] == settings["RAYON_NUM_THREADS"] == "2"
    assert settings["HF_HUB_OFFLINE"] == "1"


def test_a_contender_that_takes_too_long_is_ended() -> None:
    process = process_of("import time; time.sleep(60)")
    assert watched(process, 0.1, 1e6) == "was ended after 0 minutes"
    assert process.poll() is not None


def test_a_contender_that_takes_too_much_memory_is_ended() -> None:
    process = process_of(
        "import time; held = bytearray(200_000_000); held[::4096] = b'x' * len(held[::4096]); time.sleep(60)"
    )
    assert "more memory" in watched(process, 30, 100)
    assert process.poll() is not None


def test_one_that_ends_by_itself_has_no_reason() -> None:
    assert watched(process_of("pass"), 30, 1e6) == ""


@pytest.mark.integration
def test_a_whole_contender_is_measured() -> None:
    values = measured(["cold", "import", "python", "work", "quick"], 60)
    assert values["seconds"] > 0
    assert values["peak_mb"] > 1


@pytest.mark.parametrize("then", ["time.sleep(60)", "pass"])
def test_what_a_contender_started_ends_with_it(then: str, tmp_path: Path) -> None:
    started = tmp_path / "started"
    code = f"""
import pathlib, subprocess, time
child = subprocess.Popen(["sleep", "60"])
pathlib.Path({str(started)!r}).write_text(str(child.pid))
{then}"""
    process = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    while not (started.exists() and started.read_text()):
        time.sleep(0.01)
    watched(process, 0.1, 1e6)
    state = Path(f"/proc/{started.read_text()}/stat")
    end = time.monotonic() + 10
    while lives := state.exists() and state.read_text().rpartition(")")[2].split()[0] != "Z":
        assert time.monotonic() < end
        time.sleep(0.01)
    assert not lives


def test_all_cores_are_left_to_a_benchmark_of_the_whole_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert "OMP_NUM_THREADS" not in environment(whole_machine=True)


@pytest.mark.parametrize(
    ("printed", "reason"),
    [
        ("Traceback ...\nTypeError: unhashable\n(Main pid=1) WARNING engine exited", "TypeError: unhashable"),
        ("(EngineCore pid=7) torch.OutOfMemoryError: CUDA out of memory\nbye", None),
        ("one\ntwo\n\n", "two"),
        ("", "no output"),
    ],
)
def test_a_reason_is_the_last_exception_else_the_last_line(printed: str, reason: str | None, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(printed, encoding="utf-8")
    assert reason_in(log) == (reason or printed.splitlines()[0])


def test_a_contender_that_fails_says_how() -> None:
    with pytest.raises(Skipped, match="ended with code 1: KeyError: 'nobody'"):
        measured(["cold", "import", "nobody", "work", "quick"], 60)
