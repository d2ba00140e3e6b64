"""Log lines with the trace id of what they are about: as text for people, or one JSON object each for machines."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any, Literal

from ragkit.observe.trace import TRACE_ID

_KNOWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}


class JsonLines(logging.Formatter):
    """One object a line: time, level, logger, message, trace_id, then what the caller gave as `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "trace_id": TRACE_ID.get(),
        }
        fields |= {name: value for name, value in vars(record).items() if name not in _KNOWN}
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        # ASCII: no text of a question can end a line, or speak to a terminal.
        return json.dumps(fields, default=str)


class TextLines(logging.Formatter):
    """One line for people; what is no sign that prints is escaped, but for the lines of an exception."""

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created).strftime("%H:%M:%S")
        message = "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in record.getMessage())
        trace = f" [{TRACE_ID.get()[:8]}]" if TRACE_ID.get() else ""
        texts = [f" {name}={getattr(record, name)!r}" for name in ("question", "answer") if hasattr(record, name)]
        error = f"\n{self.formatException(record.exc_info)}" if record.exc_info else ""
        return f"{time} {record.levelname.lower()}{trace} {message}{''.join(texts)}{error}"


def log_to_stderr(form: Literal["text", "json"]) -> None:
    """Write the lines of ragkit and of its server to stderr, from `info` on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if form == "json" else TextLines())
    for name in ("ragkit", "uvicorn", "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = ([handler], False) if name != "uvicorn.error" else ([], True)
        logger.setLevel(logging.INFO)
