"""The shapes of OpenAI's API: what its clients send, and what they read."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ragkit.ingest.discover import whole_characters
from ragkit.serve.conversation import Memory, Turn, within
from ragkit.serve.problems import Problem
from ragkit.types import Answer

MODEL = "ragkit"
"""The name under which the whole system is a model."""

_MOST_MESSAGES = 1000


class _Sent(BaseModel):
    """Clients send many fields; those that nothing here reads are passed over, as other servers do."""

    model_config = ConfigDict(extra="ignore", use_attribute_docstrings=True)


class Part(_Sent):
    type: str
    text: str | None = None


class Message(_Sent):
    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[Part] | None = None

    @property
    def text(self) -> str:
        """The text of a message; of its parts those that are text."""
        if isinstance(self.content, str):
            return self.content
        return "\n".join(part.text for part in self.content or () if part.text)


class StreamOptions(_Sent):
    include_usage: bool | None = None


class ChatRequest(_Sent):
    model: str
    messages: Annotated[list[Message], Field(min_length=1, max_length=_MOST_MESSAGES)]
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    n: int | None = None
    response_format: dict[str, Any] | None = None


class EmbeddingsRequest(_Sent):
    model: str
    input: str | Annotated[list[str], Field(min_length=1, max_length=2048)]
    encoding_format: Literal["float", "base64"] | None = "float"
    dimensions: int | None = None
    input_type: Literal["query", "passage"] | None = "passage"
    """Not OpenAI's: whether the texts are questions, for models that tell them apart."""


class PromptDetails(BaseModel):
    cached_tokens: int


class ChatUsage(BaseModel):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptDetails


class ChatMessage(BaseModel):
    role: Literal["assistant"]
    content: str | None
    refusal: str | None


class Choice(BaseModel):
    index: int
    message: ChatMessage
    finish_reason: Literal["stop"]
    logprobs: None


class Extension(BaseModel):
    """What OpenAI's shape has no place for."""

    citations: list[dict[str, Any]]
    refused: bool
    reason: str | None
    confidence: float | None
    notes: list[str]
    cost_usd: float | None
    trace_id: str
    answer: str


class ChatResponse(BaseModel):
    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    system_fingerprint: str
    choices: list[Choice]
    usage: ChatUsage
    ragkit: Extension


class Model(BaseModel):
    id: str
    object: Literal["model"]
    created: int
    owned_by: str


class Models(BaseModel):
    object: Literal["list"]
    data: list[Model]


class EmbeddingRow(BaseModel):
    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class EmbeddingsUsage(BaseModel):
    prompt_tokens: int
    total_tokens: int


class Embeddings(BaseModel):
    object: Literal["list"]
    model: str
    data: list[EmbeddingRow]
    usage: EmbeddingsUsage


def question_of(messages: Sequence[Message]) -> str:
    """What is asked: the text of the last message of the user. Raises Problem (400) if there is none."""
    for message in reversed(messages):
        if message.role == "user":
            if message.text.strip():
                return message.text
            break
    raise Problem(400, "invalid_request", "messages: the last message of the user has no text")


def memory_of(messages: Sequence[Message], budget: int) -> Memory:
    """What was said before the last message of the user, as far as it fits a budget in tokens."""
    turns: list[Turn] = []
    asked: str | None = None
    for message in messages[: max(number for number, one in enumerate(messages) if one.role == "user")]:
        if message.role == "user":
            asked = message.text
        elif message.role == "assistant" and asked:
            turns.append(Turn(asked, message.text))
            asked = None
    return Memory(turns=within(turns, budget)[1])


def checked(request: ChatRequest) -> None:
    """Raises Problem for what this model does not do."""
    if request.model != MODEL:
        raise Problem(404, "model_not_found", f"there is no model {request.model[:100]!r}; it is called {MODEL!r}")
    if request.n not in (None, 1):
        raise Problem(400, "invalid_request", "n: this model gives one answer")


def completion(answer: Answer, content: str | None) -> dict[str, Any]:
    """The answer as a chat completion; without `content` it is a refusal."""
    message = {"role": "assistant", "content": content, "refusal": answer.text if content is None else None}
    return {
        "id": f"chatcmpl-{answer.trace_id}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": MODEL,
        "system_fingerprint": f"ragkit-{answer.config_hash}",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}],
        "usage": usage(answer),
        "ragkit": extension(answer),
    }


def chunk(identity: str, created: int, delta: dict[str, Any] | None, *, end: bool = False) -> dict[str, Any]:
    """A piece of a streamed completion; without a delta it has no choice, as the one that tells the usage."""
    choice = {"index": 0, "delta": delta, "finish_reason": "stop" if end else None, "logprobs": None}
    return {
        "id": f"chatcmpl-{identity}",
        "object": "chat.completion.chunk",
        "created": created,
        "model": MODEL,
        "choices": [] if delta is None else [choice],
    }


def usage(answer: Answer) -> dict[str, Any]:
    taken = answer.usage
    return {
        "prompt_tokens": taken.input_tokens,
        "completion_tokens": taken.output_tokens,
        "total_tokens": taken.input_tokens + taken.output_tokens,
        "prompt_tokens_details": {"cached_tokens": taken.cached_tokens},
    }


def extension(answer: Answer) -> dict[str, Any]:
    """The checked answer with its citations as places in documents."""
    return {
        "citations": [asdict(citation) for citation in answer.citations],
        "refused": answer.refused,
        "reason": answer.reason,
        "confidence": answer.confidence,
        "notes": list(answer.notes),
        "degraded": answer.degraded,
        "cost_usd": answer.cost_usd,
        "trace_id": answer.trace_id,
        "answer": whole_characters(answer.text),
    }
