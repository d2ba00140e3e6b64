"""An answer as it comes: the stages of a question and the pieces of its text, as one stream of events.

The question runs in a task of its own that feeds a queue. So its stages are heard while the first word is waited for;
and when the reader goes away, the task is cancelled, and what was begun is charged.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

from ragkit.config.schema import Filter
from ragkit.observe.stages import Notice, Ranked, listening
from ragkit.serve.access import Caller
from ragkit.serve.gate import Admitted
from ragkit.serve.problems import Problem, problem_of
from ragkit.serve.server import Server
from ragkit.types import Answer, ScoredChunk


@dataclass(frozen=True, slots=True)
class Found:
    stage: Literal["retrieved", "reranked"]
    results: Sequence[ScoredChunk]


@dataclass(frozen=True, slots=True)
class Token:
    text: str


Event = Found | Token | Answer | Problem
"""What may come; an `Answer` or a `Problem` is the last."""


async def answered(
    server: Server, admitted: Admitted, question: str, filters: Sequence[Filter], task: str | None = None
) -> Answer:
    """The answer to a question under the conditions of its caller. Raises Problem."""
    caller, rag = admitted.caller, admitted.rag
    conditions = [*filters, *caller.conditions]
    began = time.perf_counter()
    try:
        with server.observed.question(question, rag.config) as told:
            async with asyncio.timeout_at(admitted.deadline):
                told.answer = answer = await rag.aask(question, filters=conditions, payer=caller.payer, task=task)
            await asyncio.to_thread(_note, server, caller, answer)
    except Exception as error:
        problem = problem_of(error)
        await asyncio.to_thread(server.outcomes.failed, caller, problem.code, _ms(began))
        raise problem from None
    return answer


def _note(server: Server, caller: Caller, answer: Answer) -> None:
    server.answers.note(caller, answer)
    server.outcomes.answered(caller, answer)


def _ms(began: float) -> float:
    return (time.perf_counter() - began) * 1e3


async def events(
    server: Server, admitted: Admitted, question: str, filters: Sequence[Filter], task: str | None = None
) -> AsyncGenerator[Event]:
    """The same as a stream; never raises but when it is given up."""
    queue: asyncio.Queue[Event] = asyncio.Queue()
    feeding = asyncio.create_task(_feed(queue, server, admitted, question, filters, task))
    try:
        while True:
            event = await queue.get()
            yield event
            if isinstance(event, (Answer, Problem)):
                return
    finally:
        feeding.cancel()
        with suppress(asyncio.CancelledError):
            await feeding


async def _feed(
    queue: asyncio.Queue[Event],
    server: Server,
    admitted: Admitted,
    question: str,
    filters: Sequence[Filter],
    task: str | None,
) -> None:
    loop, caller, rag = asyncio.get_running_loop(), admitted.caller, admitted.rag

    def hear(notice: Notice) -> None:
        if isinstance(notice, Ranked):
            loop.call_soon_threadsafe(queue.put_nowait, Found(notice.stage, notice.results))

    conditions = [*filters, *caller.conditions]
    began = time.perf_counter()
    try:
        with server.observed.question(question, rag.config) as told, listening(hear):
            async with asyncio.timeout_at(admitted.deadline):
                async for piece in rag.astream(question, filters=conditions, payer=caller.payer, task=task):
                    if isinstance(piece, Answer):
                        told.answer = piece
                    else:
                        queue.put_nowait(Token(piece))
            if told.answer is None:
                raise RuntimeError("a stream ended without its Answer")
            await asyncio.to_thread(_note, server, caller, told.answer)
        queue.put_nowait(told.answer)
    except Exception as error:
        problem = problem_of(error)
        await asyncio.to_thread(server.outcomes.failed, caller, problem.code, _ms(began))
        queue.put_nowait(problem)


def encoded(data: Any, name: str = "") -> bytes:
    """One server-sent event.

    >>> encoded({"text": "a"}, "token")
    b'event: token\\ndata: {"text": "a"}\\n\\n'
    """
    text = json.dumps(data, ensure_ascii=False, default=str)
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {text}\n\n".encode("utf-8", "replace")


async def kept_alive(pieces: AsyncGenerator[bytes], every_s: float = 15.0) -> AsyncGenerator[bytes]:
    """The pieces, with a comment where none comes for a while: proxies cut connections that say nothing."""
    waiting = asyncio.ensure_future(anext(pieces, None))
    try:
        while True:
            done, _ = await asyncio.wait([waiting], timeout=every_s)
            if not done:
                yield b": waiting\n\n"
                continue
            piece = waiting.result()
            if piece is None:
                return
            yield piece
            waiting = asyncio.ensure_future(anext(pieces, None))
    finally:
        waiting.cancel()
        with suppress(asyncio.CancelledError, StopAsyncIteration):
            await waiting
        await pieces.aclose()
