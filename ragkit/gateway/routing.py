"""A generator over several endpoints: one retry loop, one deadline, and an answer whatever happens to them.

question ─ policy ─ plan ─ (endpoint ─ try)… ─ Generated
                                └─ none left ─ sentences of the documents, marked `degraded`

This is the only place where a call is made again; the clients of services do it never.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Iterator, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol, TypeVar, cast, runtime_checkable

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type

from ragkit.config.routing import Routing
from ragkit.config.schema import WRITERS, Config
from ragkit.errors import RagkitError, ServiceError, StreamCut
from ragkit.gateway import policy
from ragkit.gateway.blocking import Background
from ragkit.gateway.cascade import second_thoughts, too_hard
from ragkit.gateway.deadline import Deadline
from ragkit.gateway.endpoints import Changes, Endpoint, Make
from ragkit.gateway.plan import AttemptFailed, Plan, Running, Unavailable
from ragkit.gateway.task import TaskGuesser
from ragkit.generate.generated import Generated
from ragkit.types import REFUSAL_TEXT, Attempt, ScoredChunk, Usage

if TYPE_CHECKING:
    from ragkit.embed import Embedder
    from ragkit.generate import Generator

T = TypeVar("T")
_log = logging.getLogger("ragkit.routing")

NOTE = "no language model could be reached in time: these are sentences of the documents"
KEPT = "no better model could be reached in time: this is the answer of the cheap one"
LATE = "no language model could be reached in time, and no time was left to search for sentences that answer"
_TO_GUESS = 0.2
"""Part of a request's time that guessing its task may take."""
STAND_IN = "documents"
"""What the answer without a model is called among the attempts."""


@dataclass(frozen=True, slots=True)
class Request:
    """What the policy knows of a question beside its text, and until when it must be answered."""

    tenant: str = ""
    task: str | None = None
    deadline: Deadline | None = None


@runtime_checkable
class _Closes(Protocol):
    async def aclose(self) -> None: ...


class Router:
    """What all requests of one system share: endpoints with their health, and the answer without a model."""

    def __init__(self, config: Config, make: Make, embedder: Embedder) -> None:
        """`make` makes a generator from settings; each is made when it is first needed. `embedder` helps to guess the
        task of a question where the policy goes by it."""
        self.routing: Routing = config.routing
        self.changes = Changes()
        self.background = Background("ragkit-routing")
        self.endpoints = {
            each.name: Endpoint(each, config.generation, config.routing, make, self.changes)
            for each in config.routing.endpoints
        }
        alone = config.generation.without_model()
        self._make_stand_in = lambda: make(alone)
        self._stand_in: Generator | None = None
        self._loading = threading.Lock()
        self._tasks = TaskGuesser(embedder)

    async def task_of(self, question: str, named: str | None, deadline: Deadline) -> str | None:
        """The task that the policy is to go by: the one that is named, else a guess where it goes by tasks at all; None
        where it cannot be guessed in a part of the time, for a question must not fail of that."""
        if named is not None or self.routing.policy != "tasks":
            return named
        try:
            async with asyncio.timeout(_TO_GUESS * deadline.left()):
                return await asyncio.to_thread(self._tasks.guess, question)
        except (RagkitError, TimeoutError) as error:
            _log.warning("the task of a question could not be guessed: %s", error or "it took too long")
            return None

    def warm(self) -> None:
        """Load what guesses tasks, if any are guessed. Raises what the embedder raises."""
        if self.routing.policy == "tasks":
            self._tasks.load()

    async def stand_in(self) -> Generator:
        """The generator that needs no model behind an API."""
        if self._stand_in is None:
            return await asyncio.to_thread(self._loaded_stand_in)
        return self._stand_in

    def _loaded_stand_in(self) -> Generator:
        """Once, for all requests that come to it at the same time, and for one whose time was over while it loaded."""
        with self._loading:
            if self._stand_in is None:
                self._stand_in = self._make_stand_in()
            return self._stand_in

    def close(self) -> None:
        """Close the connections of callers without an event loop. The router can be used again."""
        self.background.close(self._close_clients)

    async def _close_clients(self) -> None:
        for endpoint in self.endpoints.values():
            if isinstance(endpoint.made, _Closes):
                await endpoint.made.aclose()


class RoutedGenerator:
    """A `Generator` over the endpoints of a router, for one request or (without one) for any.

    `generate` and `agenerate` always answer, if only with a refusal when no time is left; a stream does too, unless it
    breaks off behind its first words: then it raises `StreamCut`.
    """

    def __init__(self, router: Router, request: Request | None = None) -> None:
        self.router = router
        self._request = request or Request()
        self._may_be_silent = False

    def on_behalf_of(self, request: Request) -> RoutedGenerator:
        """The same endpoints for a request of which more is known."""
        return RoutedGenerator(self.router, request)

    def for_rewriting(self) -> RoutedGenerator:
        """The same, but what writes no text (`write`) gives "" where it would raise: a question can be searched as it
        is."""
        writer = RoutedGenerator(self.router, self._request)
        writer._may_be_silent = True
        return writer

    def generate(self, question: str, results: Sequence[ScoredChunk]) -> Generated:
        return self.router.background.run(self.agenerate(question, results))

    def stream(self, question: str, results: Sequence[ScoredChunk]) -> Iterator[str | Generated]:
        return self.router.background.each(lambda: self.astream(question, results))

    async def agenerate(self, question: str, results: Sequence[ScoredChunk]) -> Generated:
        plan = await self._plan(question, results)
        cheap: Generated | None = None
        try:
            if self.router.routing.policy == "cascade":
                cheap, good = await self._cheap(plan, question, results)
                if cheap is not None and good:
                    return _with(cheap, plan)
            generated, running = await self._tried(plan, lambda generator: generator.agenerate(question, results))
        except (AttemptFailed, Unavailable):
            return await self._otherwise(plan, question, results, cheap)
        running.answered(generated.usage, generated.model)
        return _with(generated, plan)

    async def astream(self, question: str, results: Sequence[ScoredChunk]) -> AsyncGenerator[str | Generated]:
        plan = await self._plan(question, results)
        cheap: Generated | None = None
        whole: Generated | None = None
        try:
            if self.router.routing.policy == "cascade":
                cheap, good = await self._cheap(plan, question, results)
                whole = _with(cheap, plan) if cheap is not None and good else None
            begun = None if whole else await self._tried(plan, lambda generator: _begun(generator, question, results))
        except (AttemptFailed, Unavailable):
            begun, whole = None, await self._otherwise(plan, question, results, cheap)
        if begun is None:
            generated = cast("Generated", whole)
            yield generated.text
            yield generated
            return
        async with aclosing(_shown(*begun, plan)) as shown:
            async for piece in shown:
                yield piece

    def write(self, request: str, max_tokens: int) -> tuple[str, Usage]:
        """A text that no documents go into, by the first endpoint that can write and does.

        Raises ServiceError if there is none.
        """
        return self.router.background.run(self._write(request, max_tokens))

    async def _write(self, request: str, max_tokens: int) -> tuple[str, Usage]:
        plan = await self._plan(request, (), WRITERS)

        async def written(generator: Generator) -> tuple[str, Usage]:
            return await asyncio.to_thread(cast("_Writer", generator).write, request, max_tokens)

        try:
            (text, usage), running = await self._tried(plan, written)
        except (AttemptFailed, Unavailable) as error:
            if self._may_be_silent:
                return "", Usage()
            raise ServiceError("no language model could be reached in time", mend="ask again") from error
        running.answered(usage, running.endpoint.generation.model or "")
        return text, usage

    async def _plan(
        self, question: str, results: Sequence[ScoredChunk], backends: Collection[str] | None = None
    ) -> Plan:
        """The plan of a question over the endpoints that its policy allows, or those of them with these backends."""
        router, request = self.router, self._request
        deadline = request.deadline or Deadline.after(router.routing.deadline_s)
        # What is written without documents is a request of our own and no question.
        task = request.task if backends else await router.task_of(question, request.task, deadline)
        names = policy.order(router.routing, question, results, task=task, tenant=request.tenant)
        order = [router.endpoints[name] for name in names]
        if backends is not None:
            order = [endpoint for endpoint in order if endpoint.generation.backend in backends]
        return Plan(router.routing, order, deadline, router.changes)

    async def _tried(self, plan: Plan, use: Callable[[Generator], Awaitable[T]]) -> tuple[T, Running]:
        """What `use` makes of the first endpoint that works, with the try, which is still to be ended.

        Raises AttemptFailed or Unavailable when no endpoint did in the plan's bounds.
        """
        if plan.spent:
            raise AttemptFailed("no try is left")
        begin = self._hedged if self.router.routing.hedge_after_s is not None else _attempt
        seen = 0

        def pause(state: RetryCallState) -> float:
            nonlocal seen
            error = state.outcome.exception() if state.outcome else None
            seen = error.seen if isinstance(error, Unavailable) else 0
            return plan.pause(error)

        def ended(state: RetryCallState) -> bool:
            return plan.ended(state.outcome.exception() if state.outcome else None, state.upcoming_sleep)

        async def sleep(seconds: float) -> None:
            if seconds > 0:
                began = plan.now()
                await plan.changes.wait(seconds, seen)
                plan.waited += plan.now() - began

        retrying = AsyncRetrying(
            retry=retry_if_exception_type((AttemptFailed, Unavailable)),
            wait=pause,
            stop=ended,
            sleep=sleep,
            reraise=True,
        )
        return await retrying(begin, plan, use)

    async def _hedged(self, plan: Plan, use: Callable[[Generator], Awaitable[T]]) -> tuple[T, Running]:
        """`_attempt`, and another one beside it where the first takes long; who is through first wins."""
        pending = {asyncio.create_task(_attempt(plan, use))}
        won: tuple[T, Running] | None = None
        failure: RagkitError | None = None
        try:
            done, _ = await asyncio.wait(pending, timeout=self.router.routing.hedge_after_s)
            if not done and not plan.spent:
                pending.add(asyncio.create_task(_attempt(plan, use)))
            while pending and won is None:
                done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    try:
                        ready = task.result()
                    except Unavailable as error:  # nobody to hedge with
                        failure = failure or error
                    except AttemptFailed as error:
                        failure = error
                    else:
                        if won is None:
                            won = ready
                        else:
                            await _discarded(*ready)
        finally:
            for task in pending:
                task.cancel()
            try:
                for ready in await asyncio.gather(*pending, return_exceptions=True):
                    if not isinstance(ready, BaseException):  # through in the same moment
                        await _discarded(*ready)
            except BaseException:
                if won is not None:
                    won[1].abandoned("cancelled")
                raise
        if won is None:
            raise failure or AttemptFailed("no try was made")
        return won

    async def _cheap(self, plan: Plan, question: str, results: Sequence[ScoredChunk]) -> tuple[Generated | None, bool]:
        """The answer of the first cheap endpoint whose answer does, else the last that is no refusal, and whether it
        does. Each is tried once; the plan goes on with those whose answers are taken as they are, and behind them
        with the cheap ones that failed."""
        settings = self.router.routing.cascade
        judged = [each for each in plan.order if each.name in settings.scores] if settings.scores else plan.order[:1]
        others = [each for each in plan.order if each not in judged]
        failed: list[Endpoint] = []
        given: list[Generated] = []
        try:
            if await asyncio.to_thread(too_hard, question, results, settings):
                return None, False
            for endpoint in judged:
                plan.going_to([endpoint])
                if plan.spent:
                    break
                try:
                    cheap, running = await _attempt(plan, lambda generator: generator.agenerate(question, results))
                except (AttemptFailed, Unavailable):
                    failed.append(endpoint)
                    continue
                running.answered(cheap.usage, cheap.model)
                judge = (endpoint.name, question, results, cheap, tuple(given), settings)
                doubt = await asyncio.to_thread(second_thoughts, *judge)
                given.append(cheap)
                if not doubt:
                    return cheap, True
                plan.attempts[-1] = replace(plan.attempts[-1], outcome=f"not taken: {doubt}")
        finally:
            plan.going_to([*others, *failed])
        return next((each for each in reversed(given) if not each.refused), given[-1] if given else None), False

    async def _otherwise(
        self, plan: Plan, question: str, results: Sequence[ScoredChunk], cheap: Generated | None
    ) -> Generated:
        """The answer when no endpoint gave one: that of the cheap model, or sentences of the documents."""
        if cheap is not None:
            return replace(_with(cheap, plan), degraded=True, notes=(*cheap.notes, KEPT))
        _log.error("no endpoint answered; tried: %s", _told(plan.attempts))
        began = plan.now()
        try:
            async with asyncio.timeout(plan.left_without()):
                generated = await (await self.router.stand_in()).agenerate(question, results)
        except TimeoutError:
            nothing = Generated(REFUSAL_TEXT, Usage(), "none", refused=True, finish_reason="stop", used=())
            return replace(_with(nothing, plan), degraded=True, notes=(LATE,))
        plan.attempts.append(Attempt(STAND_IN, generated.model, "answered", plan.now() - began, generated.usage))
        return replace(_with(generated, plan), degraded=True, notes=(*generated.notes, NOTE))


class _Writer(Protocol):
    def write(self, request: str, max_tokens: int) -> tuple[str, Usage]: ...


@dataclass(slots=True)
class _Stream:
    """A stream whose first words are here."""

    pieces: AsyncGenerator[str | Generated]
    first: str | Generated


async def _attempt(plan: Plan, use: Callable[[Generator], Awaitable[T]]) -> tuple[T, Running]:
    """One try. Raises Unavailable, and AttemptFailed when it failed or its time was over."""
    running = plan.start()
    try:
        async with asyncio.timeout(running.limit_s):
            return await use(await running.endpoint.generator()), running
    except (RagkitError, TimeoutError) as error:
        raise running.failed(error) from error
    except BaseException:
        running.abandoned("cancelled")
        raise


async def _begun(generator: Generator, question: str, results: Sequence[ScoredChunk]) -> _Stream:
    """The stream of a generator as far as its first words: until then another one can take its place."""
    pieces = cast("AsyncGenerator[str | Generated]", generator.astream(question, results))
    try:
        async for piece in pieces:
            if piece:
                return _Stream(pieces, piece)
    except BaseException:
        await pieces.aclose()
        raise
    raise RuntimeError("a generator's stream ended without its Generated")


async def _shown(stream: _Stream, running: Running, plan: Plan) -> AsyncGenerator[str | Generated]:
    """The rest of a stream, its first words in front. Raises StreamCut if it fails: nobody can take its place now."""
    said: list[str] = []
    piece: str | Generated = stream.first
    try:
        while isinstance(piece, str):
            said.append(piece)
            yield piece
            async with asyncio.timeout(max(0.0, running.limit_at - plan.now())):
                piece = await anext(stream.pieces)
    except (RagkitError, TimeoutError) as error:
        failed = running.failed(error)
        raise StreamCut(f"the answer broke off ({failed.message})", "".join(said)) from error
    except BaseException:
        running.abandoned("left")
        raise
    finally:
        await stream.pieces.aclose()
    running.answered(piece.usage, piece.model)
    yield _with(piece, plan)


async def _discarded(value: object, running: Running) -> None:
    """End a try whose answer comes second."""
    if isinstance(value, Generated):
        running.answered(value.usage, value.model, "second")
        return
    if isinstance(value, _Stream):
        with suppress(RagkitError):
            await value.pieces.aclose()
    running.abandoned("second")


def _with(generated: Generated, plan: Plan) -> Generated:
    return replace(generated, attempts=tuple(plan.attempts))


def _told(attempts: Sequence[Attempt]) -> str:
    return ", ".join(f"{each.endpoint} ({each.outcome})" for each in attempts) or "none"
