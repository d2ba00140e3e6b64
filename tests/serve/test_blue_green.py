"""A server goes over to an index of other settings, and back, while it is asked: no request fails."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import httpx
import pytest
import yaml

from ragkit.config.hashing import config_hash
from ragkit.config.schema import Config
from ragkit.system import Ragkit
from tests.repeating import repeated
from tests.serve.serving import KETTLE, LAMP, events_of, process, service, settings_in, upload

pytestmark = pytest.mark.integration

QUESTION = "How much water does the kettle hold?"


def run_index(folder: Path, *arguments: str) -> None:
    command = [sys.executable, "-m", "ragkit.cli.main", "index", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


class Asking:
    """Asks a server in each of the ways that search; by which config it answered, and what it refused."""

    def __init__(self, client: httpx.Client) -> None:
        self.hashes: list[str] = []
        self.refused: list[str] = []
        self._client = client

    def ways(self) -> list[Callable[[], None]]:
        return [partial(self._tried, way) for way in (self._ask, self._stream, self._why)]

    def _tried(self, way: Callable[[httpx.Client], None]) -> None:
        try:
            way(self._client)
        except Exception as error:
            self.refused.append(repr(error))

    def _ask(self, client: httpx.Client) -> None:
        answer = client.post("/v1/ask", json={"question": QUESTION})
        self._note(answer)
        self.hashes.append(answer.json()["config_hash"])

    def _stream(self, client: httpx.Client) -> None:
        answer = client.post("/v1/ask", json={"question": QUESTION, "stream": True})
        self._note(answer)
        done = dict(events_of(answer.text))["done"]
        assert "two litres" in done["answer"]
        self.hashes.append(done["config_hash"])

    def _why(self, client: httpx.Client) -> None:
        answer = client.post("/v1/ask", json={"question": QUESTION})
        self._note(answer)
        chunk_id = answer.json()["citations"][0]["chunk_id"]
        found = client.post("/v1/why", json={"question": QUESTION, "chunk_id": chunk_id})
        if found.status_code != 404:  # a chunk of the index before
            self._note(found)

    def _note(self, response: httpx.Response) -> None:
        if response.status_code != 200:
            self.refused.append(response.text)

    def reaches(self, name: str) -> None:
        deadline = time.monotonic() + 60
        while self.hashes[-1:] != [name]:
            assert time.monotonic() < deadline, f"it never answered by {name}"
            time.sleep(0.02)


@pytest.mark.timeout(300)
def test_a_server_follows_a_switch_and_a_rollback(tmp_path: Path) -> None:
    with service() as (url, _):
        blue = settings_in(tmp_path, url, serve={"requests_per_minute": 1_000_000})
        green = settings_in(tmp_path, url, serve={"requests_per_minute": 1_000_000})
        green["ingestion"]["chunking"] = {"strategy": "fixed_size", "chunk_size": 200, "overlap": 0}
        green["ingestion"]["embedding"]["query_prefix"] = "question: "
        (tmp_path / "ragkit.yaml").write_text(yaml.safe_dump(blue), encoding="utf-8")
        (tmp_path / "green.yaml").write_text(yaml.safe_dump(green), encoding="utf-8")
        names = {name: config_hash(Config.model_validate(made)) for name, made in (("blue", blue), ("green", green))}
        with process(tmp_path) as (_, address), httpx.Client(base_url=address, timeout=60) as client:
            upload(client, "kettle.md", KETTLE)
            asking = Asking(client)
            with repeated(*asking.ways()):
                asking.reaches(names["blue"])
                run_index(tmp_path, "--blue-green", "--config", "green.yaml")
                asking.reaches(names["green"])
                run_index(tmp_path, "--rollback", "--config", "green.yaml")
                asking.reaches(names["blue"])
                run_index(tmp_path, "--rollback", "--config", "green.yaml")
                asking.reaches(names["green"])
            assert asking.refused == []
            assert set(asking.hashes) == set(names.values())
            assert upload(client, "lamp.md", LAMP)["state"] == "done", "by the settings that were switched to"
            assert "nine hours" in client.post("/v1/ask", json={"question": "How long does the lamp burn?"}).text
        # The config was not changed yet: a start in between follows, too.
        with process(tmp_path) as (_, address):
            answer = httpx.post(f"{address}/v1/ask", json={"question": QUESTION}, timeout=60).json()
            assert answer["config_hash"] == names["green"]
    with Ragkit(Config.model_validate(green)) as rag:
        assert rag.snapshot().store.count() == 2
