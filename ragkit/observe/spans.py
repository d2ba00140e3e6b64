"""OpenTelemetry spans of requests, questions and their stages, named by the GenAI semantic conventions.

Question and answer are written into spans only where `serve.log_questions` says so. The conventions still change; all
names stand in the tables here.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ragkit.errors import MissingExtra
from ragkit.observe.stages import Ended, Notice
from ragkit.types import Answer

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

    from ragkit.config.schema import Config

_OPERATIONS = {"embed": "embeddings", "search": "retrieval", "generate": "chat"}
"""Stages that the conventions have an operation for; the others are ragkit's own: `ragkit.fuse`."""
_PROVIDERS = {"openai": "openai", "sentence_transformers": "sentence_transformers", "extractive": "ragkit"}


@dataclass(slots=True)
class _Stage:
    name: str
    start_ns: int
    end_ns: int


@dataclass(slots=True)
class Asked:
    """A question under way: what its stages told so far."""

    heard: list[_Stage] = field(default_factory=list[_Stage])

    def hear(self, notice: Notice) -> None:
        if isinstance(notice, Ended):
            now = time.time_ns()
            self.heard.append(_Stage(notice.stage, now - int(notice.ms * 1e6), now))


class Spans:
    """Makes the spans and sends them to a collector, in a thread of its own.

    Raises MissingExtra without the packages of `ragkit[observe]`.
    """

    def __init__(self, url: str) -> None:
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
        except ImportError:
            raise MissingExtra("opentelemetry-sdk", "observe") from None
        self._provider = TracerProvider(resource=Resource.create({"service.name": "ragkit"}))
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=url, timeout=5)))
        self._tracer: Tracer = self._provider.get_tracer("ragkit")

    def close(self) -> None:
        """Send what is left."""
        self._provider.shutdown()

    @contextmanager
    def request(self, traceparent: str) -> Generator[str]:
        """Around a request, as a part of the caller's trace if it named one; yields the trace id."""
        from opentelemetry.trace import SpanKind
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        parent = TraceContextTextMapPropagator().extract({"traceparent": traceparent})
        with self._tracer.start_as_current_span("request", parent, SpanKind.SERVER) as span:
            yield f"{span.get_span_context().trace_id:032x}"

    def answered(self, method: str, route: str, status: int) -> None:
        """Name the span of this request after its route."""
        from opentelemetry.trace import Status, StatusCode, get_current_span

        span = get_current_span()
        span.update_name(f"{method} {route}")
        span.set_attributes({"http.request.method": method, "http.route": route, "http.response.status_code": status})
        if status >= 500:
            span.set_status(Status(StatusCode.ERROR))

    @contextmanager
    def question(self) -> Generator[None]:
        """Around a question: its stages become children of this span."""
        with self._tracer.start_as_current_span("ragkit.ask"):
            yield

    def stages(self, asked: Asked, config: Config, answer: Answer | None, question: str) -> None:
        """Spans of the stages that a question has been through, under the current span."""
        from opentelemetry.trace import SpanKind, get_current_span

        heard = list(asked.heard)
        if answer is not None and "generate" in answer.timings_ms and all(one.name != "generate" for one in heard):
            # A stream generates in pieces; it ended when the check of the answer began.
            end = next((one.start_ns for one in reversed(heard) if one.name == "verify"), time.time_ns())
            heard.append(_Stage("generate", end - int(answer.timings_ms["generate"] * 1e6), end))
        for one in sorted(heard, key=lambda stage: stage.start_ns):
            operation = _OPERATIONS.get(one.name)
            attributes = _attributes(one.name, config, answer)
            model = attributes.get("gen_ai.request.model", "")
            name = f"{operation} {model}".strip() if operation else f"ragkit.{one.name}"
            kind = SpanKind.CLIENT if operation == "chat" else SpanKind.INTERNAL
            span = self._tracer.start_span(name, kind=kind, attributes=attributes, start_time=one.start_ns)
            span.end(one.end_ns)
        if answer is not None:
            span = get_current_span()
            span.set_attribute("ragkit.refused", answer.refused)
            if config.serve.log_questions:
                span.set_attributes({"gen_ai.retrieval.query.text": question, "ragkit.answer.text": answer.text})


def _attributes(stage: str, config: Config, answer: Answer | None) -> dict[str, str | int]:
    """What the conventions say of an operation.

    >>> from ragkit.config.schema import Config
    >>> _attributes("embed", Config(), None)["gen_ai.operation.name"]
    'embeddings'
    """
    if stage not in _OPERATIONS:
        return {"ragkit.stage": stage}
    found: dict[str, str | int] = {"gen_ai.operation.name": _OPERATIONS[stage]}
    if stage == "embed":
        embedding = config.ingestion.embedding
        found |= {"gen_ai.request.model": embedding.model, "gen_ai.provider.name": _PROVIDERS[embedding.backend]}
    elif stage == "search":
        found["gen_ai.data_source.id"] = config.ingestion.store.collection
    else:
        generation = config.generation
        found["gen_ai.request.model"] = generation.model or generation.backend
        found["gen_ai.provider.name"] = _PROVIDERS.get(generation.backend, generation.backend)
        if answer is not None:
            found |= {
                "gen_ai.response.model": answer.model,
                "gen_ai.usage.input_tokens": answer.usage.input_tokens,
                "gen_ai.usage.output_tokens": answer.usage.output_tokens,
                "gen_ai.usage.cache_read.input_tokens": answer.usage.cached_tokens,
            }
    return found
