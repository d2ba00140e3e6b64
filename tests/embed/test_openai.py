"""Embeddings by an HTTP API, against a real server on this machine that speaks the protocol."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest
from pydantic import SecretStr

from ragkit.config.schema import Embedding
from ragkit.embed import make_embedder, make_token_counter
from ragkit.embed.openai import OpenAIEmbedder
from ragkit.errors import ConfigError, ModelError, RagkitError, ServiceError

SECRET = "sk-very-secret-0123456789"

Answer = Callable[[list[str]], tuple[int, Any]]


def ok(texts: list[str]) -> tuple[int, Any]:
    """A vector (length of the text, 1) for each, in the wrong order and of no particular length."""
    rows = [{"index": index, "embedding": [len(text), 1.0]} for index, text in enumerate(texts)]
    return 200, {"object": "list", "data": rows[::-1], "model": "m", "usage": {"prompt_tokens": 1}}


def status(code: int, body: object) -> Answer:
    return lambda _: (code, body)


def data(rows: object) -> Answer:
    return status(200, {"data": rows})


@dataclass
class Server:
    url: str
    answer: Answer = ok
    delay_s: float = 0.0
    bodies: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    headers: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    clients: list[OpenAIEmbedder] = field(default_factory=list[OpenAIEmbedder])


@pytest.fixture
def server() -> Iterator[Server]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            state.bodies.append(body)
            state.headers.append({key.lower(): value for key, value in self.headers.items()})
            time.sleep(state.delay_s)
            status, answer = state.answer(body["input"])
            sent = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(status if self.path == "/v1/embeddings" else 404)
            self.send_header("Content-Length", str(len(sent)))
            with suppress(BrokenPipeError, ConnectionResetError):  # The client may have given up.
                self.end_headers()
                self.wfile.write(sent)

        def log_message(self, format: str, *args: object) -> None:
            pass

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listening.daemon_threads = True
    state = Server(f"http://127.0.0.1:{listening.server_port}/v1")
    threading.Thread(target=listening.serve_forever, args=(0.01,), daemon=True).start()
    yield state
    for client in state.clients:
        client.close()
    listening.shutdown()
    listening.server_close()


def embedder(server: Server, **settings: Any) -> OpenAIEmbedder:
    made = make_embedder(Embedding(backend="openai", model="m", base_url=server.url, **settings))
    assert isinstance(made, OpenAIEmbedder)
    server.clients.append(made)
    return made


def test_vectors_come_in_the_order_of_the_texts_and_of_unit_length(server: Server) -> None:
    vectors = embedder(server).embed_passages(["a", "bbbb", "cc"])
    np.testing.assert_allclose(vectors[:, 0] / vectors[:, 1], [1, 4, 2], rtol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert vectors.dtype == np.float32


def test_the_request_is_the_apis(server: Server) -> None:
    made = embedder(server, api_key=SecretStr(SECRET), dimensions=2, passage_prefix="p: ", query_prefix="q: ")
    made.embed_passages(["x"])
    made.embed_question("y")
    assert [body["input"] for body in server.bodies] == [["p: x"], ["q: y"]]
    assert server.bodies[0] == {"model": "m", "input": ["p: x"], "encoding_format": "float", "dimensions": 2}
    assert server.headers[0]["authorization"] == f"Bearer {SECRET}"


def test_without_a_key_none_is_sent(server: Server) -> None:
    embedder(server).embed_question("x")
    assert "authorization" not in server.headers[0]
    assert "dimensions" not in server.bodies[0]


@pytest.mark.parametrize("count", [0, 1, 3, 4, 7])
def test_texts_go_in_batches(server: Server, count: int) -> None:
    texts = ["x" * (number + 1) for number in range(count)]
    for vectors in (
        embedder(server, batch_size=3).embed_passages(texts),
        embedder(server, batch_size=3).embed_questions(texts),
    ):
        assert len(vectors) == count
        assert [round(float(row[0] / row[1])) for row in vectors] == [len(text) for text in texts]
    assert all(len(body["input"]) <= 3 for body in server.bodies)


def test_the_key_is_needed_for_openai_itself_only() -> None:
    with pytest.raises(ConfigError, match=r"api_key is missing for api\.openai\.com; set it to \$\{OPENAI_API_KEY\}"):
        OpenAIEmbedder(Embedding(backend="openai", model="m"))


@pytest.mark.parametrize("text", ["word " * 20, "👩‍👩‍👧‍👦" * 2])
def test_a_passage_beyond_the_window_is_refused_and_not_sent(server: Server, text: str) -> None:
    with pytest.raises(ModelError, match=r"a passage of \d+ tokens does not fit the model, which reads 16"):
        embedder(server, max_tokens=16).embed_passages([text])
    assert server.bodies == []


@pytest.mark.parametrize("text", ["word " * 40, "👩‍👩‍👧‍👦" * 9, "日本語の文章" * 9])
def test_a_question_beyond_the_window_keeps_its_beginning(server: Server, text: str) -> None:
    settings = Embedding(backend="openai", model="m", max_tokens=16)
    embedder(server, max_tokens=16).embed_question(text)
    [sent] = server.bodies[0]["input"]
    assert text.startswith(sent)
    assert 12 <= make_token_counter(settings).count(sent) <= 16


@pytest.mark.parametrize(
    ("answer", "gist"),
    [
        (status(401, f"Incorrect key: {SECRET}"), 'HTTP 401: "Incorrect key: ***"; check ingestion.embedding.api_key'),
        (status(403, f"no access for Bearer {SECRET}"), "no access for ***; check ingestion.embedding.api_key"),
        (status(429, "slow down"), 'HTTP 429: "slow down"; wait'),
        (status(500, b"<html>broken</html>"), "HTTP 500: <html>broken"),
        (status(200, b"no json"), "no list of embeddings"),
        (status(200, {"error": "x"}), "no list of embeddings"),
        (status(200, None), "no list of embeddings"),
        (data(None), "no list of embeddings"),
        (data([{"embedding": [1.0]}]), "no list of embeddings"),
        (data([{"index": 0, "embedding": ["a"]}, {"index": 1, "embedding": [1]}]), "no list of embeddings"),
        (data([{"index": 0, "embedding": [1, 2]}, {"index": 1, "embedding": [1]}]), "no list of embeddings"),
        (data([]), "0 vectors for 2 texts"),
        (data([{"index": 0, "embedding": [1.0]}]), "1 vectors for 2 texts"),
        (data([{"index": 0, "embedding": [1.0]}, {"index": 1, "embedding": [float("nan")]}]), "not finite"),
        (data([{"index": 0, "embedding": [1.0]}, {"index": 1, "embedding": [1e39]}]), "not finite"),
    ],
)  # fmt: skip
def test_each_fault_is_one_line_that_names_the_address(server: Server, answer: Answer, gist: str) -> None:
    server.answer = answer
    with pytest.raises(ServiceError) as caught:
        embedder(server, api_key=SecretStr(SECRET)).embed_passages(["a", "b"])
    assert gist in str(caught.value)
    assert f"{server.url}/embeddings" in str(caught.value)
    assert SECRET not in str(caught.value)


def test_a_slow_server_is_given_up(server: Server) -> None:
    server.delay_s = 2.0
    with pytest.raises(ServiceError, match=r"within 0\.2 s; raise ingestion\.embedding\.timeout_s"):
        embedder(server, timeout_s=0.2).embed_question("x")


def test_a_server_that_is_not_there_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        with pytest.raises(RagkitError, match=rf"cannot reach {url}/embeddings: ConnectError; check"):
            OpenAIEmbedder(Embedding(backend="openai", model="m", base_url=url)).embed_question("x")
