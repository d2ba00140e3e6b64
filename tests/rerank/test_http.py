"""The rerank client against a real HTTP server on this machine, in the shapes of three services."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from pydantic import SecretStr

from ragkit.config.schema import Reranking
from ragkit.errors import ConfigError, ServiceError
from ragkit.rerank import Reranker, make_reranker

SECRET = "co-very-secret-0123456789"
TEXTS = ["bananas are yellow", "the battery lasts 10 hours", "a battery is charged at night"]
SCORES = [0.01, 0.98, 0.55]

Body = dict[str, object]


def cohere(request: Body) -> Body:
    results = [{"index": index, "relevance_score": SCORES[index]} for index in (1, 2, 0)]
    return {"id": "07734bd2", "results": results, "meta": {"api_version": {"version": "2"}}}


def jina(request: Body) -> Body:
    results = [
        {"index": index, "document": {"text": TEXTS[index]}, "relevance_score": SCORES[index]} for index in (1, 2, 0)
    ]
    return {"model": "jina-reranker-v2", "usage": {"total_tokens": 40}, "results": results}


def vllm(request: Body) -> Body:
    results = [
        {"index": i, "document": {"text": TEXTS[i], "multi_modal": None}, "relevance_score": SCORES[i]}
        for i in (1, 2, 0)
    ]
    return {
        "id": "rerank-1",
        "model": "bge",
        "usage": {"prompt_tokens": 1, "total_tokens": 40},
        "results": results,
    }


@dataclass
class Server:
    url: str
    answer: Callable[[Body], object] = cohere
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict[str, str])
    delay_s: float = 0.0
    requests: list[tuple[str, dict[str, str], Body]] = field(default_factory=list[tuple[str, dict[str, str], Body]])


@pytest.fixture
def server() -> Iterator[Server]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body: Body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            state.requests.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
            time.sleep(state.delay_s)
            answer = state.answer(body)
            data = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
            self.send_response(state.status)
            for name, value in state.headers.items():
                self.send_header(name, value)
            self.end_headers()
            with suppress(BrokenPipeError):  # the client did not wait
                self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            pass

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listening.daemon_threads = True
    state = Server(f"http://127.0.0.1:{listening.server_port}")
    threading.Thread(target=listening.serve_forever, args=(0.01,), daemon=True).start()
    yield state
    listening.shutdown()
    listening.server_close()


def reranker(server: Server, changes: dict[str, object] | None = None, path: str = "/v1") -> Reranker:
    values: dict[str, object] = {
        "backend": "http",
        "model": "rerank-m",
        "base_url": server.url + path,
        "timeout_s": 5.0,
    }
    made = make_reranker(Reranking.model_validate(values | (changes or {})))
    assert made is not None
    return made


@pytest.mark.parametrize(("service", "path"), [(cohere, "/v2"), (jina, "/v1"), (vllm, "")])
def test_the_contract_of_three_services(server: Server, service: Callable[[Body], Body], path: str) -> None:
    server.answer = service
    scores = reranker(server, {"api_key": SecretStr(SECRET)}, path).scores("how long does the battery last", TEXTS)
    assert scores == SCORES
    [(asked, headers, body)] = server.requests
    assert asked == f"{path}/rerank"
    assert headers["authorization"] == f"Bearer {SECRET}"
    assert body == {
        "model": "rerank-m",
        "query": "how long does the battery last",
        "documents": TEXTS,
        "top_n": 3,
    }


def test_nothing_to_score_is_not_asked(server: Server) -> None:
    assert reranker(server).scores("q", []) == []
    assert server.requests == []


def test_without_a_key_there_is_no_header(server: Server) -> None:
    reranker(server).scores("q", TEXTS)
    assert "authorization" not in server.requests[0][1]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("<html>", "no JSON"),
        ([{"index": 0, "score": 0.5}], "no list of results"),
        ({"results": None}, "no list of results"),
        (
            {"results": [{"index": 0, "relevance_score": 0.5}, {"index": 2, "relevance_score": 0.5}]},
            "index 1 is missing",
        ),
        ({"results": []}, "0 scores for 3 texts"),
        ({"results": [{"index": 0, "relevance_score": 0.5}] * 2}, "index 0 twice"),
        ({"results": [{"index": 3, "relevance_score": 0.5}]}, "index 3 for 3 texts"),
        ({"results": [{"index": -1, "relevance_score": 0.5}]}, "index -1 for 3 texts"),
        ({"results": [{"index": "0", "relevance_score": 0.5}]}, "index '0' for 3 texts"),
        ({"results": [{"index": 0, "score": 0.5}]}, "relevance_score None"),
        ({"results": [{"index": 0, "relevance_score": float("nan")}]}, "relevance_score nan"),
        ({"results": ["x"]}, "index None for 3 texts"),
    ],
)
def test_an_answer_that_is_no_ranking(server: Server, answer: object, said: str) -> None:
    server.answer = lambda request: answer
    with pytest.raises(ServiceError) as caught:
        reranker(server).scores("q", TEXTS)
    assert "answered something that is no ranking" in str(caught.value)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("status", "headers", "mend"),
    [
        (401, {}, "set reranking.api_key"),
        (404, {}, "mend reranking.base_url"),
        (429, {"Retry-After": "3"}, "wait 3 s"),
        (500, {}, "HTTP 500"),
    ],
)
def test_a_refused_request_is_explained_and_not_repeated(
    server: Server, status: int, headers: dict[str, str], mend: str
) -> None:
    server.status, server.headers = status, headers
    server.answer = lambda request: {"message": f"no, {SECRET}"}
    with pytest.raises(ServiceError) as caught:
        reranker(server, {"api_key": SecretStr(SECRET)}).scores("q", TEXTS)
    assert mend in str(caught.value)
    assert SECRET not in str(caught.value)
    assert len(server.requests) == 1


def test_a_service_that_is_too_slow(server: Server) -> None:
    server.delay_s = 1.0
    with pytest.raises(ServiceError, match=r"within 0\.2 s; raise reranking\.timeout_s"):
        reranker(server, {"timeout_s": 0.2}).scores("q", TEXTS)


def test_no_service() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        away = Server(f"http://user:{SECRET}@127.0.0.1:{free.getsockname()[1]}")
    with pytest.raises(ServiceError, match=r"no rerank service at http://127\.0\.0\.1:\d+/v1") as caught:
        reranker(away).scores("q", TEXTS)
    assert SECRET not in str(caught.value)


def test_a_key_that_cannot_work_is_said_before_any_call(server: Server) -> None:
    with pytest.raises(ConfigError) as caught:
        reranker(server, {"api_key": SecretStr(f"{SECRET}\nx")})
    assert SECRET not in str(caught.value)
