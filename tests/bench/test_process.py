"""A contender as a process: what it measures comes back, what goes wrong is told, and limits hold."""

from __future__ import annotations

import subprocess
import sys

import pytest

from eval.bench.process import environment, measured, watched
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


def test_a_contender_that_fails_says_how() -> None:
    with pytest.raises(Skipped, match="ended with code 1: KeyError: 'nobody'"):
        measured(["cold", "import", "nobody", "work", "quick"], 60)
