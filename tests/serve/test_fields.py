"""The fields that conditions can be put on: of what the caller sees, each value such that a filter finds it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from ragkit import Ragkit
from tests.serve.serving import app_client, config_in, key

METADATA: list[dict[str, Any]] = [
    {"team": "kitchen", "level": 2},
    {"team": "light", "due": "2026-03-01", "old": True},
    {"tenant": ["acme", "other"], "level": "high", "kind": "shop"},
]
ROWS = [{"id": str(at), "text": f"Row {at} is sold.", "metadata": one} for at, one in enumerate(METADATA)]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, model_url: str) -> Iterator[tuple[TestClient, dict[str, Any]]]:
    folder: Path = tmp_path_factory.mktemp("fields")
    config = config_in(folder, model_url)
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    with Ragkit(config) as rag:
        rag.index([folder / "rows.jsonl"])
    keys = {"root": key(folder, "root"), "acme": key(folder, "acme", tenant="acme")}
    with app_client(config) as client:
        yield client, keys


def fields(client: TestClient, headers: dict[str, str]) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in client.get("/v1/fields", headers=headers).json()["fields"]}


def test_fields_have_the_kind_of_their_values(world: tuple[TestClient, dict[str, Any]]) -> None:
    client, keys = world
    found = fields(client, keys["root"])
    kinds = {name: one["kind"] for name, one in found.items()}
    assert kinds.items() >= {
        ("team", "text"), ("due", "date"), ("old", "truth"), ("level", "any"), ("source_document", "text"),
    }  # fmt: skip
    assert found["team"]["values"] == ["kitchen", "light"]


def test_each_value_finds_something(world: tuple[TestClient, dict[str, Any]]) -> None:
    client, keys = world
    for name, field in fields(client, keys["root"]).items():
        for value in field["values"]:
            asked = {"question": "What is sold?", "filters": [{"field": name, "eq": value}]}
            assert client.post("/v1/search", json=asked, headers=keys["root"]).json()["passages"], (name, value)


def test_a_tenant_is_told_of_its_own_documents_only(world: tuple[TestClient, dict[str, Any]]) -> None:
    client, keys = world
    found = fields(client, keys["acme"])
    assert found["kind"]["values"] == ["shop"]
    assert {"team", "due", "old", "tenant"}.isdisjoint(found)


def test_without_an_index_there_are_the_fields_of_every_document(client: TestClient) -> None:
    assert set(fields(client, {})) == {"source_document", "title"}
