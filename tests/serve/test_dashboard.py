"""The figures of the dashboard: how questions ended, what they cost, and of whom one sees it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from ragkit.serve.access import ANYBODY, Caller
from ragkit.serve.database import Database
from ragkit.serve.outcomes import Outcomes
from ragkit.types import Answer
from tests.serve.serving import KETTLE, LAMP, Words, app_client, config_in, key, service, upload

ACME, UMBRELLA = Caller("a", "acme", "admin"), Caller("u", "umbrella", "admin")


def answer(ms: float, **fields: object) -> Answer:
    return Answer("", bool(fields.get("reason")), (), (), "m", "h", "t", {"total": ms}, **fields)  # type: ignore[arg-type]


@pytest.fixture
def database(tmp_path: Path):
    opened = Database(tmp_path)
    yield opened
    opened.close()


def test_questions_are_counted_by_how_they_ended(database: Database) -> None:
    outcomes = Outcomes(database)
    for ms in (10.0, 20.0, 30.0):
        outcomes.answered(ACME, answer(ms, cache="exact" if ms == 10 else "miss"))
    outcomes.answered(ACME, answer(40.0, reason="evidence_too_weak"))
    outcomes.answered(ACME, answer(50.0, degraded=True))
    outcomes.failed(ACME, "timeout", 9000.0)
    outcomes.answered(UMBRELLA, answer(60.0))
    figures = outcomes.figures(ACME, 0.0)
    assert figures["all"] == {
        "questions": 6, "refused": 1, "failed": 1, "degraded": 1, "median_ms": 30.0, "p95_ms": 48.0,
    }  # fmt: skip
    assert figures["refusals"] == {"evidence_too_weak": 1}
    assert figures["failures"] == {"timeout": 1}
    assert figures["cache"] == {"exact": 1, "miss": 2, "off": 2}
    assert [(line["tenant"], line["key"]) for line in figures["keys"]] == [("acme", "a")]
    assert len(figures["days"]) == 1
    assert outcomes.figures(ANYBODY, 0.0)["all"]["questions"] == 7
    empty = outcomes.figures(ACME, time.time() + 60)
    assert (empty["all"]["questions"], empty["all"]["median_ms"]) == (0, None)


def test_the_oldest_are_forgotten(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ragkit.serve.outcomes._KEPT", 3)
    outcomes = Outcomes(database)
    for _ in range(5):
        outcomes.answered(ACME, answer(1.0))
    assert outcomes.figures(ACME, 0.0)["all"]["questions"] == 3


def ask(client: TestClient, headers: dict[str, str], question: str, stream: bool = False) -> None:
    client.post("/v1/ask", json={"question": question, "stream": stream}, headers=headers)


def test_a_tenant_sees_its_own_figures_and_an_operator_all(tmp_path: Path) -> None:
    with service(Words) as (url, _):
        config = config_in(
            tmp_path,
            url,
            generation={"backend": "openai", "model": "m", "base_url": url, "refusal": {"min_confidence": 0.0}},
            costs={
                "ledger": str(tmp_path / "ledger.sqlite"),
                "prices": {"m": {"input": 10.0, "output": 10.0}, "words": {"input": 0.0}},
            },
        )
        acme = key(tmp_path, "acme", tenant="acme", role="admin")
        umbrella = key(tmp_path, "umbrella", tenant="umbrella", role="admin")
        root = key(tmp_path, "root", role="admin")
        with app_client(config) as client:
            upload(client, "kettle.md", KETTLE, acme)
            upload(client, "lamp.md", LAMP, umbrella)
            ask(client, acme, "How much water does the kettle hold?")
            ask(client, umbrella, "How long does the lamp burn?", stream=True)
            ask(client, umbrella, "How many hours does the lamp burn?")
            own = client.get("/v1/dashboard", headers=acme)
            every = client.get("/v1/dashboard?days=2", headers=root).json()
            writer = key(tmp_path, "writer", role="write")
            assert client.get("/v1/dashboard", headers=writer).status_code == 403
    assert "umbrella" not in own.text
    assert own.json()["all"]["questions"] == 1
    assert own.json()["statuses"] is None
    assert [line["group"] for line in own.json()["spent"]["tenant"]] == ["acme"]
    assert every["all"]["questions"] == 3
    assert every["statuses"]["200"] > 3
    by_tenant = {line["group"]: line for line in every["spent"]["tenant"]}
    assert by_tenant["umbrella"]["calls"] == 2
    assert by_tenant["umbrella"]["nano_usd"] == 2 * 110 * 10_000
    assert by_tenant["acme"]["input_tokens"] >= 100
    assert {line["group"] for line in every["spent"]["model"]} >= {"m"}


def test_what_fails_is_counted_as_such(tmp_path: Path, model_url: str) -> None:
    generation = {"backend": "openai", "model": "m", "base_url": "http://127.0.0.1:9/v1"}
    generation["refusal"] = {"min_confidence": 0.0}  # type: ignore[assignment]
    with app_client(config_in(tmp_path, model_url, generation=generation)) as client:
        upload(client, "kettle.md", KETTLE)
        for stream in (False, True):
            ask(client, {}, "How much water does the kettle hold?", stream)
        figures = client.get("/v1/dashboard").json()
    assert figures["failures"] == {"service_failed": 2}
    assert (figures["all"]["failed"], figures["all"]["median_ms"], figures["spent"]) == (2, None, None)
