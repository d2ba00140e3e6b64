"""The OpenAPI document holds: schemathesis sends what it allows, and what not, to every route of a real server."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Any, cast

import httpx
import pytest
import schemathesis
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.generation import GenerationMode

from tests.serve.serving import KETTLE, key, process, service, settings_in, upload

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, dict[str, str]]]:
    """The address of a server with a document, and the headers of an admin."""
    folder = tmp_path_factory.mktemp("schema")
    with service() as (url, _):
        generation = {"backend": "openai", "model": "m", "base_url": url, "refusal": {"min_confidence": 0.0}}
        wide = {"requests_per_minute": 1_000_000, "max_uploads_waiting": 100_000}
        settings_of = settings_in(folder, url, generation=generation, serve=wide)
        (folder / "ragkit.yaml").write_text(yaml.safe_dump(settings_of), encoding="utf-8")
        headers = key(folder, "root", role="admin")
        with process(folder) as (_, address):
            with httpx.Client(base_url=address, timeout=60) as client:
                upload(client, "kettle.md", KETTLE, headers)
            yield address, headers


SLOW = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
CHECKS = cast(Any, import_module("schemathesis.checks"))
import_module("schemathesis.specs.openapi.schemas")  # now, and not while threads of a test run
EXCLUDED: list[Any] = [
    CHECKS.ignored_auth,  # the key is sent always; what happens without one is in test_gate.py
    CHECKS.negative_data_rejection,  # parameters of the query that no route reads are passed over
    CHECKS.positive_data_acceptance,  # no schema says which filters, names of files and texts make sense
]

ROUTES = [
    "GET /health",
    "GET /ready",
    "GET /metrics",
    "POST /v1/ask",
    "POST /v1/search",
    "POST /v1/why",
    "GET /v1/me",
    "GET /v1/fields",
    "GET /v1/dashboard",
    "GET /v1/playground",
    "POST /v1/playground/search",
    "POST /v1/playground/recall",
    "POST /v1/playground/config",
    "GET /v1/sheets/{number}/{name}",
    "GET /v1/marks/{number}/{name}",
    "POST /v1/cases",
    "GET /v1/cases",
    "DELETE /v1/cases/{case_id}",
    "GET /v1/chunks/{chunk_id}",
    "GET /v1/documents",
    "POST /v1/documents",
    "GET /v1/documents/{name}",
    "DELETE /v1/documents/{name}",
    "GET /v1/uploads",
    "GET /v1/uploads/{upload_id}",
    "DELETE /v1/uploads/{upload_id}",
    "GET /v1/sessions/{session_id}",
    "DELETE /v1/sessions/{session_id}",
    "POST /v1/feedback",
    "GET /v1/feedback",
    "POST /v1/chat/completions",
    "GET /v1/models",
    "GET /v1/models/{model}",
    "POST /v1/embeddings",
]


def test_these_are_all_routes(server: tuple[str, dict[str, str]]) -> None:
    paths = httpx.get(f"{server[0]}/openapi.json").json()["paths"]
    assert sorted(f"{method.upper()} {path}" for path, item in paths.items() for method in item) == sorted(ROUTES)


@pytest.mark.parametrize("route", ROUTES)
def test_no_request_breaks_the_server_or_its_document(server: tuple[str, dict[str, str]], route: str) -> None:
    address, headers = server
    method, path = route.split()
    schema = schemathesis.openapi.from_url(f"{address}/openapi.json")
    operation = cast(Any, schema[path][method])

    modes = [GenerationMode.POSITIVE, GenerationMode.NEGATIVE]
    for mode in modes[: 1 if path in ("/health", "/ready") else 2]:  # without a parameter nothing can be wrong

        @given(case=operation.as_strategy(generation_mode=mode))
        @settings(max_examples=25, deadline=None, phases=[Phase.generate], suppress_health_check=SLOW)
        def check(case: Any) -> None:
            if path == "/v1/chat/completions" and isinstance(case.body, dict):
                case.body["model"] = "ragkit"
            case.call_and_validate(headers=headers, excluded_checks=EXCLUDED)

        check()
