"""The playground's routes: settings within bounds, recall on saved cases, tenants, and writing into the config."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from fastapi.testclient import TestClient

from tests.serve.serving import KETTLE, LAMP, Words, app_client, config_in, key, process, service, settings_in, upload

QUESTION = "How much water does the kettle hold?"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, model_url: str) -> Iterator[TestClient]:
    folder = tmp_path_factory.mktemp("playground")
    with app_client(config_in(folder, model_url, retrieval={"transforms": ["spelling", "decompose"]})) as opened:
        upload(opened, "kettle.md", KETTLE)
        upload(opened, "lamp.md", LAMP)
        for question, document, quote in (
            (QUESTION, "_/kettle.md", "two litres"),
            ("How long does the lamp burn?", "_/lamp.md", "nine hours"),
            ("What else burns?", "_/lamp.md", "no such words"),
        ):
            body = {"question": question, "evidence": [{"document": document, "quote": quote}]}
            assert opened.post("/v1/cases", json=body).status_code == 201
        assert opened.post("/v1/cases", json={"question": "What is love?", "answerable": False}).status_code == 201
        yield opened


def search(client: TestClient, **body: Any) -> dict[str, Any]:
    answer = client.post("/v1/playground/search", json={"question": QUESTION, **body})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_what_is_in_force_can_be_seen(client: TestClient) -> None:
    state = client.get("/v1/playground").json()
    assert state["settings"]["strategy"] == "hybrid"
    assert (state["reranker"], state["cases"], state["may_write"]) == (False, 3, False)


def test_settings_are_tried_without_changing_what_is_in_force(client: TestClient) -> None:
    sparse = search(client, settings={"strategy": "sparse", "top_k": 1})
    assert [set(one["stages"]) for one in sparse["passages"]] == [{"sparse", "fused"}]
    assert set(search(client, settings={"strategy": "dense"})["passages"][0]["stages"]) == {"dense", "fused"}
    weighted = search(client, settings={"fusion": "weighted", "alpha": 1.0})
    assert weighted["passages"][0]["score"] != search(client)["passages"][0]["score"]
    assert "splade" not in search(client)["passages"][0]["stages"]
    assert client.get("/v1/playground").json()["settings"]["strategy"] == "hybrid"


def test_filters_are_those_of_the_command_line(client: TestClient) -> None:
    found = search(client, filters=["source_document=_/lamp.md"])["passages"]
    assert {one["source_document"] for one in found} == {"_/lamp.md"}
    wrong = client.post("/v1/playground/search", json={"question": QUESTION, "filters": ["nonsense"]})
    assert wrong.status_code == 400


@pytest.mark.parametrize(
    "settings",
    [
        {"top_k": 101},
        {"candidates": 1001},
        {"alpha": 2},
        {"strategy": "magic"},
        {"model": "evil"},
        {"splade_model": "x"},
    ],
)
def test_only_what_is_on_the_list_may_be_tried(client: TestClient, settings: dict[str, Any]) -> None:
    body = {"question": QUESTION, "settings": settings}
    assert client.post("/v1/playground/search", json=body).status_code == 422
    assert client.post("/v1/playground/recall", json={"settings": settings}).status_code == 422
    assert client.post("/v1/playground/config", json={"settings": settings}).status_code == 422


def test_recall_is_the_share_of_saved_cases_whose_evidence_is_found(client: TestClient) -> None:
    found = client.post("/v1/playground/recall", json={}).json()
    assert (found["asked"], found["of"], round(found["recall"], 3)) == (3, 3, 0.667)
    assert [case["rank"] for case in found["cases"]] == [1, 1, None]
    away = {"filters": ["source_document=_/lamp.md"]}
    assert [case["rank"] for case in client.post("/v1/playground/recall", json=away).json()["cases"]] == [None, 1, None]


class Reranker(Words):
    """Likes lamps."""

    def do_POST(self) -> None:  # noqa: N802 - the name that http.server calls
        if not self.path.endswith("/rerank"):
            super().do_POST()
            return
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        scores = [float("lamp" in text.casefold()) for text in body["documents"]]
        self._send({"results": [{"index": at, "relevance_score": score} for at, score in enumerate(scores)]})


def test_the_configured_reranker_can_be_left_out(tmp_path: Path) -> None:
    with service(Reranker) as (url, _):
        reranking = {"backend": "http", "base_url": url, "model": "m"}
        with app_client(config_in(tmp_path, url, retrieval={"reranking": reranking})) as client:
            upload(client, "kettle.md", KETTLE)
            upload(client, "lamp.md", LAMP)
            assert client.get("/v1/playground").json()["reranker"] is True
            assert search(client)["passages"][0]["source_document"] == "_/lamp.md"
            without = search(client, rerank=False)["passages"][0]
            assert without["source_document"] == "_/kettle.md"
            assert "reranked" not in without["stages"]
            weak = search(client, settings={"rerank_weight": 0.0})["passages"][0]
            assert (weak["source_document"], "reranked" in weak["stages"]) == ("_/kettle.md", True)


def test_what_there_is_no_time_for_is_not_asked(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ragkit.serve.routes.playground._SHARE_OF_TIME", -1.0)
    found = client.post("/v1/playground/recall", json={}).json()
    assert (found["asked"], found["of"], found["recall"]) == (0, 3, None)


def test_without_a_file_nothing_is_written(client: TestClient) -> None:
    answer = client.post("/v1/playground/config", json={"settings": {"top_k": 3}})
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "no_config_file")


def test_a_tenant_finds_its_own_only_and_never_writes(tmp_path: Path, model_url: str) -> None:
    acme = key(tmp_path, "acme", tenant="acme", role="admin")
    umbrella = key(tmp_path, "umbrella", tenant="umbrella", role="write")
    reader = key(tmp_path, "reader")
    with app_client(config_in(tmp_path, model_url)) as client:
        upload(client, "kettle.md", KETTLE, umbrella)
        upload(client, "lamp.md", LAMP, acme)
        body = {"question": QUESTION, "evidence": [{"document": "umbrella/kettle.md", "quote": "two litres"}]}
        client.post("/v1/cases", json=body, headers=umbrella)
        for filters in ([], ["tenant=umbrella"], ["tenant!=acme"]):
            asked = {"question": QUESTION, "filters": filters}
            shown = client.post("/v1/playground/search", json=asked, headers=acme)
            assert "kettle" not in shown.text
            assert client.post("/v1/playground/recall", json={"filters": filters}, headers=acme).json()["of"] == 0
        refused = client.post("/v1/playground/config", json={"settings": {"top_k": 3}}, headers=acme)
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "not_allowed")
        for path in ("search", "recall", "config"):
            assert client.post(f"/v1/playground/{path}", json=asked, headers=reader).status_code in (403, 422)
        assert client.get("/v1/playground", headers=reader).status_code == 403


@pytest.mark.integration
def test_settings_are_written_into_the_config_and_in_force_at_once(tmp_path: Path) -> None:
    file = tmp_path / "ragkit.yaml"
    with service() as (url, _):
        text = yaml.safe_dump(settings_in(tmp_path, url, retrieval={"candidates": 50}))
        file.write_text(f"# Chosen with care.\n{text}", encoding="utf-8")
        with process(tmp_path) as (_, address), httpx.Client(base_url=address, timeout=120) as client:
            upload(client, "kettle.md", KETTLE)
            while not client.get("/ready").json()["ready"]:
                pass
            body = {"settings": {"strategy": "sparse", "alpha": 0.25}}
            done = client.post("/v1/playground/config", json=body).json()
            assert done["in_force"] is True
            assert done["written"] == {"retrieval.strategy": "sparse", "retrieval.fusion.alpha": 0.25}
            assert client.get("/v1/playground").json()["settings"]["strategy"] == "sparse"
            found = client.post("/v1/search", json={"question": QUESTION}).json()["passages"]
            assert set(found[0]["stages"]) == {"sparse", "fused"}
            written = file.read_text(encoding="utf-8")
            assert written.startswith("# Chosen with care.\n")
            assert yaml.safe_load(written)["retrieval"] == {
                "candidates": 50, "strategy": "sparse", "fusion": {"alpha": 0.25},
            }  # fmt: skip
        with process(tmp_path, "--set", "retrieval.top_k=4") as (_, address):
            done = httpx.post(f"{address}/v1/playground/config", json={"settings": {"top_k": 7}}, timeout=120).json()
            assert done == {"written": {"retrieval.top_k": 7}, "in_force": False}
