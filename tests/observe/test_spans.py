"""Spans as a collector gets them: a real OTLP receiver, a real server, no text of a question unless switched on."""

from __future__ import annotations

import gzip
import logging
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.serve.serving import KETTLE, app_client, config_in, service, upload

ASK = {"question": "How much water does the kettle hold, pray?"}
PARENT = "4bf92f3577b34da6a3ce929d0e0e4736"


@contextmanager
def collector() -> Generator[tuple[str, list[Any]]]:
    """The address of an OTLP receiver, and the spans that it was sent."""
    spans: list[Any] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            body = gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body
            request = ExportTraceServiceRequest.FromString(body)
            spans.extend(span for one in request.resource_spans for scope in one.scope_spans for span in scope.spans)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1/traces", spans
    finally:
        server.shutdown()
        server.server_close()


def attributes(span: Any) -> dict[str, Any]:
    return {item.key: getattr(item.value, item.value.WhichOneof("value")) for item in span.attributes}


def asked(folder: Path, stream: bool, **serve: Any) -> tuple[list[Any], dict[str, Any]]:
    """The spans of one question, and its answer."""
    with collector() as (traces, spans), service() as (url, _):
        generation = {"backend": "openai", "model": "m", "base_url": url, "refusal": {"min_confidence": 0.0}}
        config = config_in(folder, url, generation=generation, serve={"traces_url": traces, **serve})
        with app_client(config) as client:
            upload(client, "kettle.md", KETTLE)
            headers = {"traceparent": f"00-{PARENT}-00f067aa0ba902b7-01"}
            response = client.post("/v1/ask", json={**ASK, "stream": stream}, headers=headers)
            assert response.status_code == 200
            answer = {"trace_id": response.headers["x-trace-id"]}
    return [span for span in spans if span.trace_id.hex() == PARENT], answer


@pytest.mark.parametrize("stream", [False, True])
def test_the_stages_of_a_question_are_children_of_its_request(tmp_path: Path, stream: bool) -> None:
    spans, answer = asked(tmp_path, stream)
    assert answer["trace_id"] == PARENT, "the caller's trace goes on"
    by_name = {span.name: span for span in spans}
    assert {"POST /v1/ask", "ragkit.ask", "embeddings words", "retrieval", "ragkit.fuse", "chat m"} <= set(by_name)
    assert by_name["ragkit.ask"].parent_span_id == by_name["POST /v1/ask"].span_id
    assert by_name["chat m"].parent_span_id == by_name["ragkit.ask"].span_id
    chat = attributes(by_name["chat m"])
    assert chat["gen_ai.operation.name"] == "chat"
    assert chat["gen_ai.provider.name"] == "openai"
    assert (chat["gen_ai.usage.input_tokens"], chat["gen_ai.usage.output_tokens"]) == (100, 10)
    order = [by_name[name].start_time_unix_nano for name in ("embeddings words", "retrieval", "chat m")]
    assert order == sorted(order)
    assert all(span.end_time_unix_nano >= span.start_time_unix_nano for span in spans)


@pytest.mark.parametrize("on", [False, True])
def test_texts_are_in_spans_and_logs_only_if_they_are_switched_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, on: bool
) -> None:
    with caplog.at_level(logging.DEBUG):
        spans, _ = asked(tmp_path, False, log_questions=on)
    told = " ".join(str(attributes(span)) for span in spans)
    logged = " ".join(str(vars(one)) for one in caplog.records if one.name.startswith("ragkit"))
    assert ("pray" in told) == ("pray" in logged) == on
    assert ("two litres" in told) == ("two litres" in logged) == on


def test_without_a_collector_there_are_metrics_of_every_stage(tmp_path: Path) -> None:
    with service() as (url, _), app_client(config_in(tmp_path, url)) as client:
        upload(client, "kettle.md", KETTLE)
        client.post("/v1/ask", json=ASK)
        client.post("/v1/ask", json={**ASK, "filters": [{"field": "folder", "eq": "nowhere"}]})
        text = client.get("/metrics").text
    for line in (
        'ragkit_requests_total{method="POST",route="/v1/ask",status="200"} 2.0',
        'ragkit_answers_total{outcome="answered"} 1.0',
        'ragkit_answers_total{outcome="nothing_retrieved"} 1.0',
        'ragkit_stage_seconds_count{stage="embed"} 2.0',
        'ragkit_stage_seconds_count{stage="generate"} 1.0',
        'ragkit_uploads{state="done"} 1.0',
    ):
        assert line in text
    assert "kettle" not in text
