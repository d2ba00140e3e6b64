"""Tenants: every route, header, filter and metric is tried to see another's data, and shows none."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from ragkit import Ragkit
from tests.serve.serving import app_client, config_in, key, upload

SECRET = "zanzibar"
"""A word that stands in every document of the victim and in nothing else."""
OURS = b"# Ours\n\nThe code word of acme is apple. The victim has a code word too.\n"
THEIRS = f"# {SECRET} plan\n\nThe code word of umbrella is {SECRET}. It opens the {SECRET} door.\n".encode()


@dataclass
class World:
    client: TestClient
    acme: dict[str, str]
    umbrella: dict[str, str]
    nobody: dict[str, str]
    seen: dict[str, Any] = field(default_factory=dict[str, Any])


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, model_url: str) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("tenants")
    config = config_in(folder, model_url)
    rows = [
        {"id": "1", "text": f"The operator's row of umbrella says {SECRET}.", "metadata": {"tenant": "umbrella"}},
        {"id": "2", "text": f"A row of nobody says {SECRET}."},
        {"id": "3", "text": "A row for acme and others says apple.", "metadata": {"tenant": ["acme", "other"]}},
    ]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    with Ragkit(config) as rag:
        rag.index([folder / "rows.jsonl"])
    keys = {
        name: key(folder, name, tenant=tenant, role="admin", requests_per_minute=10_000)
        for name, tenant in (("acme", "acme"), ("umbrella", "umbrella"), ("root", ""))
    }
    with app_client(config) as client:
        made = World(client, keys["acme"], keys["umbrella"], keys["root"])
        assert upload(client, "plan.md", OURS, made.acme)["documents"] == ["acme/plan.md"]
        theirs = upload(client, "plan.md", THEIRS, made.umbrella)
        assert theirs["documents"] == ["umbrella/plan.md"]
        answer = client.post("/v1/ask", json={"question": f"What is {SECRET}?"}, headers=made.umbrella).json()
        document = client.get("/v1/documents/umbrella/plan.md", headers=made.umbrella).json()
        told = {"trace_id": answer["trace_id"], "verdict": "down", "reason": SECRET}
        assert client.post("/v1/feedback", json=told, headers=made.umbrella).status_code == 201
        made.seen = {"upload": theirs["id"], "trace": answer["trace_id"], "chunk": document["chunks"][0]["chunk_id"]}
        assert SECRET in answer["answer"]
        yield made


def shows_nothing(text: str) -> None:
    assert SECRET not in text.casefold()
    assert "umbrella" not in text.casefold().replace('"field":"tenant"', "")


FILTERS: list[list[dict[str, Any]]] = [
    [],
    [{"field": "tenant", "eq": "umbrella"}],
    [{"field": "tenant", "any": ["acme", "umbrella"]}],
    [{"or": [{"field": "tenant", "eq": "umbrella"}, {"not": {"field": "tenant", "eq": "umbrella"}}]}],
    [{"not": {"field": "tenant", "eq": "acme"}}],
    [{"not": {"and": [{"field": "tenant", "eq": "acme"}, {"field": "tenant", "eq": "umbrella"}]}}],
    [{"field": "source_document", "eq": "umbrella/plan.md"}],
    [{"field": "folder", "eq": "umbrella"}],
]


@pytest.mark.parametrize("filters", FILTERS, ids=range(len(FILTERS)))
@pytest.mark.parametrize("strategy", ["dense", "sparse", "hybrid"])
def test_no_search_finds_another_tenants_passages(world: World, filters: list[Any], strategy: str) -> None:
    body = {"question": f"code word {SECRET} umbrella", "filters": filters, "strategy": strategy, "top_k": 100}
    found = world.client.post("/v1/search", json=body, headers=world.acme)
    assert found.status_code == 200
    shows_nothing(found.text)


@pytest.mark.parametrize("filters", FILTERS, ids=range(len(FILTERS)))
@pytest.mark.parametrize("stream", [False, True])
def test_no_answer_and_no_event_shows_another_tenants_documents(world: World, filters: list[Any], stream: bool) -> None:
    body = {"question": "What is the code word of the victim?", "filters": filters, "stream": stream}
    shown = world.client.post("/v1/ask", json=body, headers=world.acme)
    assert shown.status_code == 200
    shows_nothing(shown.text)


@pytest.mark.parametrize(
    "path",
    [
        "/v1/documents",
        "/v1/documents?after=acme",
        "/v1/documents?after=umbrell",
        "/v1/documents?limit=1000",
        "/v1/uploads",
        "/v1/feedback",
        "/v1/feedback?limit=1000",
        "/v1/me",
        "/v1/fields",
        "/v1/cases",
        "/v1/dashboard",
        "/v1/playground",
        "/health",
        "/ready",
        "/openapi.json",
        "/metrics",
    ],
)
def test_no_list_and_no_metric_shows_anything_of_another_tenant(world: World, path: str) -> None:
    shows_nothing(world.client.get(path, headers=world.acme).text)


def test_what_is_another_tenants_looks_like_what_is_not_there(world: World) -> None:
    """The same status and the same words, so that nobody learns that a name is taken."""
    seen, client = world.seen, world.client
    pairs = [
        ("GET", f"/v1/chunks/{seen['chunk']}", "/v1/chunks/6f1c1f0e-8a3c-5b52-9a51-0a8a4c1f2d3e"),
        ("GET", "/v1/documents/umbrella/plan.md", "/v1/documents/umbrella/none.md"),
        ("GET", "/v1/documents/rows.jsonl%231", "/v1/documents/rows.jsonl%239"),
        ("GET", "/v1/documents/rows.jsonl%232", "/v1/documents/rows.jsonl%239"),
        ("GET", "/v1/documents/acme/../umbrella/plan.md", "/v1/documents/umbrella/none.md"),
        ("DELETE", "/v1/documents/umbrella/plan.md", "/v1/documents/umbrella/none.md"),
        ("GET", f"/v1/uploads/{seen['upload']}", f"/v1/uploads/{'0' * 32}"),
        ("DELETE", f"/v1/uploads/{seen['upload']}", f"/v1/uploads/{'0' * 32}"),
        ("GET", "/v1/sheets/1/umbrella/plan.md", "/v1/sheets/1/umbrella/none.md"),
        ("GET", "/v1/marks/1/umbrella/plan.md?start=0&end=9", "/v1/marks/1/umbrella/none.md?start=0&end=9"),
    ]
    for method, theirs, none in pairs:
        found, missing = (client.request(method, path, headers=world.acme) for path in (theirs, none))
        assert found.status_code == missing.status_code == 404
        drop = ("trace_id",)
        bodies = [{k: v for k, v in answer.json()["error"].items() if k not in drop} for answer in (found, missing)]
        assert bodies[0] == bodies[1]
    assert client.get("/v1/documents/umbrella/plan.md", headers=world.umbrella).status_code == 200


def test_nobody_is_told_why_of_another_tenants_chunk(world: World) -> None:
    """Nor how many chunks others have: the stages rank those of the caller."""
    asked = {"question": f"What is the code word, {SECRET}?"}
    none = {**asked, "chunk_id": "6f1c1f0e-8a3c-5b52-9a51-0a8a4c1f2d3e"}
    theirs = {**asked, "chunk_id": world.seen["chunk"]}
    answers = [world.client.post("/v1/why", json=body, headers=world.acme) for body in (none, theirs)]
    assert [answer.status_code for answer in answers] == [404, 404]
    assert answers[0].json()["error"]["message"] == answers[1].json()["error"]["message"]
    document = world.client.get("/v1/documents/acme/plan.md", headers=world.acme).json()
    own = world.client.post(
        "/v1/why", json={**asked, "chunk_id": document["chunks"][0]["chunk_id"]}, headers=world.acme
    )
    shown = world.client.post("/v1/search", json={**asked, "top_k": 100}, headers=world.acme).json()["passages"]
    dense = next(stage for stage in own.json()["stages"] if stage["stage"] == "dense")
    assert dense["ranked"] == len(shown)


def test_nobody_judges_another_tenants_answer(world: World) -> None:
    told = {"trace_id": world.seen["trace"], "verdict": "up"}
    assert world.client.post("/v1/feedback", json=told, headers=world.acme).status_code == 404


@pytest.mark.parametrize(
    "header",
    [
        {"X-Tenant": "umbrella"},
        {"X-Tenant-Id": "umbrella"},
        {"X-Forwarded-User": "umbrella"},
        {"X-Forwarded-For": "127.0.0.1"},
        {"Cookie": "tenant=umbrella"},
        {"X-HTTP-Method-Override": "DELETE"},
        {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"},
    ],
    ids=str,
)
def test_no_header_makes_one_tenant_another(world: World, header: dict[str, str]) -> None:
    body = {"question": f"code word {SECRET} umbrella", "top_k": 100}
    for path in ("/v1/documents?tenant=umbrella", "/v1/uploads?tenant=umbrella"):
        shows_nothing(world.client.get(path, headers={**world.acme, **header}).text)
    shows_nothing(world.client.post("/v1/search", json=body, headers={**world.acme, **header}).text)


def test_two_keys_in_one_request_are_no_way_in(world: World) -> None:
    both = [("Authorization", world.acme["Authorization"]), ("Authorization", world.umbrella["Authorization"])]
    for headers in (both, both[::-1]):
        shown = world.client.get("/v1/documents", headers=headers)
        listed = [line["name"] for line in shown.json().get("documents", [])]
        assert not ({"acme/plan.md", "umbrella/plan.md"} <= set(listed)), "never both"


def test_an_upload_cannot_go_to_another_tenant(world: World) -> None:
    before = world.client.get("/v1/documents/umbrella/plan.md", headers=world.umbrella).json()["text"]
    front = b"---\ntenant: umbrella\n---\n# Planted\n\nThe code word of umbrella is poison.\n"
    for name in ("../umbrella/plan.md", "umbrella/plan.md", "..\\umbrella\\plan.md", "planted.md"):
        assert upload(world.client, name, front, world.acme)["state"] == "done"
    assert world.client.get("/v1/documents/umbrella/plan.md", headers=world.umbrella).json()["text"] == before
    found = world.client.post("/v1/search", json={"question": "poison", "top_k": 100}, headers=world.umbrella)
    assert "poison" not in found.text
    planted = world.client.get("/v1/documents/acme/planted.md", headers=world.acme).json()
    assert planted["metadata"]["tenant"] == "acme"


def test_a_document_of_several_tenants_is_seen_by_each_and_one_of_none_by_no_tenant(world: World) -> None:
    assert world.client.get("/v1/documents/rows.jsonl%233", headers=world.acme).status_code == 200
    assert world.client.get("/v1/documents/rows.jsonl%233", headers=world.umbrella).status_code == 404
    assert world.client.get("/v1/documents/rows.jsonl%232", headers=world.umbrella).status_code == 404
    assert world.client.get("/v1/documents/rows.jsonl%232", headers=world.nobody).status_code == 200


def test_metrics_are_for_an_admin_of_no_tenant_and_name_nobody(world: World) -> None:
    assert world.client.get("/metrics", headers=world.acme).status_code == 403
    text = world.client.get("/metrics", headers=world.nobody).text
    assert "ragkit_requests_total" in text
    assert "acme" not in text
    shows_nothing(text)


def test_limits_of_one_tenant_are_not_spent_by_another(tmp_path: Path, model_url: str) -> None:
    with app_client(config_in(tmp_path, model_url)) as client:
        one, other = (key(tmp_path, name, tenant=name, requests_per_minute=2) for name in ("one", "other"))
        assert [client.get("/v1/documents", headers=one).status_code for _ in range(3)] == [200, 200, 429]
        assert client.get("/v1/documents", headers=other).status_code == 200
