"""Saved cases: a file that evaluations read, one for each tenant, of documents that the caller sees."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from ragkit.evaluate.cases import Case, read_jsonl
from ragkit.serve.access import ANYBODY, Caller
from ragkit.serve.case_file import CaseFile
from ragkit.serve.problems import Problem
from tests.serve.serving import KETTLE, app_client, config_in, key, upload

ASK: dict[str, Any] = {
    "question": "How much water does the kettle hold?",
    "answers": ["two litres"],
    "evidence": [{"document": "_/kettle.md", "quote": "two litres", "page": None}],
}
ACME = Caller("k", "acme", "write")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, model_url: str) -> Iterator[tuple[TestClient, Path]]:
    folder = tmp_path_factory.mktemp("cases")
    with app_client(config_in(folder, model_url)) as client:
        upload(client, "kettle.md", KETTLE)
        yield client, folder


def test_a_saved_case_is_read_by_evaluations(world: tuple[TestClient, Path]) -> None:
    client, folder = world
    saved = client.post("/v1/cases", json=ASK)
    assert saved.status_code == 201
    case = read_jsonl(folder / "serve/cases/_.jsonl")[-1]
    assert case.question == ASK["question"]
    assert (case.answers, case.evidence[0].quote, case.segment) == (("two litres",), "two litres", "saved")
    assert client.get("/v1/cases").json()["cases"][-1] == saved.json()
    assert client.delete(f"/v1/cases/{saved.json()['id']}").json() == {"removed": True}
    assert client.delete(f"/v1/cases/{saved.json()['id']}").status_code == 404


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"question": "  "}, 422),
        ({"answerable": False}, 422),
        ({"evidence": [{"document": "_/none.md"}]}, 404),
        ({"evidence": [{"document": "_/kettle.md", "page": 0}]}, 422),
        ({"more": 1}, 422),
    ],
)
def test_what_is_no_case_is_not_saved(world: tuple[TestClient, Path], change: dict[str, Any], status: int) -> None:
    assert world[0].post("/v1/cases", json={**ASK, **change}).status_code == status


def test_a_tenant_sees_saves_and_deletes_only_its_own(tmp_path: Path, model_url: str) -> None:
    config = config_in(tmp_path, model_url)
    acme = key(tmp_path, "acme", tenant="acme", role="write")
    umbrella = key(tmp_path, "umbrella", tenant="umbrella", role="write")
    reader = key(tmp_path, "reader", tenant="acme")
    with app_client(config) as client:
        upload(client, "kettle.md", KETTLE, umbrella)
        theirs = [{"document": "umbrella/kettle.md", "quote": "two litres"}]
        saved = client.post("/v1/cases", json={**ASK, "evidence": theirs}, headers=umbrella).json()
        assert client.get("/v1/cases", headers=acme).json() == {"cases": []}
        assert client.delete(f"/v1/cases/{saved['id']}", headers=acme).status_code == 404
        none = client.post("/v1/cases", json={**ASK, "evidence": [{"document": "umbrella/no.md"}]}, headers=acme)
        other = client.post("/v1/cases", json={**ASK, "evidence": theirs}, headers=acme)
        assert (none.status_code, other.status_code) == (404, 404)
        assert none.json()["error"]["message"] == other.json()["error"]["message"]
        for method, path in (("GET", "/v1/cases"), ("POST", "/v1/cases"), ("DELETE", f"/v1/cases/{saved['id']}")):
            assert client.request(method, path, json=ASK, headers=reader).status_code == 403
        assert read_jsonl(tmp_path / "serve/cases/umbrella.jsonl")[0].tenant == "umbrella"


def test_there_is_an_end_to_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ragkit.serve.case_file._MOST", 2)
    cases = CaseFile(tmp_path)
    for number in range(2):
        cases.add(ACME, Case(id=str(number), question="Why?"))
    with pytest.raises(Problem, match="2 cases are saved already"):
        cases.add(ACME, Case(id="3", question="Why?"))
    assert cases.remove(ACME, "0")
    assert cases.remove(ACME, "1")
    assert cases.cases(ACME) == []
    assert cases.cases(ANYBODY) == []


KILLED = """
import os, signal, sys
from pathlib import Path
from ragkit import durable
from ragkit.evaluate.cases import Case
from ragkit.serve.access import ANYBODY
from ragkit.serve.case_file import CaseFile
cases = CaseFile(Path(sys.argv[1]))
cases.add(ANYBODY, Case(id="1", question="First?"))
setattr({"file": durable.os, "folder": durable}[sys.argv[2]], {"file": "fsync", "folder": "sync"}[sys.argv[2]],
        lambda *_: os.kill(os.getpid(), signal.SIGKILL))
cases.add(ANYBODY, Case(id="2", question="Second?"))
"""


@pytest.mark.integration
@pytest.mark.parametrize(("synced", "left"), [("file", ["1"]), ("folder", ["1", "2"])])
def test_a_kill_leaves_the_file_of_before_or_the_new_one(tmp_path: Path, synced: str, left: list[str]) -> None:
    """Killed before the new file is synced, and after it took its place."""
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), synced], check=False, env={**os.environ})
    assert done.returncode == -signal.SIGKILL
    assert [case.id for case in CaseFile(tmp_path).cases(ANYBODY)] == left
