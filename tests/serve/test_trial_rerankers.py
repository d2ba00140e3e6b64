"""Trials with rerankers of the catalogue and changes of the question: what is here, in bounds, and without a model
that writes."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from fastapi.testclient import TestClient

from ragkit.rerank.cross_encoder import load_cross_encoder
from ragkit.serve import trial_rerankers
from ragkit.serve.problems import Problem
from ragkit.serve.trial_rerankers import TrialRerankers, choices
from tests.rerank.test_cross_encoder import build
from tests.serve.serving import KETTLE, LAMP, app_client, config_in, key, process, service, settings_in, upload

QUESTION = "How much water does the kettle hold?"
SMALL, OTHER = "ms-marco-MiniLM-L-6-v2", "ms-marco-MiniLM-L-12-v2"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("made"), "Sigmoid")


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Path:
    """The cache of the Hub's client with two rerankers of the catalogue: small ones of our own, under their names."""
    root = tmp_path_factory.mktemp("hub")
    for name in (SMALL, OTHER):
        repo = root / f"models--cross-encoder--{name}"
        shutil.copytree(model, repo / "snapshots" / "abc")
        (repo / "refs").mkdir()
        (repo / "refs" / "main").write_text("abc", encoding="utf-8")
    return root


@pytest.fixture(autouse=True)
def fetched(monkeypatch: pytest.MonkeyPatch, hub: Path) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(hub))


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, model_url: str) -> Iterator[TestClient]:
    with app_client(config_in(tmp_path_factory.mktemp("trials"), model_url)) as opened:
        upload(opened, "kettle.md", KETTLE)
        upload(opened, "lamp.md", LAMP)
        body = {"question": QUESTION, "evidence": [{"document": "_/kettle.md", "quote": "two litres"}]}
        assert opened.post("/v1/cases", json=body).status_code == 201
        yield opened


def search(client: TestClient, **body: Any) -> list[dict[str, Any]]:
    answer = client.post("/v1/playground/search", json={"question": QUESTION, **body})
    assert answer.status_code == 200, answer.text
    return answer.json()["passages"]


def test_the_state_says_which_can_be_tried_and_how_the_others_are_fetched(client: TestClient) -> None:
    state = client.get("/v1/playground").json()
    states = {one["name"]: one["state"] for one in state["rerankers"]}
    assert states == {
        SMALL: "here", OTHER: "here", "bge-reranker-base": "missing", "bge-reranker-large": "too_large",
        "bge-reranker-v2-m3": "too_large",
    }  # fmt: skip
    base = next(one for one in state["rerankers"] if one["name"] == "bge-reranker-base")
    assert (base["size"], base["fetch"]) == ("1.1 GB", "ragkit models fetch bge-reranker-base")
    assert (state["reranker"], state["reranker_name"]) == (False, "")


def test_one_that_is_here_ranks_and_is_not_in_force(client: TestClient, hub: Path) -> None:
    found = search(client, reranker=SMALL, settings={"rerank_candidates": 20})
    own = load_cross_encoder(SMALL).scores(QUESTION, [one["text"] for one in found])
    assert own == sorted(own, reverse=True)
    assert [one["stages"]["reranked"]["rank"] for one in found] == list(range(1, len(found) + 1))
    assert "reranked" not in search(client)[0]["stages"]
    assert "reranked" not in search(client, rerank=False, reranker=SMALL)[0]["stages"]
    recalled = client.post("/v1/playground/recall", json={"reranker": SMALL}).json()
    assert (recalled["asked"], recalled["recall"]) == (1, 1.0)


@pytest.mark.parametrize(
    ("name", "status", "told"),
    [
        ("bge-reranker-base", 409, "ragkit models fetch bge-reranker-base"),
        ("bge-reranker-v2-m3", 409, "too large"),
        ("all-MiniLM-L6-v2", 422, "no such reranker"),
        ("/etc/passwd", 422, "no such reranker"),
    ],
)
def test_another_is_refused_with_what_to_do(client: TestClient, name: str, status: int, told: str) -> None:
    for path in ("search", "recall"):
        body = {"reranker": name} | ({"question": QUESTION} if path == "search" else {})
        answer = client.post(f"/v1/playground/{path}", json=body)
        assert (answer.status_code, told in answer.json()["error"]["message"]) == (status, True)


def test_a_reader_tries_nothing(tmp_path: Path, model_url: str) -> None:
    reader = key(tmp_path, "reader")
    with app_client(config_in(tmp_path, model_url)) as client:
        body = {"question": QUESTION, "reranker": SMALL}
        assert client.post("/v1/playground/search", json=body, headers=reader).status_code == 403


def test_they_are_kept_while_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    rerankers, sizes = TrialRerankers(), {one.name: one.size for one in choices()}
    assert (sizes[SMALL], sizes[OTHER]) == ("91 MB", "134 MB")
    with rerankers.used(SMALL, 1) as first:
        pass
    busy = pytest.raises(Problem, match="another reranker is being tried")
    with rerankers.used(OTHER, 1), busy, rerankers.used(SMALL, 0):
        pass
    with rerankers.used(SMALL, 1) as again:
        assert again is first
    monkeypatch.setattr(trial_rerankers, "_ROOM", 150_000_000)
    with rerankers.used(OTHER, 1):
        pass
    with rerankers.used(SMALL, 1) as anew:
        assert anew is not first


def test_one_waits_for_the_other() -> None:
    rerankers, order = TrialRerankers(), list[str]()

    def theirs() -> None:
        with rerankers.used(SMALL, 20):
            order.append("theirs")

    with rerankers.used(OTHER, 1):
        thread = threading.Thread(target=theirs)
        thread.start()
        thread.join(0.2)
        order.append("mine")
    thread.join(20)
    assert order == ["mine", "theirs"]


def test_what_cannot_be_loaded_is_told_without_its_place(
    tmp_path: Path, hub: Path, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(hub, tmp_path / "hub")
    broken = tmp_path / "hub" / f"models--cross-encoder--{OTHER}" / "snapshots" / "abc" / "model.safetensors"
    broken.write_bytes(b"nonsense")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    answer = client.post("/v1/playground/search", json={"question": QUESTION, "reranker": OTHER})
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "not_usable")
    assert str(tmp_path) not in answer.text


def test_changes_of_the_question_are_tried_by_rule(client: TestClient) -> None:
    state = client.get("/v1/playground").json()["transforms"]
    assert [one["name"] for one in state if one["tried"]] == ["spelling", "acronyms", "multi_query", "decompose"]
    asked = {"question": "How much does the ketle hold?", "settings": {"strategy": "sparse", "top_k": 1}}
    assert search(client, **{**asked, "question": "ketle"}) == []
    corrected = search(client, **{**asked, "question": "ketle"}, transforms=["spelling"])
    assert corrected[0]["source_document"] == "_/kettle.md"
    parts = {"question": "the kettle versus the lamp", "settings": {"strategy": "dense"}}
    assert search(client, **parts, transforms=["decompose"])[0]["score"] != search(client, **parts)[0]["score"]


def test_no_language_model_is_asked(tmp_path: Path) -> None:
    with service() as (url, writer):
        generation = {"backend": "openai", "model": "m", "base_url": url}
        config = config_in(tmp_path, url, generation=generation, retrieval={"transforms": ["spelling", "hyde"]})
        with app_client(config) as client:
            upload(client, "kettle.md", KETTLE)
            state = {one["name"]: one for one in client.get("/v1/playground").json()["transforms"]}
            assert [name for name, one in state.items() if one["tried"]] == ["spelling", "acronyms"]
            assert (state["hyde"]["in_force"], state["acronyms"]["in_force"]) == (True, False)
            for transforms in (None, ["multi_query", "decompose", "hyde"], ["spelling"]):
                assert search(client, transforms=transforms)
            assert writer.asked == []


@pytest.mark.parametrize("transforms", [["magic"], ["spelling"] * 6, "spelling"])
def test_only_known_changes_of_the_question_are_taken(client: TestClient, transforms: Any) -> None:
    body = {"question": QUESTION, "transforms": transforms}
    assert client.post("/v1/playground/search", json=body).status_code == 422


@pytest.mark.integration
def test_one_that_is_here_can_be_written_into_the_config(tmp_path: Path) -> None:
    file = tmp_path / "ragkit.yaml"
    with service() as (url, _):
        file.write_text(yaml.safe_dump(settings_in(tmp_path, url)), encoding="utf-8")
        with process(tmp_path) as (_, address), httpx.Client(base_url=address, timeout=120) as client:
            upload(client, "kettle.md", KETTLE)
            missing = client.post("/v1/playground/config", json={"settings": {}, "reranker": "bge-reranker-base"})
            assert missing.status_code == 409
            assert "reranking" not in yaml.safe_load(file.read_text(encoding="utf-8")).get("retrieval", {})
            done = client.post("/v1/playground/config", json={"settings": {}, "reranker": SMALL}).json()
            assert done["in_force"] is True
            written = yaml.safe_load(file.read_text(encoding="utf-8"))["retrieval"]["reranking"]
            assert written == {"backend": "cross_encoder", "model": SMALL}
            state = client.get("/v1/playground").json()
            assert (state["reranker"], state["reranker_name"]) == (True, SMALL)
            found = client.post("/v1/search", json={"question": QUESTION}).json()["passages"]
            assert "reranked" in found[0]["stages"]
            off = client.post("/v1/playground/config", json={"settings": {}, "rerank": False}).json()
            assert off == {"written": {"retrieval.reranking.backend": "none"}, "in_force": True}
