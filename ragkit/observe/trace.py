"""The trace id of what is being done: in every log line, answer, ledger row and span of one question."""

from __future__ import annotations

import re
import uuid
from contextvars import ContextVar

TRACE_ID: ContextVar[str] = ContextVar("ragkit_trace_id", default="")

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")


def trace_id() -> str:
    """The id of the trace that this context belongs to; a new one if it belongs to none. 32 hexadecimal digits."""
    return TRACE_ID.get() or uuid.uuid4().hex


def trace_id_of(traceparent: str) -> str:
    """The trace id of a W3C `traceparent` header; a new one if that is none.

    >>> trace_id_of("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
    '4bf92f3577b34da6a3ce929d0e0e4736'
    >>> len(trace_id_of("none"))
    32
    """
    found = _TRACEPARENT.fullmatch(traceparent)
    return found[1] if found and found[1] != "0" * 32 else uuid.uuid4().hex
