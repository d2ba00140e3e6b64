"""A chat server on this machine that says what a test tells it to, for faults; and records to judge."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

# Real models and servers, as the generators' tests start them.
from tests.generate.conftest import gguf, llama_server

__all__ = ["gguf", "llama_server"]

Body = dict[str, Any]


@dataclass
class ChatServer:
    """What was asked, and what is replied: a text, a status with a body, or what a function makes of the request."""

    url: str
    reply: str | tuple[int, str] | Callable[[Body], str | tuple[int, str]] = "{}"
    finish_reason: str = "stop"
    requests: list[Body] = field(default_factory=list[Body])
    keys: list[str | None] = field(default_factory=list[str | None])


@pytest.fixture
def chat_server() -> Iterator[ChatServer]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            request: Body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            state.requests.append(request)
            state.keys.append(self.headers["Authorization"])
            reply = state.reply(request) if callable(state.reply) else state.reply
            if not isinstance(reply, str):
                self._send(*reply)
                return
            choice = {
                "index": 0,
                "message": {"role": "assistant", "content": reply},
                "finish_reason": state.finish_reason,
            }
            usage = {"prompt_tokens": 9, "completion_tokens": 9, "total_tokens": 18}
            body = {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "usage": usage}
            self._send(200, json.dumps(body | {"choices": [choice]}))

        def _send(self, status: int, body: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body.encode())))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listening.daemon_threads = True
    state = ChatServer(f"http://127.0.0.1:{listening.server_port}/v1")
    threading.Thread(target=listening.serve_forever, args=(0.01,), daemon=True).start()
    yield state
    listening.shutdown()
    listening.server_close()
