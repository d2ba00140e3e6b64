"""Log lines: one each, with the trace id, and no text of a question unless it was given on purpose."""

from __future__ import annotations

import json
import logging

import pytest

from ragkit.observe.logs import JsonLines, TextLines
from ragkit.observe.trace import TRACE_ID


def record(message: str, **extra: object) -> logging.LogRecord:
    return logging.makeLogRecord({"name": "ragkit.serve", "levelname": "INFO", "msg": message, **extra})


@pytest.fixture
def trace() -> object:
    token = TRACE_ID.set("ab" * 16)
    yield "ab" * 16
    TRACE_ID.reset(token)


def test_a_machine_reads_one_object_a_line(trace: str) -> None:
    line = JsonLines().format(record("a\nb\x1b[31m", route="/v1/ask", ms=1.5))
    fields = json.loads(line)
    assert "\n" not in line
    assert "\x1b" not in line
    assert (fields["message"], fields["route"], fields["ms"], fields["trace_id"]) == (
        "a\nb\x1b[31m",
        "/v1/ask",
        1.5,
        trace,
    )
    assert fields["level"] == "info"


def test_people_read_one_line_that_cannot_speak_to_their_terminal(trace: str) -> None:
    line = TextLines().format(record("a\nb\x1b[31m", question="why\x1b?"))
    assert "\n" not in line
    assert "\x1b" not in line
    assert trace[:8] in line
    assert "question='why\\x1b?'" in line
