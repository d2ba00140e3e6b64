"""OpenAI's API: the whole system as a chat model, its embedding model as one for embeddings.

What a client can set of a model (temperature, tokens, tools) is the config's here and passed over; so are system
messages, for the config's prompt is what holds answers to the documents.
"""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import AsyncGenerator
from typing import Any

import numpy as np
from fastapi import APIRouter
from fastapi.responses import Response, StreamingResponse

from ragkit.config.schema import WRITERS
from ragkit.embed import make_token_counter
from ragkit.errors import ModelError
from ragkit.observe.trace import trace_id
from ragkit.serve import chat
from ragkit.serve.chat import ChatRequest, EmbeddingsRequest
from ragkit.serve.conversation import stand_alone
from ragkit.serve.events import Token, answered, encoded, events, kept_alive
from ragkit.serve.gate import Admitted
from ragkit.serve.problems import Json, Problem
from ragkit.serve.schemas import or_events
from ragkit.serve.server import PROBLEMS, Reader, Server, Shared
from ragkit.serve.structured import Form, filled, form_of
from ragkit.serve.writing import writer, written
from ragkit.types import Answer

router = APIRouter(prefix="/v1", tags=["OpenAI"], responses=PROBLEMS)

_CHECKED = "\n\nAfter checking its citations, the answer is:\n\n"


@router.post("/chat/completions", responses=or_events(chat.ChatResponse))
async def chat_completions(request: ChatRequest, admitted: Reader, server: Shared) -> Response:
    """Answer the last message of the user. Citations stand in the text and, as places in documents, in `ragkit`."""
    chat.checked(request)
    question = chat.question_of(request.messages)
    form = form_of(request.response_format)
    if form is not None and not admitted.rag.config.can_write:
        raise Problem(
            400,
            "invalid_request",
            f"response_format needs a language model: generation.backend {' or '.join(sorted(WRITERS))}",
        )
    memory = chat.memory_of(request.messages, admitted.rag.config.serve.memory_tokens)
    async with asyncio.timeout_at(admitted.deadline):
        question = await server.patiently(stand_alone, question, memory, writer(admitted))
    with_usage = request.stream_options is not None and bool(request.stream_options.include_usage)
    if request.stream and form is None:
        pieces = _chunks(server, admitted, question, with_usage)
        return StreamingResponse(kept_alive(pieces), media_type="text/event-stream")
    answer = await answered(server, admitted, question, ())
    content = answer.text if form is None else await _formed(server, admitted, form, question, answer)
    if request.stream:
        return StreamingResponse(_at_once(answer, content, with_usage), media_type="text/event-stream")
    return Json(chat.completion(answer, content))


async def _formed(server: Server, admitted: Admitted, form: Form, question: str, answer: Answer) -> str | None:
    """The answer in the form that was asked for; None if it is a refusal, which no schema has a place for."""
    if answer.refused:
        return None
    most = admitted.rag.config.generation.max_tokens
    async with asyncio.timeout_at(admitted.deadline):
        return await server.patiently(
            filled, form, question, answer.text, lambda request: written(admitted, request, most)
        )


async def _chunks(server: Server, admitted: Admitted, question: str, with_usage: bool) -> AsyncGenerator[bytes]:
    """The words as they come. What checking changed is said behind them, for nothing can be taken back."""
    identity, created, said = trace_id(), int(time.time()), ""
    yield encoded(chat.chunk(identity, created, {"role": "assistant", "content": ""}))
    async for event in events(server, admitted, question, ()):
        if isinstance(event, Token):
            said += event.text
            yield encoded(chat.chunk(identity, created, {"content": event.text}))
        elif isinstance(event, Problem):
            yield encoded(event.body())
            return
        elif isinstance(event, Answer):
            if rest := _rest(said, event.text):
                yield encoded(chat.chunk(identity, created, {"content": rest}))
            for piece in _end(event, identity, created, with_usage):
                yield piece


def _rest(said: str, checked: str) -> str:
    """What is to be added to the streamed words, so that the reader has the checked answer.

    >>> _rest("It is two.", "It is two. [Source: a]"), _rest("It is two.", "It is two.")
    (' [Source: a]', '')
    >>> _rest("It is two. [Source: b]", "It is two.").strip()
    'After checking its citations, the answer is:\\n\\nIt is two.'
    """
    if checked.strip() == said.strip():
        return ""
    return checked[len(said) :] if checked.startswith(said) else _CHECKED + checked


async def _at_once(answer: Answer, content: str | None, with_usage: bool) -> AsyncGenerator[bytes]:
    created = int(time.time())
    said = {"content": content} if content is not None else {"refusal": answer.text}
    yield encoded(chat.chunk(answer.trace_id, created, {"role": "assistant", **said}))
    for piece in _end(answer, answer.trace_id, created, with_usage):
        yield piece


def _end(answer: Answer, identity: str, created: int, with_usage: bool) -> list[bytes]:
    last = {**chat.chunk(identity, created, {}, end=True), "ragkit": chat.extension(answer)}
    told = [{**chat.chunk(identity, created, None), "usage": chat.usage(answer)}] if with_usage else []
    return [*(encoded(piece) for piece in (last, *told)), b"data: [DONE]\n\n"]


@router.get("/models", responses={200: {"model": chat.Models}})
async def models(admitted: Reader) -> Response:
    """The system as a chat model, and its embedding model."""
    return Json({"object": "list", "data": [_model(name) for name in _names(admitted)]})


@router.get("/models/{model:path}", responses={200: {"model": chat.Model}})
async def model(model: str, admitted: Reader) -> Response:
    """One of the models."""
    if model not in _names(admitted):
        raise Problem(404, "model_not_found", "there is no such model")
    return Json(_model(model))


def _names(admitted: Admitted) -> list[str]:
    return [chat.MODEL, admitted.rag.config.ingestion.embedding.model]


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "ragkit"}


@router.post("/embeddings", responses={200: {"model": chat.Embeddings}})
async def embeddings(request: EmbeddingsRequest, admitted: Reader) -> Response:
    """Vectors of texts by the embedding model of the index."""
    config = admitted.rag.config
    embedding = config.ingestion.embedding
    if request.model != embedding.model:
        raise Problem(404, "model_not_found", f"the model for embeddings is {embedding.model!r}")
    if embedding.backend == "openai" and config.costs.budgets:
        raise Problem(403, "not_allowed", "embeddings of an API are not offered under budgets, which do not count them")
    texts = [request.input] if isinstance(request.input, str) else request.input
    if not all(text.strip() for text in texts):
        raise Problem(400, "invalid_request", "input: a text is empty")
    async with asyncio.timeout_at(admitted.deadline):
        rows, tokens = await asyncio.to_thread(_embedded, admitted, texts, request.input_type == "query")
    if request.dimensions not in (None, rows.shape[1]):
        raise Problem(400, "invalid_request", f"dimensions: the vectors have {rows.shape[1]}")
    as_text = request.encoding_format == "base64"
    data = [
        {"object": "embedding", "index": index, "embedding": _base64(row) if as_text else row.tolist()}
        for index, row in enumerate(rows)
    ]
    counted = {"prompt_tokens": tokens, "total_tokens": tokens}
    return Json({"object": "list", "model": request.model, "data": data, "usage": counted})


def _embedded(admitted: Admitted, texts: list[str], questions: bool) -> tuple[Any, int]:
    counter = make_token_counter(admitted.rag.config.ingestion.embedding)
    embedder = admitted.rag.embedder
    try:
        rows = embedder.embed_questions(texts) if questions else embedder.embed_passages(texts)
    except ModelError as error:
        raise Problem(400, "context_length_exceeded", str(error)) from None
    return rows, sum(counter.count(text) for text in texts)


def _base64(row: Any) -> str:
    return base64.b64encode(np.asarray(row, dtype="<f4").tobytes()).decode()
