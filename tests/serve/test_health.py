"""Whether the server lives and can answer."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from ragkit import Ragkit
from ragkit.gateway.ledger import Ledger
from tests.serve.serving import KETTLE, app_client, config_in, service, upload


def ready(client: TestClient) -> dict[str, object]:
    """What /ready says when the models have had their time."""
    answer = client.get("/ready")
    for _ in range(600):
        answer = client.get("/ready")
        if answer.status_code == 200 or answer.json()["models"]:
            break
        time.sleep(0.05)
    assert (answer.status_code == 200) == answer.json()["ready"]
    return answer.json()


def test_it_is_ready_for_uploads_before_there_is_an_index_and_says_when_there_is_one(client: TestClient) -> None:
    assert client.get("/health").json() == {"status": "ok"}
    assert ready(client) == {"ready": True, "models": True, "index": "none"}
    upload(client, "kettle.md", KETTLE)
    assert ready(client) == {"ready": True, "models": True, "index": "open"}


def test_an_index_of_other_settings_is_not_ready(tmp_path: Path, model_url: str) -> None:
    (tmp_path / "kettle.md").write_bytes(KETTLE)
    with Ragkit(config_in(tmp_path, model_url)) as rag:
        rag.index([tmp_path / "kettle.md"])
    config = config_in(tmp_path, model_url, retrieval={"bm25": {"k1": 2.0}})
    with app_client(config) as client:
        assert ready(client) == {"ready": False, "models": True, "index": "unusable"}
        assert client.get("/health").status_code == 200
        refused = client.post("/v1/ask", json={"question": "How much?"})
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "not_available")
        assert "bm25" not in refused.text


def test_a_model_that_does_not_answer_is_not_ready_and_its_start_pays_no_api(tmp_path: Path, model_url: str) -> None:
    with app_client(config_in(tmp_path, "http://127.0.0.1:9/v1")) as client:
        time.sleep(0.5)
        assert client.get("/ready").status_code == 503
    with service() as (url, handler):
        generation = {"backend": "openai", "model": "m", "base_url": url}
        config = config_in(tmp_path, url, generation=generation)
        with app_client(config) as client:
            upload(client, "kettle.md", KETTLE)
        with app_client(config) as client:
            assert ready(client)["ready"]
        assert handler.asked == []


def test_a_server_whose_budget_is_used_up_is_ready_all_the_same(tmp_path: Path, model_url: str) -> None:
    ledger = tmp_path / "ledger.sqlite"
    costs = {"ledger": str(ledger), "budgets": [{"per": "day", "usd": 0.0}], "prices": {"words": {"input": 1.0}}}
    (tmp_path / "kettle.md").write_bytes(KETTLE)
    with Ragkit(config_in(tmp_path, model_url)) as rag:
        rag.index([tmp_path / "kettle.md"])
    with app_client(config_in(tmp_path, model_url, costs=costs)) as client:
        assert ready(client) == {"ready": True, "models": True, "index": "open"}
        assert client.post("/v1/search", json={"question": "How much?"}).status_code == 402
    assert list(Ledger(ledger).rows("SELECT id FROM calls")) == []


def test_probes_leave_no_line_in_the_log_but_what_is_refused_does(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    ready(client)
    with caplog.at_level(logging.INFO, "ragkit.serve"):
        client.get("/health")
        client.get("/ready")
        client.get("/v1/documents", headers={"Host": "elsewhere.example"})
        client.get("/v1/documents/a-name-of-a-document")
    lines = [record.getMessage() for record in caplog.records if record.name == "ragkit.serve"]
    assert [line.rsplit(" in ")[0] for line in lines] == [
        "GET /v1/documents 401",
        "GET /v1/documents/{name:path} 404",
    ]
