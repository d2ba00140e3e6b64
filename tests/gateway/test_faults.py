"""The fault suite: real servers that refuse, fail, hang, break off and lie, and many requests at once.

What is promised is counted by the servers. Time is held against the deadline only.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pytest

from ragkit.errors import StreamCut
from ragkit.gateway.deadline import Deadline
from ragkit.gateway.routing import Request, RoutedGenerator
from ragkit.generate.generated import Generated
from tests.gateway.fault_server import TEXT, WORDS, Fault, FaultServer
from tests.gateway.routed import QUESTION, RESULTS, routed

pytestmark = pytest.mark.integration

REQUESTS = 1000
AT_ONCE = 64
DEADLINE_S = 20.0
BOUNDS: dict[str, Any] = {"deadline_s": DEADLINE_S, "wait_s": 15.0, "attempts": 12, "paid_attempts": 12}


@dataclass
class Outcome:
    """What came of many requests: by a model, without one, streams that broke off; and the longest of them."""

    answered: int = 0
    degraded: int = 0
    cut: int = 0
    longest_s: float = 0.0
    texts: list[str] = field(default_factory=list[str])


def ask_many(generator: RoutedGenerator, requests: int, *, streamed: bool = False) -> Outcome:
    """That many requests, `AT_ONCE` under way, each with a deadline of its own. Any exception but a cut ends it."""
    outcome, numbers = Outcome(), count()

    async def worker() -> None:
        while next(numbers) < requests:
            deadline = Deadline.after(DEADLINE_S)
            bound = generator.on_behalf_of(Request(deadline=deadline))
            said: list[str] = []
            try:
                generated = await (whole_stream(bound, said) if streamed else bound.agenerate(QUESTION, RESULTS))
            except StreamCut as cut:
                outcome.cut += cut.said == "".join(said)
            else:
                outcome.degraded += generated.degraded
                outcome.answered += not generated.degraded
                assert not said or "".join(said) == generated.text
            outcome.texts.append("".join(said))
            outcome.longest_s = max(outcome.longest_s, DEADLINE_S - deadline.left())

    async def everybody() -> None:
        await asyncio.gather(*(worker() for _ in range(AT_ONCE)))

    asyncio.run(everybody())
    assert all(endpoint.under_way == 0 for endpoint in generator.router.endpoints.values())
    return outcome


async def whole_stream(generator: RoutedGenerator, said: list[str]) -> Generated:
    async for piece in generator.astream(QUESTION, RESULTS):
        if isinstance(piece, Generated):
            return piece
        said.append(piece)
    raise AssertionError("a stream ended without its whole")


def report(name: str, outcome: Outcome, servers: Sequence[FaultServer]) -> None:
    met = "; ".join(f"{letter}: {dict(server.calls)}" for letter, server in zip("abc", servers, strict=False))
    print(
        f"\n{name}: {outcome.answered} answered, {outcome.degraded} degraded, {outcome.cut} cut,"
        f" longest {outcome.longest_s:.2f} s of {DEADLINE_S:g} s; servers met {met}"
    )


THIRTY_OF_100: tuple[Fault, ...] = ("ok", "ok", "429", "ok", "ok", "429", "ok", "ok", "429", "ok")
THREE_OF_TEN: tuple[Fault, ...] = ("ok", "ok", "500", "ok", "500", "ok", "500", "ok", "ok", "ok")
EVERYTHING: tuple[Fault, ...] = ("429", "ok", "500", "cut", "ok", "broken", "401", "hang", "empty", "ok", "400")

SCENARIOS: dict[str, list[tuple[Fault, ...]]] = {
    "30% over the rate limit, everywhere": [THIRTY_OF_100, THIRTY_OF_100],
    "30% over the rate limit, and nobody else": [THIRTY_OF_100],
    "500 for ever": [("500",), ("ok",)],
    "500 for ever, and three of ten at the other": [
        ("500",),
        ("ok", "ok", "500", "ok", "500", "ok", "500", "ok", "ok", "ok"),
    ],
    "hangs": [("hang",), ("ok",)],
    "cuts": [("cut",), ("ok", "ok", "ok", "ok", "cut")],
    "broken JSON": [("broken",), ("ok", "broken", "ok")],
    "everything at once": [EVERYTHING, EVERYTHING, ("ok",)],
}


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("name", SCENARIOS)
def test_at_least_999_of_1000_are_answered_in_time_while_one_endpoint_lives(name: str, streamed: bool) -> None:
    with ExitStack() as stack:
        servers = [stack.enter_context(FaultServer(plan, retry_after="1", by_chance=True)) for plan in SCENARIOS[name]]
        named = dict(zip("abc", servers, strict=False))
        generator = stack.enter_context(routed(named, {letter: {"timeout_s": 4.0} for letter in named}, **BOUNDS))
        outcome = ask_many(generator, REQUESTS, streamed=streamed)
        report(name, outcome, servers)
    assert outcome.answered >= 0.999 * REQUESTS
    assert outcome.answered + outcome.degraded == REQUESTS, "no exception, and no stream cut before its first word"
    assert outcome.longest_s <= DEADLINE_S


def test_streams_that_break_off_are_marked_and_no_word_comes_twice() -> None:
    plan: tuple[Fault, ...] = ("ok", "cut", "cut_late", "ok", "500", "cut_late", "ok")
    with FaultServer(plan) as one, FaultServer() as other, routed({"a": one, "b": other}, **BOUNDS) as generator:
        outcome = ask_many(generator, REQUESTS, streamed=True)
        report("cuts behind the first word", outcome, [one, other])
        assert outcome.cut == one.calls["cut_late"] > 0
        assert outcome.answered == REQUESTS - outcome.cut
        assert set(outcome.texts) == {TEXT, "".join(WORDS[:2])}


def test_no_ordinary_call_goes_through_an_open_breaker() -> None:
    breaker = {"failures": 5, "open_s": 3600.0}
    with (
        FaultServer(["500"]) as down,
        FaultServer() as other,
        routed({"a": down, "b": other}, breaker=breaker, **BOUNDS) as generator,
    ):
        ask_many(generator, AT_ONCE)
        assert generator.router.endpoints["a"].state == "open"
        before = down.asked
        outcome = ask_many(generator, REQUESTS)
        assert (down.asked - before, outcome.answered) == (0, REQUESTS)


@pytest.mark.parametrize("how", ["tasks", "threads"])
@pytest.mark.parametrize("lives", [False, True])
def test_one_of_64_at_once_is_the_probe(how: str, lives: bool) -> None:
    breaker = {"failures": 3, "open_s": 0.5}
    with FaultServer(["500"]) as flaky, FaultServer() as other:  # noqa: SIM117
        with routed({"a": flaky, "b": other}, breaker=breaker, **BOUNDS) as generator:
            for _ in range(3):
                generator.generate(QUESTION, RESULTS)
            assert (generator.router.endpoints["a"].state, flaky.asked) == ("open", 3)
            flaky.meets(["ok" if lives else "500"])
            flaky.pause_s = 2.0  # the probe outlasts the others, which go past it
            time.sleep(0.6)
            if how == "tasks":
                ask_many(generator, AT_ONCE)
            else:
                together = threading.Barrier(AT_ONCE)

                def ask() -> Generated:
                    together.wait()
                    return generator.generate(QUESTION, RESULTS)

                with ThreadPoolExecutor(AT_ONCE) as pool:
                    answers = [each.result() for each in [pool.submit(ask) for _ in range(AT_ONCE)]]
                assert not any(answer.degraded for answer in answers)
            assert flaky.asked == 4
            assert generator.router.endpoints["a"].state == ("closed" if lives else "open")


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "stream"])
def test_in_a_total_outage_every_question_gets_the_documents_and_models_come_back(streamed: bool) -> None:
    with FaultServer(["500"]) as one, FaultServer(["429"], retry_after="3600") as other:
        bounds: dict[str, Any] = {**BOUNDS, "wait_s": 0.2, "breaker": {"failures": 5, "open_s": 1.0}}
        with routed({"a": one, "b": other}, **bounds) as generator:
            outcome = ask_many(generator, 200, streamed=streamed)
            report("total outage", outcome, [one, other])
            assert (outcome.answered, outcome.degraded) == (0, 200)
            assert outcome.longest_s <= DEADLINE_S
            one.meets(["ok"])
            time.sleep(1.1)
            ask_many(generator, 1, streamed=streamed)
            assert ask_many(generator, 100, streamed=streamed).answered == 100


def test_when_everything_hangs_no_request_outlasts_its_deadline() -> None:
    with FaultServer(["hang"]) as one, FaultServer(["hang"]) as other:
        with routed({"a": one, "b": other}, breaker={"failures": 10_000}, **BOUNDS) as generator:
            outcome = ask_many(generator, AT_ONCE)
            report("everything hangs", outcome, [one, other])
        assert outcome.degraded == AT_ONCE
        assert outcome.longest_s <= DEADLINE_S
