"""Real models and servers for the generators' tests: llama.cpp in this process and as a server, vLLM's CPU build."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from ragkit.models.resolve import resolve

ROOT = Path(__file__).parents[2]
MODEL = "qwen2.5-coder-0.5b-instruct"
CANNOT = {3: "the disk is too small", 4: "a download failed"}  # exit codes of scripts/vllm_cpu.sh


@dataclass
class Server:
    """A server of language models on this machine; its log is shown when it does not start."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path

    def kill(self) -> None:
        """End the server and what it started, at once."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def tail(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")[-3000:]


def started(command: list[str], port: int, log: Path, ready: str) -> Iterator[Server]:
    """The server of a command, from when it answers until the tests are through with it."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)
    server = Server(f"http://127.0.0.1:{port}", process, log)
    try:
        deadline = time.monotonic() + 600
        while not _answers(f"{server.url}{ready}"):
            assert process.poll() is None, f"the server ended while it started:\n{server.tail()}"
            assert time.monotonic() < deadline, f"the server did not answer:\n{server.tail()}"
            time.sleep(0.5)
        yield server
    finally:
        server.kill()


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.fixture(scope="session")
def gguf() -> Path:
    """The small model that writes answers, fetched if it is not here."""
    return resolve(MODEL).weights


@pytest.fixture(scope="session")
def llama_server(gguf: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    port = free_port()
    command = [sys.executable, "-m", "llama_cpp.server", "--model", str(gguf), "--model_alias", MODEL]
    options = ["--host", "127.0.0.1", "--port", str(port), "--n_ctx", "4096"]
    yield from started([*command, *options], port, tmp_path_factory.mktemp("llama") / "server.log", "/v1/models")


@pytest.fixture(scope="session")
def vllm_built() -> None:
    """vLLM's environment and model, made by its script; skips aloud only where the machine cannot hold it."""
    built = subprocess.run(
        ["bash", str(ROOT / "scripts" / "vllm_cpu.sh"), "build"], capture_output=True, text=True, check=False
    )
    if built.returncode in CANNOT:
        pytest.skip(f"!!! vLLM IS NOT TESTED: {CANNOT[built.returncode]}: {built.stderr.strip()[-600:]}")
    assert built.returncode == 0, built.stderr[-3000:]


@pytest.fixture(scope="session")
def vllm_server(vllm_built: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all modules; the last test of test_vllm_server.py kills it."""
    port = free_port()
    command = ["bash", str(ROOT / "scripts" / "vllm_cpu.sh"), "start", str(port)]
    yield from started(command, port, tmp_path_factory.mktemp("vllm") / "server.log", "/health")
