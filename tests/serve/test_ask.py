"""Questions over HTTP: the same answers as `Ragkit` gives, at once or as a stream of events."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from ragkit.gateway.ledger import Ledger
from tests.serve.serving import KETTLE, app_client, config_in, events_of, key, service, upload

ASK = {"question": "How much water does the kettle hold?"}


def test_an_answer_has_its_citations_as_exact_characters(filled: TestClient) -> None:
    answer = filled.post("/v1/ask", json=ASK).json()
    assert answer["answer"].startswith("The kettle holds two litres of water.")
    assert not answer["refused"]
    citation = answer["citations"][0]
    text = filled.get(f"/v1/documents/{citation['source_document']}").json()["text"]
    assert text[citation["start"] : citation["end"]] == citation["quote"]
    assert answer["passages"][0]["stages"]["fused"]["rank"] == 1


def test_a_question_that_nothing_answers_is_refused_with_its_reason(filled: TestClient) -> None:
    filters = [{"field": "folder", "eq": "nowhere"}]
    answer = filled.post("/v1/ask", json={**ASK, "filters": filters}).json()
    assert (answer["refused"], answer["reason"], answer["passages"]) == (True, "nothing_retrieved", [])


def test_a_stream_tells_the_stages_in_their_order_and_ends_with_the_whole(filled: TestClient) -> None:
    response = filled.post("/v1/ask", json={**ASK, "stream": True})
    assert response.headers["content-type"].startswith("text/event-stream")
    events = events_of(response.text)
    assert [name for name, _ in events] == ["retrieved", "token", "citations", "cost", "done"]
    data = dict(events)
    whole = filled.post("/v1/ask", json=ASK).json()
    assert data["done"]["answer"] == whole["answer"]
    assert data["citations"]["citations"] == whole["citations"]
    assert data["retrieved"]["passages"][0]["chunk_id"] == whole["passages"][0]["chunk_id"]
    assert data["cost"]["usage"] == whole["usage"]


def test_an_empty_index_says_what_to_do(client: TestClient) -> None:
    for body in (ASK, {**ASK, "stream": False}):
        response = client.post("/v1/ask", json=body)
        assert (response.status_code, response.json()["error"]["code"]) == (409, "no_index")
    [(name, data)] = events_of(client.post("/v1/ask", json={**ASK, "stream": True}).text)
    assert (name, data["error"]["code"]) == ("error", "no_index")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"question": ""},
        {"question": 7},
        {"question": "x" * 20_001},
        {"question": "x", "filters": [{"field": "a"}]},
        {"question": "x", "filters": [{"field": "a", "eq": 1, "secret": 2}]},
        {"question": "x", "filters": [{"not": {"not": {"field": "a", "eq": 1}}}] * 40},
        {"question": "x\ud800"},
    ],
)
def test_bad_questions_are_told_so(filled: TestClient, body: dict[str, Any]) -> None:
    content = json.dumps(body)
    response = filled.post("/v1/ask", content=content, headers={"Content-Type": "application/json"})
    assert (response.status_code, response.json()["error"]["code"]) == (422, "invalid_request")


def test_a_question_of_spaces_and_a_number_that_no_engine_compares_are_told_so(filled: TestClient) -> None:
    for body in ({"question": "  "}, {"question": "x", "filters": [{"field": "n", "gte": 10**400}]}):
        response = filled.post("/v1/ask", json=body)
        assert response.status_code in (400, 422)


def test_search_ranks_as_it_is_asked_to(filled: TestClient) -> None:
    found = filled.post("/v1/search", json={"question": "paper lamp", "top_k": 1, "strategy": "sparse"}).json()
    [passage] = found["passages"]
    assert passage["source_document"] == "_/lamp.md"
    assert set(passage["stages"]) == {"sparse", "fused"}
    chunk = filled.get(f"/v1/chunks/{passage['chunk_id']}").json()
    assert (chunk["text"], chunk["start"], chunk["end"]) == (passage["text"], passage["start"], passage["end"])


def test_filters_hold_dates_too(filled: TestClient) -> None:
    dated = [{"field": "date_created", "gte": "2020-01-01"}]
    assert filled.post("/v1/search", json={"question": "lamp", "filters": dated}).json()["passages"] == []
    named = [{"not": {"field": "source_document", "eq": "_/lamp.md"}}]
    found = filled.post("/v1/search", json={"question": "lamp", "filters": named}).json()["passages"]
    assert {passage["source_document"] for passage in found} == {"_/kettle.md"}


@pytest.mark.parametrize("chunk_id", ["7", "6f1c1f0e-8a3c-5b52-9a51-0a8a4c1f2d3e", "%00", "a%2Fb"])
def test_a_chunk_that_is_not_there_is_not_found(filled: TestClient, chunk_id: str) -> None:
    assert filled.get(f"/v1/chunks/{chunk_id}").status_code == 404


def test_feedback_is_about_an_answer_that_was_given(client: TestClient) -> None:
    upload(client, "kettle.md", KETTLE)
    trace = client.post("/v1/ask", json=ASK).json()["trace_id"]
    assert client.post("/v1/feedback", json={"trace_id": "0" * 32, "verdict": "up"}).status_code == 404
    for verdict, reason in (("up", ""), ("down", "too short")):
        given = {"trace_id": trace, "verdict": verdict, "reason": reason}
        assert client.post("/v1/feedback", json=given).status_code == 201
    [kept] = client.get("/v1/feedback").json()["feedback"]
    assert (kept["trace_id"], kept["verdict"], kept["reason"]) == (trace, "down", "too short")


def test_feedback_on_an_answer_of_the_cache_reaches_the_cache(tmp_path: Path, model_url: str) -> None:
    cache = {"mode": "semantic", "path": str(tmp_path / "cache.sqlite"), "max_false_hits": 0.01, "min_similarity": 0.5}
    with app_client(config_in(tmp_path, model_url, cache=cache)) as client:
        upload(client, "kettle.md", KETTLE)
        client.post("/v1/ask", json=ASK)
        other = {"question": "Please tell me how much water the kettle holds"}
        first = client.post("/v1/ask", json=other).json()
        assert first["cache"] == "semantic"
        assert client.post("/v1/feedback", json={"trace_id": first["trace_id"], "verdict": "up"}).status_code == 201
        assert client.post("/v1/ask", json=other).json()["cache"] == "semantic"
        # The same answer again, judged otherwise: the last word of a key counts.
        assert client.post("/v1/feedback", json={"trace_id": first["trace_id"], "verdict": "down"}).status_code == 201
        assert client.post("/v1/ask", json=other).json()["cache"] == "miss"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TestClient, type[Any]]]:
    """A system whose answers a language model writes."""
    with service() as (url, handler):
        generation = {"backend": "openai", "model": "m", "base_url": url, "refusal": {"min_confidence": 0.0}}
        with app_client(config_in(tmp_path_factory.mktemp("written"), url, generation=generation)) as client:
            upload(client, "kettle.md", KETTLE)
            yield client, handler


def test_words_of_a_model_come_as_they_are_written(written: tuple[TestClient, type[Any]]) -> None:
    events = events_of(written[0].post("/v1/ask", json={**ASK, "stream": True}).text)
    tokens = [data["text"] for name, data in events if name == "token"]
    assert len(tokens) > 3
    assert "".join(tokens).startswith("The kettle holds two litres of water.")
    assert dict(events)["cost"]["usage"] == {"input_tokens": 100, "output_tokens": 10, "cached_tokens": 0}


def test_a_model_service_that_fails_is_no_defect_and_gives_nothing_away(tmp_path: Path, model_url: str) -> None:
    generation = {"backend": "openai", "model": "m", "base_url": "http://127.0.0.1:9/v1/secret-path"}
    generation["refusal"] = {"min_confidence": 0.0}  # type: ignore[assignment]
    with app_client(config_in(tmp_path, model_url, generation=generation)) as client:
        upload(client, "kettle.md", KETTLE)
        response = client.post("/v1/ask", json=ASK)
        assert (response.status_code, response.json()["error"]["code"]) == (502, "service_failed")
        events = events_of(client.post("/v1/ask", json={**ASK, "stream": True}).text)
        assert [name for name, _ in events] == ["retrieved", "error"]
        assert "secret-path" not in response.text + str(events)


def test_a_budget_that_is_used_up_is_told_as_such(tmp_path: Path) -> None:
    with service() as (url, _):
        generation = {"backend": "openai", "model": "m", "base_url": url, "refusal": {"min_confidence": 0.0}}
        costs = {
            "ledger": str(tmp_path / "ledger.sqlite"),
            "budgets": [{"tenant": "*", "per": "day", "usd": 0.0}],
            "prices": {"m": {"input": 1.0, "output": 1.0}, "words": {"input": 0.0}},
        }
        with app_client(config_in(tmp_path, url, generation=generation, costs=costs)) as client:
            upload(client, "kettle.md", KETTLE)
            response = client.post("/v1/ask", json=ASK)
            assert (response.status_code, response.json()["error"]["code"]) == (402, "budget_exceeded")


def costs_of_words(folder: Path, usd: float) -> dict[str, Any]:
    """A price for each embedding, and a budget for a day of the tenant `umbrella`."""
    budget = {"tenant": "umbrella", "per": "day", "usd": usd}
    return {"ledger": str(folder / "ledger.sqlite"), "budgets": [budget], "prices": {"words": {"input": 1.0}}}


def test_searches_through_a_paid_model_are_charged_to_who_asks_and_refused_over_the_budget(tmp_path: Path) -> None:
    with service() as (url, _), app_client(config_in(tmp_path, url, costs=costs_of_words(tmp_path, 0.0))) as client:
        root = key(tmp_path, "root", role="admin")
        upload(client, "kettle.md", KETTLE, root)
        for tenant in ("acme", "umbrella"):
            headers = key(tmp_path, f"{tenant}-key", tenant=tenant, role="write")
            answers = [
                client.post("/v1/search", json=ASK, headers=headers),
                client.post("/v1/playground/search", json=ASK, headers=headers),
            ]
            if tenant == "acme":
                assert [answer.status_code for answer in answers] == [200, 200]
            else:
                told = [(answer.status_code, answer.json()["error"]["code"]) for answer in answers]
                assert told == [(402, "budget_exceeded")] * 2
        rows = Ledger(tmp_path / "ledger.sqlite").rows("SELECT tenant, key FROM calls WHERE tenant != ''")
        assert list(rows) == [("acme", "acme-key")] * 2


@pytest.mark.parametrize("usual", ["sparse", "hybrid"])
def test_a_budget_is_about_the_search_that_is_made_whatever_the_config_has(tmp_path: Path, usual: str) -> None:
    retrieval = {"strategy": usual}
    with (
        service() as (url, _),
        app_client(config_in(tmp_path, url, costs=costs_of_words(tmp_path, 0.0), retrieval=retrieval)) as client,
    ):
        upload(client, "kettle.md", KETTLE, key(tmp_path, "root", role="admin"))
        headers = key(tmp_path, "them", tenant="umbrella", role="write")
        for strategy, status in (("sparse", 200), ("dense", 402)):
            asked = {**ASK, "strategy": strategy}
            assert client.post("/v1/search", json=asked, headers=headers).status_code == status
            tried = {**ASK, "settings": {"strategy": strategy}}
            assert client.post("/v1/playground/search", json=tried, headers=headers).status_code == status


def test_what_asks_an_api_is_not_explained_under_budgets(tmp_path: Path) -> None:
    with service() as (url, _), app_client(config_in(tmp_path, url, costs=costs_of_words(tmp_path, 5.0))) as client:
        upload(client, "kettle.md", KETTLE)
        chunk = client.post("/v1/search", json=ASK).json()["passages"][0]["chunk_id"]
        refused = client.post("/v1/why", json={**ASK, "chunk_id": chunk})
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "not_allowed")
