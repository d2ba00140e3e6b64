"""A question on its way: what the cache has is given, else it is paid for, answered, kept and written down.

    cache ─ budget ─ stages (`ragkit.ask`) ─ cache ─ ledger

Four ways of asking, one way through. Imported when something is asked.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ragkit import ask as answering
from ragkit.ask import Stages, sentence_splitter
from ragkit.gateway.cache import AnswerCache, Question, Uncached
from ragkit.gateway.spending import Open, without_a_model
from ragkit.types import Answer

if TYPE_CHECKING:
    from ragkit.config.schema import Filter
    from ragkit.gateway.cache import Unanswered
    from ragkit.gateway.ledger import Payer
    from ragkit.gateway.routing import Request
    from ragkit.parts import Parts


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, whom the ledger charges for it, and what the endpoints are told of it (None where there are none)."""

    question: str
    filters: Sequence[Filter]
    payer: Payer
    task: str | None
    request: Request | None


@dataclass(frozen=True, slots=True)
class Opened:
    """What a question needs of a system, all of one index, whatever is switched meanwhile.

    `state` names the state of the index for the cache; `lacking` is what is to be told of it with every answer.
    """

    parts: Parts
    cache: AnswerCache | None
    state: str
    stages: Stages
    lacking: str | None

    def told(self, answer: Answer) -> Answer:
        """The answer, with what is to be told of the index: a note that is not kept with it."""
        return replace(answer, notes=(*answer.notes, self.lacking)) if self.lacking else answer


def ask(opened: Opened, asked: Asked) -> Answer:
    with _looked_up(opened, asked) as found:
        if isinstance(found, Answer):
            return opened.told(opened.parts.spending.given(found, asked.payer))
        with opened.parts.spending.call(asked.question, asked.payer) as call:
            answer = answering.ask(asked.question, _within(call, found.stages, asked), asked.filters)
            return opened.told(call.noted(found.answered(answer, as_configured=not call.free)))


async def aask(opened: Opened, asked: Asked) -> Answer:
    async with _alooked_up(opened, asked) as found:
        if isinstance(found, Answer):
            return opened.told(await opened.parts.spending.agiven(found, asked.payer))
        async with opened.parts.spending.acall(asked.question, asked.payer) as call:
            answer = await answering.aask(asked.question, _within(call, found.stages, asked), asked.filters)
            return opened.told(call.noted(await found.aanswered(answer, as_configured=not call.free)))


def stream(opened: Opened, asked: Asked) -> Iterator[str | Answer]:
    with _looked_up(opened, asked) as found:
        if isinstance(found, Answer):
            yield found.text
            yield opened.told(opened.parts.spending.given(found, asked.payer))
            return
        with opened.parts.spending.call(asked.question, asked.payer) as call:
            for piece in answering.stream(asked.question, _within(call, found.stages, asked), asked.filters):
                if isinstance(piece, str):
                    yield piece
                else:
                    yield opened.told(call.noted(found.answered(piece, as_configured=not call.free)))


async def astream(opened: Opened, asked: Asked) -> AsyncIterator[str | Answer]:
    async with _alooked_up(opened, asked) as found:
        if isinstance(found, Answer):
            yield found.text
            yield opened.told(await opened.parts.spending.agiven(found, asked.payer))
            return
        async with opened.parts.spending.acall(asked.question, asked.payer) as call:
            async for piece in answering.astream(asked.question, _within(call, found.stages, asked), asked.filters):
                if isinstance(piece, str):
                    yield piece
                else:
                    yield opened.told(call.noted(await found.aanswered(piece, as_configured=not call.free)))


def _looked_up(opened: Opened, asked: Asked) -> AbstractContextManager[Answer | Unanswered]:
    """Around a question: the answer that the cache has, or where to put the new one."""
    if opened.cache is None:
        return nullcontext(Uncached(opened.stages))
    return opened.cache.asked(_for_cache(opened, asked), opened.stages)


def _alooked_up(opened: Opened, asked: Asked) -> AbstractAsyncContextManager[Answer | Unanswered]:
    """`_looked_up` without blocking the event loop."""
    if opened.cache is None:
        return nullcontext(Uncached(opened.stages))
    return opened.cache.aasked(_for_cache(opened, asked), opened.stages)


def _for_cache(opened: Opened, asked: Asked) -> Question:
    return Question(asked.question, asked.filters, asked.payer.tenant, asked.task, opened.state)


def _within(call: Open, stages: Stages, asked: Asked) -> Stages:
    """The stages that a call may use: endpoints that know of the request, and no language model where its budget is
    used up."""
    if call.free:
        from ragkit.generate import make_generator

        config = without_a_model(stages.config)
        generator = make_generator(config.generation, sentence_splitter(config), stages.embedder, stages.reader)
        return replace(stages, config=config, generator=generator, rewriter=None)
    if asked.request is None:
        return stages
    from ragkit.gateway.routing import RoutedGenerator

    generator = stages.generator
    routed = generator.on_behalf_of(asked.request) if isinstance(generator, RoutedGenerator) else generator
    return replace(stages, generator=routed)
