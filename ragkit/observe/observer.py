"""Everything that watches a server, as its routes see it: metrics always, spans where a collector is named."""

from __future__ import annotations

import logging
from collections.abc import Generator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

from ragkit.config.schema import Config
from ragkit.observe.metrics import Metrics
from ragkit.observe.spans import Asked, Spans
from ragkit.observe.stages import Ended, Notice, listening
from ragkit.types import Answer

_log = logging.getLogger("ragkit.serve")


@dataclass(slots=True)
class Told:
    """A question under way; its route puts the answer here."""

    answer: Answer | None = None


class Observer:
    def __init__(self, spans: Spans | None = None) -> None:
        self.metrics = Metrics()
        self._spans = spans

    def close(self) -> None:
        if self._spans is not None:
            self._spans.close()

    @contextmanager
    def request(self, traceparent: str) -> Generator[str]:
        """Around a request; yields the id of its trace, "" without a collector."""
        self.metrics.began()
        with nullcontext("") if self._spans is None else self._spans.request(traceparent) as trace:
            yield trace

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """A request is over."""
        self.metrics.ended(method, route, status, seconds)
        if self._spans is not None:
            self._spans.answered(method, route, status)

    @contextmanager
    def question(self, question: str, config: Config) -> Generator[Told]:
        """Around a question: hear its stages, and count its answer."""
        told, asked = Told(), Asked()

        def hear(notice: Notice) -> None:
            if isinstance(notice, Ended):
                self.metrics.stage(notice.stage, notice.ms)
                asked.hear(notice)

        with nullcontext() if self._spans is None else self._spans.question():
            try:
                with listening(hear):
                    yield told
            finally:
                if told.answer is not None:
                    self.metrics.answer(told.answer)
                    self._log(question, told.answer, config)
                if self._spans is not None:
                    self._spans.stages(asked, config, told.answer, question)

    def _log(self, question: str, answer: Answer, config: Config) -> None:
        fields: dict[str, object] = {
            "outcome": answer.reason or "answered",
            "model": answer.model,
            "ms": round(answer.timings_ms.get("total", 0.0), 1),
            "citations": len(answer.citations),
        }
        texts = {"question": question, "answer": answer.text} if config.serve.log_questions else {}
        _log.info("%(outcome)s by %(model)s in %(ms).0f ms, %(citations)d citations", fields, extra=fields | texts)
