"""Counts and times for Prometheus. No label names a tenant, a key, a document or a question."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from ragkit.types import Answer

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


class Metrics:
    """The metrics of one server, in a registry of their own."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self._requests = Counter(
            "ragkit_requests", "Requests by route and status.", ["method", "route", "status"], registry=registry
        )
        self._seconds = Histogram(
            "ragkit_request_seconds", "Time of a request.", ["route"], buckets=_SECONDS, registry=registry
        )
        self._stages = Histogram(
            "ragkit_stage_seconds", "Time of a stage of a question.", ["stage"], buckets=_SECONDS, registry=registry
        )
        self._answers = Counter(
            "ragkit_answers", "Answers by how they ended.", ["outcome"], registry=registry
        )  # answered, or the reason of a refusal
        self._tokens = Counter("ragkit_tokens", "Tokens of language models.", ["kind"], registry=registry)
        self._cost = Counter("ragkit_cost_usd", "US dollars that answers cost, where known.", registry=registry)
        self._unpriced = Counter("ragkit_unpriced_answers", "Answers whose cost is not known.", registry=registry)
        self._at_work = Gauge("ragkit_requests_at_work", "Requests under way.", registry=registry)
        self._uploads = Gauge("ragkit_uploads", "Uploads by state.", ["state"], registry=registry)

    def began(self) -> None:
        self._at_work.inc()

    def ended(self, method: str, route: str, status: int, seconds: float) -> None:
        self._at_work.dec()
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def stage(self, stage: str, ms: float) -> None:
        self._stages.labels(stage).observe(ms / 1e3)

    def answer(self, answer: Answer) -> None:
        self._answers.labels(answer.reason or "answered").inc()
        usage = answer.usage
        for kind, count in (
            ("input", usage.input_tokens),
            ("cached", usage.cached_tokens),
            ("output", usage.output_tokens),
        ):
            self._tokens.labels(kind).inc(count)
        if answer.cost_usd is None:
            self._unpriced.inc()
        else:
            self._cost.inc(answer.cost_usd)

    def by_status(self) -> dict[str, int]:
        """Requests since the start by HTTP status."""
        counts: dict[str, int] = {}
        for sample in (each for family in self._requests.collect() for each in family.samples):
            if sample.name.endswith("_total"):
                counts[sample.labels["status"]] = counts.get(sample.labels["status"], 0) + int(sample.value)
        return dict(sorted(counts.items()))

    def text(self, uploads: Mapping[str, int]) -> bytes:
        """The text that Prometheus reads, in its format 0.0.4."""
        for state in ("queued", "indexing", "done", "failed", "cancelled"):
            self._uploads.labels(state).set(uploads.get(state, 0))
        return generate_latest(self._registry)
