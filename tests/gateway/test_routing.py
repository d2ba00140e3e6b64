"""Several endpoints behind one question: who is asked, what becomes of failures, and what they cost.

All against real HTTP servers on this machine, which count what reaches them.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import closing, suppress
from typing import Any

import pytest

from ragkit.config.schema import Config, Embedding, Generation
from ragkit.embed import make_embedder
from ragkit.errors import ServiceError, StreamCut
from ragkit.gateway.cost import cost_lines, worst_case
from ragkit.gateway.deadline import Deadline
from ragkit.gateway.routing import NOTE, STAND_IN, Request, RoutedGenerator, Router
from ragkit.generate import Generator as AnswerGenerator
from ragkit.generate.generated import Generated, whole_of
from ragkit.types import Attempt, Chunk, ScoredChunk, Usage
from tests.gateway.fault_server import TEXT, WORDS, Fault, FaultServer
from tests.gateway.routed import (
    DEAD,
    QUESTION,
    RESULTS,
    SHORT,
    asked,
    config_over,
    embedder,
    make,
    outcomes,
    routed,
    serving,
)


def test_the_answering_model_is_named_and_its_try_is_noted(good: FaultServer) -> None:
    with routed({"a": good}) as generator:
        generated = asked(generator)
    assert (generated.text, generated.model, generated.degraded) == (TEXT, "good", False)
    assert [(each.endpoint, each.model, each.usage) for each in generated.attempts] == [("a", "good", Usage(120, 7))]


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        ("429", "HTTP 429"),
        ("500", "HTTP 500"),
        ("401", "HTTP 401"),
        ("400", "HTTP 400"),
        ("cut", "cut off"),
        ("broken", "unreadable"),
        ("empty", "empty"),
    ],
)
def test_when_one_fails_the_next_is_asked_at_once(good: FaultServer, fault: Fault, outcome: str) -> None:
    with serving(fault) as bad, routed({"a": bad, "b": good}) as generator:
        generated = asked(generator)
    assert outcomes(generated) == [("a", outcome), ("b", "answered")]
    assert (bad.asked, good.asked) == (1, 1), "no client makes a call again by itself"


def test_one_that_is_not_there_or_says_nothing_is_passed_over(good: FaultServer) -> None:
    with serving("hang") as mute, routed({"a": DEAD, "b": mute, "c": good}, {"b": {"timeout_s": 0.3}}) as generator:
        assert outcomes(asked(generator)) == [("a", "unreachable"), ("b", "timed out"), ("c", "answered")]


def test_without_a_time_limit_a_try_gets_half_of_what_is_left_while_another_is_untried(good: FaultServer) -> None:
    with serving("hang") as mute, routed({"a": mute, "b": good}, deadline_s=2.0) as generator:
        first, second = asked(generator).attempts
    assert (first.outcome, second.outcome) == ("timed out", "answered")
    assert first.seconds < 2.0


def test_single_asks_the_first_only_and_again() -> None:
    with serving("500", "500", "ok") as flaky, serving() as other:
        with routed({"a": flaky, "b": other}, policy="single") as generator:
            assert [name for name, _ in outcomes(asked(generator))] == ["a", "a", "a"]
        assert other.asked == 0


def test_one_that_finds_fault_with_the_question_is_not_asked_again() -> None:
    with serving("400") as picky, routed({"a": picky}, **SHORT) as generator:
        assert asked(generator).degraded
        assert picky.asked == 1


def test_retry_after_is_kept_by_every_request() -> None:
    with serving("429", "ok", retry_after="1") as limited, routed({"a": limited}) as generator:

        async def both() -> list[Generated]:
            first = asyncio.create_task(generator.agenerate(QUESTION, RESULTS))
            while not limited.refused_at:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.1)
            return [await generator.agenerate(QUESTION, RESULTS), await first]

        answers = asyncio.run(both())
        assert [answer.degraded for answer in answers] == [False, False]
        early = [at for at in limited.times[1:] if at < limited.refused_at[0] + 1.0]
        assert not early, "the server counts by its own clock"


def test_a_retry_after_beyond_the_patience_is_not_waited_for() -> None:
    with serving("429", retry_after="3600") as limited, routed({"a": limited}, **SHORT) as generator:
        generated = asked(generator)
        assert (generated.degraded, limited.asked) == (True, 1)


def test_when_all_are_down_the_documents_speak() -> None:
    with serving("500") as one, routed({"a": one, "b": DEAD}, **SHORT) as generator:
        generated = asked(generator)
    assert generated.degraded
    assert "The battery lasts 10 hours." in generated.text
    assert NOTE in generated.notes
    assert generated.model == "extractive"
    assert generated.attempts[-1].endpoint == STAND_IN
    assert "127.0.0.1" not in str(generated.notes), "addresses are no business of the reader"


def test_an_endpoint_that_cannot_be_made_is_passed_over(good: FaultServer) -> None:
    broken = {"a": {"backend": "llama_cpp", "model": "/no/such/model.gguf", "base_url": None}}
    with routed({"a": good, "b": good}, broken) as generator:
        generated = asked(generator)
    assert [name for name, _ in outcomes(generated)] == ["a", "b"]
    assert not generated.degraded


def test_what_stands_in_is_made_once_though_many_need_it_at_a_time() -> None:
    made: list[Generation] = []

    def slowly(generation: Generation) -> AnswerGenerator:
        made.append(generation)
        time.sleep(0.2)
        return make(generation)

    router = Router(config_over({"a": DEAD}), slowly, embedder())

    async def all_at_once() -> list[AnswerGenerator]:
        with suppress(TimeoutError):
            async with asyncio.timeout(0.01):  # one whose time is over goes on loading
                await router.stand_in()
        return await asyncio.gather(*(router.stand_in() for _ in range(8)))

    found = asyncio.run(all_at_once())
    assert len(made) == 1
    assert len(set(map(id, found))) == 1


def test_a_request_ends_in_its_time_whatever_its_endpoints_do() -> None:
    with serving("hang") as mute, routed({"a": mute}, deadline_s=30.0) as generator:
        embedder().embed_question("loads what the documents need")
        deadline = Deadline.after(3.0)
        generated = asked(generator.on_behalf_of(Request(deadline=deadline)))
        assert deadline.left() > 0
        assert generated.degraded


def test_no_more_tries_are_paid_than_allowed_while_refusals_are_free() -> None:
    with serving("429", "cut", "429", "cut", "ok") as server:
        with routed({"a": server}, paid_attempts=2) as generator:
            assert asked(generator).degraded
        assert server.calls == {"429": 2, "cut": 2}


# Policies


def test_weighted_shares_questions_by_weight_and_stands_in_with_the_others() -> None:
    with serving() as light, serving() as heavy, serving() as none:
        weights = {"a": {"weight": 1.0}, "b": {"weight": 3.0}, "c": {"weight": 0.0}}
        with routed({"a": light, "b": heavy, "c": none}, weights, policy="weighted") as generator:

            async def many() -> None:
                await asyncio.gather(*(generator.agenerate(QUESTION, RESULTS) for _ in range(400)))

            asyncio.run(many())
            assert (light.asked + heavy.asked, none.asked) == (400, 0)
            assert 240 < heavy.asked < 360  # 300, give or take 7 standard deviations
            light.meets(["500"])
            heavy.meets(["500"])
            assert outcomes(asked(generator))[-1] == ("c", "answered")


RULES: list[dict[str, Any]] = [
    {"task": "code", "endpoints": ["a"]},
    {"tenant": "acme", "endpoints": ["b"]},
    {"metadata": {"secret": "yes"}, "endpoints": ["c"]},
    {"min_length": 100, "endpoints": ["d"]},
]


@pytest.mark.parametrize(
    ("request_", "question", "secret", "answers"),
    [
        (Request(task="code", tenant="acme"), QUESTION, "no", "a"),
        (Request(tenant="acme"), QUESTION, "no", "b"),
        (Request(), QUESTION, "yes", "c"),
        (Request(), QUESTION * 9, "no", "d"),
        (Request(), QUESTION, "no", "e"),
    ],
)
def test_rules_go_by_task_tenant_metadata_and_length(
    good: FaultServer, request_: Request, question: str, secret: str, answers: str
) -> None:
    rules = [*RULES, {"endpoints": ["e"]}]
    chunk = Chunk("c", "d", "Hot.", 0, 4, 1, {"source_document": "a.pdf", "secret": secret})
    with routed(dict.fromkeys("abcde", good), policy="rules", rules=rules) as generator:
        generated = generator.on_behalf_of(request_).generate(question, [ScoredChunk(chunk, 1.0, {})])
    assert outcomes(generated) == [(answers, "answered")]


@pytest.mark.parametrize(
    ("task", "question", "prefer", "tried"),
    [
        ("summarisation", QUESTION, "best", ["down", "b"]),
        ("summarisation", QUESTION, "economical", ["b"]),
        (None, "Sum up the manual.", "economical", ["b"]),
        (None, QUESTION, "best", ["c"]),
        ("code", QUESTION, "best", ["down", "b"]),
    ],
)
def test_tasks_go_to_their_pair_whoever_says_what_they_are(
    good: FaultServer, task: str | None, question: str, prefer: str, tried: list[str]
) -> None:
    """A task without a pair goes to all in their order."""
    tasks = {"summarisation": {"best": "down", "economical": "b"}, "extraction": {"best": "c", "economical": "b"}}
    urls = {"down": DEAD, "b": good, "c": good}
    with routed(urls, policy="tasks", tasks=tasks, prefer=prefer) as generator:
        generated = generator.on_behalf_of(Request(task=task)).generate(question, RESULTS)
    assert [attempt.endpoint for attempt in generated.attempts] == tried


def test_a_task_that_cannot_be_guessed_leaves_all_endpoints(good: FaultServer) -> None:
    tasks = {"extraction": {"best": "b", "economical": "b"}}
    away = make_embedder(Embedding.model_validate({"backend": "openai", "model": "m", "base_url": DEAD}))
    router = Router(config_over({"a": good, "b": good}, policy="tasks", tasks=tasks), make, away)
    with closing(router):
        assert outcomes(asked(RoutedGenerator(router))) == [("a", "answered")]


def test_a_rule_keeps_its_questions_from_every_other_endpoint(good: FaultServer) -> None:
    rules = [{"tenant": "acme", "endpoints": ["a"]}]
    with routed({"a": DEAD, "b": good}, policy="rules", rules=rules, **SHORT) as generator:
        assert asked(generator.on_behalf_of(Request("acme"))).degraded
    assert good.asked == 0


# Room, breakers, hedging


def test_no_more_calls_at_once_than_an_endpoint_has_room_for_and_the_others_wait() -> None:
    with serving(pause_s=0.05) as server:
        with routed({"a": server}, {"a": {"max_concurrent": 3}}) as generator:

            async def many() -> list[Generated]:
                return await asyncio.gather(*(generator.agenerate(QUESTION, RESULTS) for _ in range(24)))

            assert not any(answer.degraded for answer in asyncio.run(many()))
        assert (server.most_open, server.asked) == (3, 24)


def test_who_finds_no_room_in_time_gets_the_documents() -> None:
    with serving("hang") as server, routed({"a": server}, {"a": {"max_concurrent": 1}}, **SHORT) as generator:

        async def two() -> list[Generated]:
            return await asyncio.gather(*(generator.agenerate(QUESTION, RESULTS) for _ in range(2)))

        assert [answer.degraded for answer in asyncio.run(two())] == [True, True]
        assert server.asked == 1


def test_one_that_is_down_is_left_alone_and_one_call_of_64_tries_it_again() -> None:
    with serving("500") as flaky, serving() as other:
        breaker = {"failures": 5, "open_s": 0.5}
        with routed({"a": flaky, "b": other}, breaker=breaker) as generator:

            async def many(count: int) -> None:
                await asyncio.gather(*(generator.agenerate(QUESTION, RESULTS) for _ in range(count)))

            for _ in range(5):
                asked(generator)
            assert (generator.router.endpoints["a"].state, flaky.asked) == ("open", 5)
            asyncio.run(many(64))
            opened = flaky.asked
            time.sleep(0.6)
            flaky.pause_s = 0.3  # the probe takes longer than all the others
            asyncio.run(many(64))
            assert flaky.asked - opened == 1
            assert generator.router.endpoints["a"].state == "open"


def test_a_probe_that_is_left_does_not_keep_the_endpoint_shut() -> None:
    with serving("500") as flaky, routed({"a": flaky}, breaker={"failures": 1, "open_s": 0.1}, **SHORT) as generator:
        asked(generator)
        flaky.meets(["hang"])
        time.sleep(0.2)

        async def left() -> None:
            probe = asyncio.create_task(generator.agenerate(QUESTION, RESULTS))
            while not flaky.calls["hang"]:
                await asyncio.sleep(0.01)
            probe.cancel()
            with pytest.raises(asyncio.CancelledError):
                await probe

        asyncio.run(left())
        flaky.meets(["ok"])
        assert not asked(generator).degraded
        assert generator.router.endpoints["a"].under_way == 0


def test_a_hedge_asks_another_where_the_first_takes_long(good: FaultServer) -> None:
    with serving("hang") as slow, routed({"a": slow, "b": good}, hedge_after_s=0.1) as generator:
        generated = asked(generator)
        assert generated.model == "good"
        assert sorted(outcomes(generated))[1] == ("b", "answered")
        assert generator.router.endpoints["a"].under_way == 0
        assert "".join(piece for piece in generator.stream(QUESTION, RESULTS) if isinstance(piece, str)) == TEXT


def test_a_fast_first_one_is_not_hedged(good: FaultServer) -> None:
    with serving() as other, routed({"a": good, "b": other}, hedge_after_s=5.0) as generator:
        asked(generator)
        assert other.asked == 0


def test_a_hedge_without_anybody_to_hedge_with_waits_for_the_first() -> None:
    with serving("slow") as slow, routed({"a": slow}, hedge_after_s=0.1) as generator:
        assert outcomes(asked(generator)) == [("a", "answered")]


# Streams


def test_a_stream_comes_in_pieces_and_ends_with_the_whole(good: FaultServer) -> None:
    with routed({"a": good}) as generator:
        *pieces, last = generator.stream(QUESTION, RESULTS)
    assert pieces == list(WORDS)
    assert whole_of(last).text == TEXT
    assert outcomes(whole_of(last)) == [("a", "answered")]


@pytest.mark.parametrize("fault", ["cut", "500", "429", "broken", "hang"])
def test_a_stream_that_breaks_before_its_first_word_goes_elsewhere(good: FaultServer, fault: Fault) -> None:
    with serving(fault) as bad, routed({"a": bad, "b": good}, {"a": {"timeout_s": 0.5}}) as generator:
        *pieces, last = generator.stream(QUESTION, RESULTS)
    assert pieces == list(WORDS)
    assert [name for name, _ in outcomes(whole_of(last))] == ["a", "b"]


def test_a_stream_that_breaks_off_later_ends_with_an_error_and_says_nothing_twice(good: FaultServer) -> None:
    with serving("cut_late") as bad, routed({"a": bad, "b": good}) as generator:
        pieces: list[str | Generated] = []
        with pytest.raises(StreamCut) as caught:
            pieces.extend(generator.stream(QUESTION, RESULTS))
        assert pieces == list(WORDS[:2])
        assert caught.value.said == "".join(WORDS[:2])
        assert isinstance(caught.value, ServiceError)
        assert good.asked == 0
        assert generator.router.endpoints["a"].under_way == 0


def test_a_stream_when_all_are_down_is_that_of_the_documents() -> None:
    with routed({"a": DEAD}, **SHORT) as generator:
        *pieces, last = generator.stream(QUESTION, RESULTS)
    assert whole_of(last).degraded
    assert "".join(map(str, pieces)) == whole_of(last).text


def test_a_stream_that_is_left_gives_its_room_back() -> None:
    long = serving(says=tuple("word " for _ in range(5000)))
    with long as server, routed({"a": server}, {"a": {"max_concurrent": 1}}) as generator:
        stream = generator.stream(QUESTION, RESULTS)
        next(stream)
        stream.close()  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
        server.says = WORDS
        assert not asked(generator).degraded


# Plain texts


def test_plain_texts_go_the_same_way(good: FaultServer) -> None:
    with serving("500") as bad, routed({"a": bad, "b": good}) as generator:
        assert generator.write("Say it.", 50)[0] == TEXT
    with routed({"a": DEAD}, **SHORT) as generator:
        with pytest.raises(ServiceError, match="no language model could be reached"):
            generator.write("Say it.", 50)
        assert generator.for_rewriting().write("Say it.", 50) == ("", Usage())


# Money


def priced(**routing: Any) -> Config:
    config = config_over({"a": "http://a/v1", "b": "http://b/v1"}, **routing).model_dump()
    prices = {"model-a": {"input": 1.0, "output": 2.0}, "model-b": {"input": 10.0, "output": 20.0}}
    return Config.model_validate({**config, "costs": {"prices": prices}}, strict=False)


def test_every_try_has_a_cost_line_by_the_prices_of_its_endpoint() -> None:
    tries = [
        Attempt("a", "model-a", "HTTP 429", 0.1, Usage()),
        Attempt("a", "model-a", "empty", 0.1, Usage(100, 10)),
        Attempt("a", "model-a", "cut off", 0.1, None),
        Attempt("b", "model-b", "answered", 0.1, Usage(100, 10)),
    ]
    lines = cost_lines(priced(), (), {"generate": 400.0}, "model-b", Usage(100, 10), attempts=tries)
    assert [(line.stage, line.model, line.nano_usd) for line in lines] == [
        ("generate", "model-a", 0),
        ("generate", "model-a", 120_000),
        ("generate", "model-a", None),
        ("generate", "model-b", 1_200_000),
    ]
    assert [line.detail.split(":")[0] for line in lines] == ["a, HTTP 429", "a, empty", "a, cut off", "b"]


def test_the_worst_case_is_that_of_all_paid_tries_of_the_dearest() -> None:
    def alone(name: str) -> int:
        config = priced()
        [endpoint] = [each for each in config.routing.endpoints if each.name == name]
        without = config.model_copy(
            update={"generation": endpoint.over(config.generation), "routing": Config().routing}
        )
        return worst_case(without, QUESTION)[0]

    assert alone("b") == 10 * alone("a")
    assert worst_case(priced(paid_attempts=3), QUESTION) == (3 * alone("b"), True)


def test_an_endpoint_without_a_known_price_is_told() -> None:
    config = config_over({"a": "http://a/v1"})
    assert worst_case(config, QUESTION)[1] is False
