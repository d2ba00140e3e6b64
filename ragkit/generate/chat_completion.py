"""Reading OpenAI's chat completions: a whole one, or the events of a streamed one.

Source: https://platform.openai.com/docs/api-reference/chat. Servers leave fields out or set them to null, so
nothing is taken for granted but one choice with a message.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import cast

from ragkit.types import Usage


class UnreadableError(ValueError):
    """The bytes are no chat completion."""


class ReportedError(Exception):
    """The server reported an error in what should be an answer; the text is that report."""


@dataclass(slots=True)
class Completion:
    """An answer as far as it has been read. `finish_reason` stays empty until the server ends the answer."""

    text: str = ""
    declined: bool = False
    finish_reason: str = ""
    model: str = ""
    usage: Usage = field(default_factory=Usage)


_LINE_END = re.compile(r"\r\n|\n|\r")


@dataclass(slots=True)
class Lines:
    """Text that comes in pieces, as lines. `rest` is what no line end has followed yet.

    >>> lines = Lines()
    >>> lines.add("data: a\\nda"), lines.add("ta: b\\r\\n"), lines.rest
    (['data: a'], ['data: b'], '')
    """

    rest: str = ""

    def add(self, piece: str) -> list[str]:
        """The lines that end in this piece."""
        *lines, self.rest = _LINE_END.split(self.rest + piece)
        return lines


def read_completion(body: bytes) -> Completion:
    """A whole answer. Raises UnreadableError, and ReportedError where it is an error under a status of success.

    >>> body = b'{"model": "m", "choices": [{"message": {"content": "Hi."}, "finish_reason": "stop"}]}'
    >>> read_completion(body).text
    'Hi.'
    """
    fields = _mapping(_parse(body))
    if fields.get("error"):
        raise ReportedError(body.decode("utf-8", "replace"))
    completion = Completion()
    choice = _take(completion, fields)
    if "message" not in choice:
        raise UnreadableError("no choice with a message")
    completion.text = _text(completion, _mapping(choice["message"]))
    completion.finish_reason = completion.finish_reason or "stop"
    return completion


def read_event(completion: Completion, line: str) -> str:
    """Add one line of an event stream to the answer and return the piece of text it brought, often "".

    Raises:
        UnreadableError: The line is a data line without JSON.
        ReportedError: The line reports an error of the server.
    """
    data = line.removeprefix("data:").strip()
    if data == "[DONE]" and completion.text:
        completion.finish_reason = completion.finish_reason or "stop"
    if not line.startswith("data:") or not data or data == "[DONE]":
        return ""
    fields = _mapping(_parse(data.encode()))
    if fields.get("error"):
        raise ReportedError(data)
    choice = _take(completion, fields)
    piece = _text(completion, _mapping(choice.get("delta")))
    completion.text += piece
    return piece


def read_model_names(body: bytes) -> list[str]:
    """The names in an answer to `GET /models`; [] if it is none.

    >>> read_model_names(b'{"data": [{"id": "a"}, {"id": "b"}]}'), read_model_names(b"<html>")
    (['a', 'b'], [])
    """
    try:
        models = _mapping(_parse(body)).get("data")
    except UnreadableError:
        return []
    listed = cast("list[object]", models) if isinstance(models, list) else []
    return [name for model in listed if isinstance(name := _mapping(model).get("id"), str)]


def _take(completion: Completion, fields: dict[str, object]) -> dict[str, object]:
    """Note what stands beside the text; returns the first choice, {} in an event that brings the usage."""
    if isinstance(model := fields.get("model"), str) and model:
        completion.model = model
    if usage := _mapping(fields.get("usage")):
        details = _mapping(usage.get("prompt_tokens_details"))
        completion.usage = Usage(
            _count(usage, "prompt_tokens"),
            _count(usage, "completion_tokens"),
            _count(details, "cached_tokens"),
        )
    choices = fields.get("choices")
    choice = _mapping(cast("list[object]", choices)[0]) if isinstance(choices, list) and choices else {}
    if isinstance(reason := choice.get("finish_reason"), str):
        completion.finish_reason = reason
    return choice


def _text(completion: Completion, message: dict[str, object]) -> str:
    content, refusal = message.get("content"), message.get("refusal")
    if isinstance(refusal, str) and refusal:
        completion.declined = True
        return refusal
    return content if isinstance(content, str) else ""


def _parse(body: bytes) -> object:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise UnreadableError("no JSON") from error


def _mapping(value: object) -> dict[str, object]:
    return cast("dict[str, object]", value) if isinstance(value, dict) else {}


_MOST = 10**9


def _count(fields: dict[str, object], key: str) -> int:
    value = fields.get(key)
    return min(max(0, value), _MOST) if isinstance(value, int) and not isinstance(value, bool) else 0
