"""What a request must pass before its route."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from ragkit.serve.app import make_app
from tests.serve.serving import KETTLE, app_client, config_in, key, service, upload

ASK = {"question": "How much does the kettle hold?"}


def code(response: Any) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["code"]


def test_without_any_key_this_machine_is_let_in(client: TestClient) -> None:
    assert client.get("/v1/documents").status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "ragkit.example"},
        {"Host": "127.0.0.1.evil.example"},
        {"X-Forwarded-For": "10.0.0.1"},
        {"Forwarded": "for=10.0.0.1"},
        {"X-Real-IP": "10.0.0.1"},
    ],
    ids=["name", "rebound name", "proxy", "standard proxy", "nginx"],
)
def test_without_any_key_nobody_else_is(client: TestClient, headers: dict[str, str]) -> None:
    assert code(client.get("/v1/documents", headers=headers)) == (401, "no_key")


def test_without_any_key_another_machine_is_kept_out(tmp_path: Path, model_url: str) -> None:
    app = make_app(config_in(tmp_path, model_url))
    with TestClient(app, base_url="http://127.0.0.1", client=("10.0.0.7", 50_000)) as client:
        assert code(client.get("/v1/documents")) == (401, "no_key")
        assert client.get("/health").status_code == 200


def test_from_the_first_key_on_everybody_needs_one(client: TestClient, tmp_path: Path) -> None:
    headers = key(tmp_path, "app")
    refused = client.get("/v1/documents")
    assert code(refused) == (401, "invalid_api_key")
    assert refused.headers["www-authenticate"] == "Bearer"
    assert code(client.get("/v1/documents", headers={"Authorization": "Bearer rk_x_y"})) == (401, "invalid_api_key")
    assert client.get("/v1/documents", headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("role", "allowed"), [("read", set[str]()), ("write", {"write"}), ("admin", {"write", "admin"})]
)
def test_a_role_may_do_what_it_is_for(client: TestClient, tmp_path: Path, role: Any, allowed: set[str]) -> None:
    headers = key(tmp_path, "app", role=role)
    writes = client.post("/v1/documents", files={"file": ("a.md", b"text")}, headers=headers)
    deletes = client.delete("/v1/documents/none.md", headers=headers)
    administers = [client.get(path, headers=headers) for path in ("/metrics", "/v1/feedback")]
    assert client.get("/v1/documents", headers=headers).status_code == 200
    assert (writes.status_code, deletes.status_code) == ((202, 404) if "write" in allowed else (403, 403))
    assert {answer.status_code for answer in administers} == ({200} if "admin" in allowed else {403})


def test_a_page_of_another_origin_may_not_call(client: TestClient) -> None:
    for origin in ("https://evil.example", "http://127.0.0.1:9999", "null"):
        refused = client.post("/v1/ask", json=ASK, headers={"Origin": origin})
        assert code(refused) == (403, "origin_not_allowed")
        assert "access-control-allow-origin" not in refused.headers
    assert client.get("/v1/documents", headers={"Origin": "http://127.0.0.1"}).status_code == 200


def test_an_origin_of_the_config_may(tmp_path: Path, model_url: str) -> None:
    friend = "https://intranet.example"
    with app_client(config_in(tmp_path, model_url, serve={"cors_origins": [friend]})) as client:
        asked = {"Origin": friend, "Access-Control-Request-Method": "POST"}
        allowed = client.options("/v1/ask", headers=asked)
        assert allowed.headers["access-control-allow-origin"] == friend
        assert client.get("/v1/documents", headers={"Origin": friend}).status_code == 200
        assert client.options("/v1/ask", headers={**asked, "Origin": "https://evil.example"}).status_code == 400


def test_a_key_may_ask_so_often_in_a_minute(client: TestClient, tmp_path: Path) -> None:
    slow, quick = key(tmp_path, "slow", requests_per_minute=3), key(tmp_path, "quick")
    answers = [client.get("/v1/documents", headers=slow) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
    assert code(answers[-1]) == (429, "rate_limited")
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 60
    assert client.get("/v1/documents", headers=quick).status_code == 200


def test_a_body_may_be_so_large(tmp_path: Path, model_url: str) -> None:
    with app_client(config_in(tmp_path, model_url, serve={"max_request_kb": 4, "max_upload_mb": 0.01})) as client:
        large = {"question": "x" * 5000}
        assert code(client.post("/v1/ask", json=large)) == (413, "too_large")

        def pieces() -> Iterator[bytes]:
            for _ in range(10):
                yield b"x" * 1000

        assert code(client.post("/v1/ask", content=pieces())) == (413, "too_large")
        for size in (12_000, 200_000):
            sent = client.post("/v1/documents", files={"file": ("a.md", b"x" * size)})
            assert code(sent) == (413, "too_large")
        assert client.get("/v1/uploads").json() == {"uploads": []}
        assert client.post("/v1/documents", files={"file": ("a.md", b"x" * 9_000)}).status_code == 202


def test_every_answer_has_the_headers_that_browsers_obey(client: TestClient) -> None:
    for answer in (client.get("/health"), client.get("/v1/documents"), client.get("/nothing")):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
        assert answer.headers["cache-control"] == "no-store"
        assert len(answer.headers["x-trace-id"]) == 32
        assert "server" not in answer.headers


def test_what_is_not_there_has_the_same_shape_of_error(client: TestClient) -> None:
    assert code(client.get("/v1/nothing")) == (404, "not_found")
    assert code(client.put("/v1/ask")) == (405, "method_not_allowed")
    invalid = client.post("/v1/ask", json={"question": "secret words", "topk": 3})
    assert code(invalid) == (422, "invalid_request")
    assert "topk" in invalid.text
    assert "secret" not in invalid.text
    deep = client.post("/v1/ask", content=b"[" * 100_000, headers={"Content-Type": "application/json"})
    assert code(deep) == (400, "invalid_request")


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[tuple[str, Any]]:
    """A model service that takes its time."""
    with service() as (url, handler):
        handler.delay_s = 1.0
        yield url, handler


def written(folder: Path, url: str, **serve: Any) -> Any:
    """A system whose answers come from the model service."""
    generation = {"backend": "openai", "model": "m", "base_url": url, "refusal": {"min_confidence": 0.0}}
    return config_in(folder, url, generation=generation, serve=serve)


@pytest.mark.integration
def test_more_requests_than_there_is_room_for_are_sent_away(tmp_path: Path, slow: tuple[str, Any]) -> None:
    with app_client(written(tmp_path, slow[0], concurrency=2, waiting=2)) as client:
        upload(client, "kettle.md", KETTLE)
        began = threading.Barrier(8)

        def ask(_: int) -> Any:
            began.wait()
            return client.post("/v1/ask", json=ASK)

        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(ask, range(8)))
        assert sorted(answer.status_code for answer in answers) == [200] * 4 + [429] * 4
        assert all(answer.headers["retry-after"] == "2" for answer in answers if answer.status_code == 429)
        assert client.post("/v1/ask", json=ASK).status_code == 200


@pytest.mark.integration
def test_one_key_cannot_take_all_the_room(tmp_path: Path, slow: tuple[str, Any]) -> None:
    with app_client(written(tmp_path, slow[0], concurrency=8)) as client:
        upload(client, "kettle.md", KETTLE)
        greedy, modest = key(tmp_path, "greedy", concurrency=2), key(tmp_path, "modest")
        began = threading.Barrier(5)

        def ask(headers: dict[str, str]) -> int:
            began.wait()
            return client.post("/v1/ask", json=ASK, headers=headers).status_code

        with ThreadPoolExecutor(5) as pool:
            codes = list(pool.map(ask, [greedy] * 4 + [modest]))
        assert sorted(codes[:4]) == [200, 200, 429, 429]
        assert codes[4] == 200


@pytest.mark.integration
def test_a_request_that_takes_too_long_ends(tmp_path: Path, slow: tuple[str, Any]) -> None:
    with app_client(written(tmp_path, slow[0])) as client:
        upload(client, "kettle.md", KETTLE)
    with app_client(written(tmp_path, slow[0], timeout_s=0.5)) as client:
        assert code(client.post("/v1/ask", json=ASK)) == (504, "timeout")
        stream = client.post("/v1/ask", json={**ASK, "stream": True})
        assert stream.status_code == 200
        assert "event: error" in stream.text
        assert '"code": "timeout"' in stream.text
        slow[1].delay_s = 0.0
        assert client.post("/v1/search", json=ASK).status_code == 200


@pytest.mark.integration
def test_searches_do_not_wait_for_models_that_write(tmp_path: Path, slow: tuple[str, Any]) -> None:
    """Follow-up questions that a model is slow to write anew fill no thread that a search needs."""
    with app_client(written(tmp_path, slow[0], concurrency=32)) as client:
        upload(client, "kettle.md", KETTLE)
        slow[1].delay_s = 0.0
        for number in range(12):
            assert client.post("/v1/ask", json={**ASK, "session_id": f"s{number}"}).status_code == 200
        before = len(slow[1].asked)
        slow[1].delay_s = 20.0
        with ThreadPoolExecutor(12) as pool:
            asked = [pool.submit(client.post, "/v1/ask", json={**ASK, "session_id": f"s{n}"}) for n in range(12)]
            while len(slow[1].asked) < before + 12:
                time.sleep(0.02)
            assert client.post("/v1/search", json=ASK).status_code == 200
            assert not any(future.done() for future in asked), "the models still write"
            slow[1].delay_s = 0.0
            assert all(future.result().status_code == 200 for future in asked)


def test_words_of_callers_become_no_labels_of_metrics(client: TestClient) -> None:
    client.request("SECRETWORD", "/v1/ask")
    client.get("/secret/path")
    client.get("/v1/documents/secret.md")
    text = client.get("/metrics").text
    assert "secret" not in text.casefold()
    assert 'method="other"' in text
    assert 'route="/v1/documents/{name:path}"' in text
