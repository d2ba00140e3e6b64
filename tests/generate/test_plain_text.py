"""Plain text from a chat model: through a real HTTP server that says what it is told to."""

from __future__ import annotations

import json
import threading
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from ragkit.config.schema import Config, Generation
from ragkit.errors import ConfigError, ServiceError
from ragkit.generate import make_generator
from ragkit.generate.plain_text import plain_writer
from ragkit.types import Usage


class Server(BaseHTTPRequestHandler):
    status = 200
    asked: dict[str, Any] = {}  # noqa: RUF012 - what came last, for the test to read

    def do_POST(self) -> None:
        Server.asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        choice = {"message": {"content": " A passage. "}, "finish_reason": "stop"}
        body = json.dumps({"choices": [choice], "usage": {"prompt_tokens": 7, "completion_tokens": 3}}).encode()
        self.send_response(self.status)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def address() -> Generator[str]:
    server = HTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    server.server_close()
    Server.status = 200


def generator(address: str):
    config = Generation(backend="openai", model="m", base_url=address)
    return make_generator(config, lambda text: [(0, len(text))], None)  # pyright: ignore[reportArgumentType]


def test_a_server_writes_what_it_is_asked_for(address: str) -> None:
    assert plain_writer(generator(address))("Write a passage.", 40) == ("A passage.", Usage(7, 3))
    assert Server.asked["messages"] == [{"role": "user", "content": "Write a passage."}]
    assert (Server.asked["temperature"], Server.asked["max_tokens"]) == (0.0, 40)


def test_a_server_that_fails_is_told_as_everywhere(address: str) -> None:
    Server.status = 500
    with pytest.raises(ServiceError):
        plain_writer(generator(address))("Write a passage.", 40)


def test_without_a_language_model_nothing_can_be_asked() -> None:
    extractive = make_generator(Generation(), lambda text: [(0, len(text))], None)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ConfigError):
        plain_writer(extractive)


def test_a_config_that_needs_a_language_model_and_has_none_is_refused() -> None:
    with pytest.raises(ValueError, match="hyde needs a language model"):
        Config.model_validate({"retrieval": {"transforms": ["hyde"]}})
