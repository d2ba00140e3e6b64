"""What tests of the server share: systems over a real HTTP model service, clients, keys, the server as a process."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Generator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar, cast

import httpx
from fastapi.testclient import TestClient

from ragkit.config.schema import Config
from ragkit.serve.app import make_app
from ragkit.serve.database import Database
from ragkit.serve.keys import Keys, Role

KETTLE = b"# Kettle\n\nThe kettle holds two litres of water. It is made of steel.\n"
LAMP = b"# Lamp\n\nThe lamp burns for nine hours. Its shade is made of paper.\n"
T = TypeVar("T", bound="Words")
HERE = {"base_url": "http://127.0.0.1", "client": ("127.0.0.1", 50_000)}
"""A test client that comes from this machine."""


class Words(BaseHTTPRequestHandler):
    """`/v1/embeddings` by words: each word has its own dimension, so that texts with common words are near.

    `/v1/chat/completions` answers with the first sentence of the first document, whole or in pieces, after `delay_s`.
    Embeddings take `embed_s`. Asked for JSON it says the `json_texts` in turn.
    """

    delay_s = 0.0
    embed_s = 0.0
    json_texts: tuple[str, ...] = ()
    asked: list[dict[str, Any]] = []  # noqa: RUF012 - of each server's own class

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path.endswith("/embeddings"):
            time.sleep(self.embed_s)
            rows = [{"index": index, "embedding": vector(text)} for index, text in enumerate(body["input"])]
            self._send({"data": rows})
            return
        self.asked.append(body)
        time.sleep(self.delay_s)
        said = self._said(body)
        usage = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
        if not body.get("stream"):
            message = {"role": "assistant", "content": said}
            self._send({"model": "m", "choices": [{"message": message, "finish_reason": "stop"}], "usage": usage})
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        for piece in re.findall(r"\S+\s*", said):
            self._event({"model": "m", "choices": [{"index": 0, "delta": {"content": piece}}]})
        self._event({"model": "m", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        self._event({"model": "m", "choices": [], "usage": usage})
        self.wfile.write(b"data: [DONE]\n\n")

    def _said(self, body: dict[str, Any]) -> str:
        prompt = "\n".join(message["content"] for message in body["messages"])
        if "JSON schema:" in prompt:
            before = sum("JSON schema:" in str(one["messages"]) for one in self.asked[:-1])
            return self.json_texts[min(before, len(self.json_texts) - 1)]
        found = re.search(r"(The \w+ (?:holds|burns)[^.]*\.)", prompt)
        return f"{found[1]} It is so." if found else "I don't have enough information."

    def _send(self, answer: dict[str, Any]) -> None:
        payload = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def _event(self, data: dict[str, Any]) -> None:
        self.wfile.write(f"data: {json.dumps(data)}\n\n".encode())
        self.wfile.flush()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def vector(text: str) -> list[float]:
    found = [0.01] * 256
    for word in re.findall(r"\w+", text.casefold()):
        found[zlib.crc32(word.encode()) % 256] += 1.0
    return found


class Service(ThreadingHTTPServer):
    """A service whose callers may hang up: a server that is stopped while a model answers does."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print no traceback for a caller that went away.

        Python 3.11 parses source to print one, and a module that the test imports meanwhile in its own thread then
        fails with "AST constructor recursion depth mismatch" (https://github.com/python/cpython/issues/106905).
        """
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


@contextmanager
def service(kind: type[T] = Words, **settings: Any) -> Generator[tuple[str, type[T]]]:
    """A model service: its address up to /v1, and the class whose settings its answers follow."""
    handler = cast("type[T]", type(f"Own{kind.__name__}", (kind,), {"asked": [], **settings}))
    server = Service(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1", handler
    finally:
        server.shutdown()
        server.server_close()


def settings_in(folder: Path, url: str, **parts: Any) -> dict[str, Any]:
    """Settings of a system in a folder; `parts` replace or add sections, `serve` keys are added."""
    return {
        "ingestion": {
            "parsing": {"workers": 1},
            "chunking": {"strategy": "recursive", "chunk_size": 32, "overlap": 0},
            "embedding": {"backend": "openai", "model": "words", "base_url": url},
            "store": {"path": str(folder / "index")},
        },
        "generation": {"refusal": {"min_confidence": 0.1}},
        **parts,
        "serve": {"folder": str(folder / "serve"), **parts.get("serve", {})},
    }


def config_in(folder: Path, url: str, **parts: Any) -> Config:
    return Config.model_validate(settings_in(folder, url, **parts))


def key(folder: Path, name: str, tenant: str = "", role: Role = "read", **limits: int) -> dict[str, str]:
    """The headers of a new key."""
    with closing(Database(folder / "serve")) as database:
        return {"Authorization": f"Bearer {Keys(database).create(name, tenant=tenant, role=role, **limits)[1]}"}


@contextmanager
def app_client(config: Config) -> Generator[TestClient]:
    with TestClient(make_app(config), **HERE) as client:  # pyright: ignore[reportArgumentType]
        yield client


def upload(
    client: TestClient | httpx.Client, name: str, content: bytes, headers: dict[str, str] | None = None
) -> dict[str, Any]:
    """Upload a document and wait until it is over."""
    sent = client.post("/v1/documents", files={"file": (name, content)}, headers=headers)
    assert sent.status_code == 202, sent.text
    return over(client, sent.json()["id"], headers)


def over(client: TestClient | httpx.Client, identity: str, headers: dict[str, str] | None = None) -> dict[str, Any]:
    """An upload when it is done, failed or cancelled."""
    state: dict[str, Any] = {}
    for _ in range(1200):
        state = client.get(f"/v1/uploads/{identity}", headers=headers).json()
        if state["state"] not in ("queued", "indexing"):
            return state
        time.sleep(0.05)
    raise AssertionError(f"not over: {state}")


@contextmanager
def process(folder: Path, *arguments: str) -> Generator[tuple[subprocess.Popen[str], str]]:
    """`ragkit serve` over `folder/ragkit.yaml` as a process, and its address; its log goes to `folder/log`."""
    command = [sys.executable, "-m", "ragkit.cli.main", "serve", "-c", "ragkit.yaml", "--port", "0", *arguments]
    with (folder / "log").open("a", encoding="utf-8") as log:
        at = log.tell()
        server = subprocess.Popen(command, cwd=folder, stderr=log, stdout=log, text=True, env={**os.environ})
    try:
        yield server, _address(server, folder / "log", at)
    finally:
        if server.poll() is None:
            server.kill()
        server.wait()


def _address(server: subprocess.Popen[str], log: Path, at: int) -> str:
    for _ in range(1200):
        found = re.search(r"listening on (http://\S+?:\d+)", log.read_text(encoding="utf-8")[at:])
        if found:
            return found[1]
        if server.poll() is not None:
            break
        time.sleep(0.05)
    raise AssertionError(log.read_text(encoding="utf-8"))


def events_of(text: str) -> list[tuple[str, Any]]:
    """Names and data of server-sent events."""
    found: list[tuple[str, Any]] = []
    for block in text.strip().split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.split("\n") if not line.startswith(":"))
        if lines:
            found.append((lines.get("event", ""), json.loads(lines["data"])))
    return found
