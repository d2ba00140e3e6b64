"""`ragkit serve` as a process: it says where it listens, drains, survives a kill, and takes a new config."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.serve.serving import KETTLE, Words, events_of, key, over, process, service, settings_in, upload

pytestmark = pytest.mark.integration

ASK = {"question": "How much water does the kettle hold?"}


@pytest.fixture
def model() -> Iterator[tuple[str, type[Words]]]:
    with service() as made:
        yield made


def write(folder: Path, url: str, **parts: Any) -> None:
    (folder / "ragkit.yaml").write_text(yaml.safe_dump(settings_in(folder, url, **parts)), encoding="utf-8")


def written_by(url: str) -> dict[str, Any]:
    """A section for answers of the model service."""
    return {"backend": "openai", "model": "m", "base_url": url, "refusal": {"min_confidence": 0.0}}


def test_it_says_where_it_listens_and_who_is_let_in(tmp_path: Path, model: tuple[str, Any]) -> None:
    write(tmp_path, model[0])
    with process(tmp_path) as (_, address):
        assert httpx.get(f"{address}/health").json() == {"status": "ok"}
        assert address.startswith("http://127.0.0.1:")
    assert "no API key was made: only this machine is let in" in (tmp_path / "log").read_text()
    key(tmp_path, "app")
    with process(tmp_path) as (_, address):
        assert httpx.get(f"{address}/v1/documents").status_code == 401
    assert (tmp_path / "log").read_text().count("no API key was made") == 1


def refused(folder: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "ragkit.cli.main", "serve", "-c", "ragkit.yaml", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    return done.stderr


def test_without_a_key_it_does_not_listen_where_others_reach_it(tmp_path: Path, model: tuple[str, Any]) -> None:
    write(tmp_path, model[0])
    assert "there is no API key; make one: ragkit keys create" in refused(tmp_path, "--host", "0.0.0.0")
    key(tmp_path, "app")
    with process(tmp_path, "--host", "0.0.0.0") as (_, address):
        assert httpx.get(address.replace("0.0.0.0", "127.0.0.1") + "/health").status_code == 200


def test_a_port_that_is_taken_is_one_line(tmp_path: Path, model: tuple[str, Any]) -> None:
    write(tmp_path, model[0])
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        error = refused(tmp_path, "--port", str(taken.getsockname()[1]))
    assert "cannot listen on 127.0.0.1 port" in error
    assert error.count("\n") == 1


def test_told_to_stop_it_answers_what_it_has_begun(tmp_path: Path, model: tuple[str, type[Words]]) -> None:
    url, handler = model
    write(tmp_path, url, generation=written_by(url))
    with process(tmp_path) as (server, address), httpx.Client(base_url=address, timeout=60) as client:
        upload(client, "kettle.md", KETTLE)
        handler.delay_s = 2.0
        with ThreadPoolExecutor(6) as pool:
            bodies = [{**ASK, "stream": number % 2 == 1} for number in range(6)]
            asked = [pool.submit(httpx.post, f"{address}/v1/ask", json=body, timeout=60) for body in bodies]
            while len(handler.asked) < 6:
                time.sleep(0.02)
            server.send_signal(signal.SIGTERM)
            answers = [future.result() for future in asked]
        assert server.wait(timeout=60) == 0
    assert [answer.status_code for answer in answers] == [200] * 6
    for body, answer in zip(bodies, answers, strict=True):
        whole = dict(events_of(answer.text))["done"] if body["stream"] else answer.json()
        assert whole["answer"].startswith("The kettle holds two litres")
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{address}/health")


def test_told_to_stop_it_does_not_wait_for_ever(tmp_path: Path, model: tuple[str, type[Words]]) -> None:
    url, handler = model
    write(tmp_path, url, generation=written_by(url), serve={"stop_s": 1.0})
    with process(tmp_path) as (server, address), httpx.Client(base_url=address, timeout=60) as client:
        upload(client, "kettle.md", KETTLE)
        handler.delay_s = 30.0
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(httpx.post, f"{address}/v1/ask", json=ASK, timeout=60)
            while not handler.asked:
                time.sleep(0.02)
            server.send_signal(signal.SIGTERM)
            assert server.wait(timeout=25) == 0
            cut_off = asked.exception() is not None or asked.result().status_code >= 500
            assert cut_off, "the request is not taken for answered"


@pytest.mark.parametrize("at", ["queued", "indexing"])
def test_a_kill_loses_no_upload(tmp_path: Path, model: tuple[str, type[Words]], at: str) -> None:
    url, handler = model
    write(tmp_path, url)
    with process(tmp_path) as (server, address), httpx.Client(base_url=address, timeout=60) as client:
        upload(client, "kettle.md", KETTLE)
        handler.embed_s = 5.0
        new = KETTLE.replace(b"two", b"three")
        sent = client.post("/v1/documents", files={"file": ("kettle.md", new)}).json()
        if at == "indexing":
            while client.get(f"/v1/uploads/{sent['id']}").json()["state"] != "indexing":
                time.sleep(0.02)
            time.sleep(0.5)
        os.kill(server.pid, signal.SIGKILL)
        server.wait()
    handler.embed_s = 0.0
    with process(tmp_path) as (_, address), httpx.Client(base_url=address, timeout=60) as client:
        assert over(client, sent["id"])["state"] == "done"
        assert "three litres" in client.get("/v1/documents/_/kettle.md").json()["text"]
        assert len(client.get("/v1/documents").json()["documents"]) == 1
        assert list((tmp_path / "serve" / "incoming").iterdir()) == []


def test_stopped_while_it_indexes_it_goes_on_at_the_next_start(tmp_path: Path, model: tuple[str, type[Words]]) -> None:
    url, handler = model
    write(tmp_path, url)
    with process(tmp_path) as (server, address), httpx.Client(base_url=address, timeout=60) as client:
        handler.embed_s = 3.0
        sent = client.post("/v1/documents", files={"file": ("kettle.md", KETTLE)}).json()
        while client.get(f"/v1/uploads/{sent['id']}").json()["state"] != "indexing":
            time.sleep(0.02)
        server.send_signal(signal.SIGTERM)
        assert server.wait(timeout=60) == 0
    handler.embed_s = 0.0
    with process(tmp_path) as (_, address), httpx.Client(base_url=address, timeout=60) as client:
        assert over(client, sent["id"])["state"] == "done"


def test_a_new_config_comes_into_force_without_a_request_lost(tmp_path: Path, model: tuple[str, type[Words]]) -> None:
    url, _ = model
    write(tmp_path, url)
    with process(tmp_path) as (server, address), httpx.Client(base_url=address, timeout=60) as client:
        upload(client, "kettle.md", KETTLE)
        before = client.post("/v1/ask", json=ASK).json()["config_hash"]
        write(tmp_path, url, retrieval={"top_k": 3})
        hashes: list[str] = []

        def ask(_: int) -> int:
            answer = httpx.post(f"{address}/v1/ask", json=ASK, timeout=60)
            hashes.append(answer.json()["config_hash"])
            return answer.status_code

        with ThreadPoolExecutor(4) as pool:
            codes = list(pool.map(ask, range(10)))
            server.send_signal(signal.SIGHUP)
            while hashes[-1] == before:
                codes += pool.map(ask, range(4))
        assert set(codes) == {200}
        assert len(set(hashes)) == 2

        (tmp_path / "ragkit.yaml").write_text("retrieval: {topk: 1}\n", encoding="utf-8")
        server.send_signal(signal.SIGHUP)
        while "was not reloaded" not in (tmp_path / "log").read_text():
            time.sleep(0.05)
        assert "unknown key; did you mean top_k?" in (tmp_path / "log").read_text()
        assert client.post("/v1/ask", json=ASK).json()["config_hash"] == hashes[-1]

        write(tmp_path, url, serve={"folder": str(tmp_path / "elsewhere")})
        server.send_signal(signal.SIGHUP)
        while "another serve.folder needs a new start" not in (tmp_path / "log").read_text():
            time.sleep(0.05)


def test_a_reader_that_goes_away_ends_its_question(tmp_path: Path, model: tuple[str, type[Words]]) -> None:
    url, handler = model
    ledger = {"ledger": str(tmp_path / "ledger.sqlite"), "prices": {"m": {"output": 1.0}, "words": {"input": 0.0}}}
    write(tmp_path, url, generation=written_by(url), costs=ledger, serve={"concurrency": 1, "waiting": 0})
    with process(tmp_path) as (_, address), httpx.Client(base_url=address, timeout=60) as client:
        upload(client, "kettle.md", KETTLE)
        handler.delay_s = 20.0
        with client.stream("POST", "/v1/ask", json={**ASK, "stream": True}) as response:
            first = next(response.iter_lines())
            assert first == "event: retrieved"
        handler.delay_s = 0.0
        while client.get("/v1/documents").status_code == 429:
            time.sleep(0.05)
        assert client.post("/v1/ask", json=ASK).status_code == 200
    command = [sys.executable, "-m", "ragkit.cli.main", "cost", "report", "-c", "ragkit.yaml", "--json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["total"]["calls"] == 2, "what a model had begun is in the ledger"
