"""redis-server as a process of the tests: on a socket in a folder of its own, nothing on disk."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import redis


def installed() -> bool:
    return shutil.which("redis-server") is not None


class RedisServer:
    """Runs from `start` (or `with`) to `stop`; started again it is empty, at the same address."""

    def __init__(self, *options: str, port: int | None = None) -> None:
        # Not pytest's folder: the path of a socket may have 107 characters.
        self.folder = Path(tempfile.mkdtemp(prefix="ragkit-redis-"))
        self.port = port
        path = self.folder / "redis.sock"
        self.url = f"redis://127.0.0.1:{port}/0" if port else f"unix://{path}"
        place = ("--port", str(port), "--bind", "127.0.0.1") if port else ("--port", "0", "--unixsocket", str(path))
        self._command = [
            "redis-server",
            *place,
            "--save",
            "",
            "--appendonly",
            "no",
            "--dir",
            str(self.folder),
            *options,
        ]
        self._process: subprocess.Popen[bytes] | None = None

    def client(self, **settings: Any) -> Any:
        return redis.Redis.from_url(self.url, **settings)

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        for _ in range(600):
            try:
                with self.client() as client:
                    client.ping()
                return
            except redis.AuthenticationError:
                return
            except redis.ConnectionError:
                assert self._process.poll() is None, "redis-server ended"
                time.sleep(0.05)
        raise AssertionError("redis-server never answered")

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
