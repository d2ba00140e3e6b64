"""Cheap endpoints first: whose answer does, who is asked next, and what becomes of failures on the way.

All against real HTTP servers on this machine, which count what reaches them.
"""

from __future__ import annotations

import pytest

from ragkit.gateway.routing import KEPT
from ragkit.generate.generated import whole_of
from ragkit.types import Usage
from tests.gateway.fault_server import WORDS, FaultServer
from tests.gateway.routed import DEAD, QUESTION, RESULTS, SHORT, asked, outcomes, routed, serving

GROUNDED = ("The battery lasts 10 hours [Source: a.pdf, page 3].",)
INVENTED = ("Napoleon sold 900 lamps to Sweden in 1803 [Source: a.pdf, page 3].",)


def test_a_cheap_answer_that_its_passages_back_is_taken(good: FaultServer) -> None:
    with serving(model="cheap", says=GROUNDED) as cheap:
        with routed({"cheap": cheap, "strong": good}, policy="cascade") as generator:
            assert asked(generator).model == "cheap"
        assert good.asked == 0


@pytest.mark.parametrize(
    ("says", "why"), [(INVENTED, "groundedness"), (("I don't have enough information.",), "refused")]
)
def test_a_cheap_answer_that_is_not_backed_or_a_refusal_goes_to_the_strong(
    good: FaultServer, says: tuple[str, ...], why: str
) -> None:
    with serving(model="cheap", says=says) as cheap:
        with routed({"cheap": cheap, "strong": good}, policy="cascade") as generator:
            generated = asked(generator)
            *pieces, last = generator.stream(QUESTION, RESULTS)
        assert generated.model == "good"
        assert generated.attempts[0].outcome.startswith(f"not taken: {why}")
        assert generated.attempts[0].usage == Usage(120, 7), "it is paid for all the same"
        assert (pieces, whole_of(last).model) == (list(WORDS), "good"), "no word of the cheap answer is shown"


def test_weak_evidence_goes_to_the_strong_at_once(good: FaultServer) -> None:
    with serving(model="cheap") as cheap:
        with routed({"cheap": cheap, "strong": good}, policy="cascade", cascade={"min_confidence": 0.99}) as generator:
            assert asked(generator).model == "good"
        assert cheap.asked == 0


def test_the_cheap_answer_stands_in_for_a_strong_one_that_is_down() -> None:
    with (
        serving(model="cheap", says=INVENTED) as cheap,
        routed({"cheap": cheap, "strong": DEAD}, policy="cascade", **SHORT) as generator,
    ):
        generated = asked(generator)
    assert (generated.model, generated.degraded) == ("cheap", True)
    assert KEPT in generated.notes


def test_sentences_of_the_documents_can_be_the_cheap_answer(good: FaultServer) -> None:
    quoting = {"cheap": {"backend": "extractive", "base_url": None}}
    with routed({"cheap": DEAD, "strong": good}, quoting, policy="cascade") as generator:
        assert asked(generator).model == "extractive"
    assert good.asked == 0


SURE = {"intercept": 9.0}
UNSURE = {"intercept": -9.0}


def test_with_scores_each_cheap_endpoint_is_asked_in_turn_until_an_answer_is_likely_right(good: FaultServer) -> None:
    quoting = {"quotes": {"backend": "extractive", "base_url": None}}
    urls = {"quotes": DEAD, "small": good, "large": DEAD}
    scores = {"quotes": UNSURE, "small": SURE}
    with routed(urls, quoting, policy="cascade", cascade={"scores": scores}) as generator:
        generated = asked(generator)
    assert [attempt.endpoint for attempt in generated.attempts] == ["quotes", "small"]
    assert generated.attempts[0].outcome == "not taken: right with a chance of 0.00"
    assert generated.model == "good"


def test_a_cheap_endpoint_that_fails_is_tried_once_and_then_stands_behind_the_strong(good: FaultServer) -> None:
    cascade = {"scores": {"cheap": SURE}}
    with serving("500") as broken, routed({"cheap": broken, "strong": good}, policy="cascade", cascade=cascade) as two:
        assert outcomes(asked(two)) == [("cheap", "HTTP 500"), ("strong", "answered")]
    with serving("500", "ok") as flaky, routed({"cheap": flaky, "strong": DEAD}, policy="cascade", **SHORT) as two:
        assert asked(two).attempts[-1].endpoint == "cheap"


def test_sentences_of_the_documents_use_up_no_paid_try(good: FaultServer) -> None:
    quoting = {"quotes": {"backend": "extractive", "base_url": None}}
    cascade = {"scores": {"quotes": UNSURE, "small": UNSURE}}
    with serving(model="small") as small:
        urls = {"quotes": DEAD, "small": small, "large": good}
        with routed(urls, quoting, policy="cascade", cascade=cascade, paid_attempts=2) as generator:
            assert asked(generator).attempts[-1].endpoint == "large"


def test_no_more_is_paid_than_the_budget_was_told(good: FaultServer) -> None:
    """A cheap endpoint that failed late is paid for: nothing is left for the others then."""
    cascade = {"scores": {"a": UNSURE, "b": UNSURE}}
    with serving("cut") as a, serving("cut") as b:
        urls = {"a": a, "b": b, "c": good}
        with routed(urls, policy="cascade", cascade=cascade, paid_attempts=3, attempts=3) as generator:
            assert len(asked(generator).attempts) == 3
        assert good.asked == 1


def test_when_the_strong_is_down_an_answer_goes_before_a_refusal() -> None:
    refuses = ("I don't have enough information.",)
    cascade = {"scores": {"first": UNSURE, "second": UNSURE}}
    with serving(model="first", says=GROUNDED) as first, serving(model="second", says=refuses) as second:
        urls = {"first": first, "second": second, "strong": DEAD}
        with routed(urls, policy="cascade", cascade=cascade, **SHORT) as generator:
            assert (asked(generator).model, asked(generator).refused) == ("first", False)


def test_a_cheap_endpoint_that_hangs_leaves_time_for_the_strong(good: FaultServer) -> None:
    with (
        serving("hang") as hanging,
        routed({"cheap": hanging, "strong": good}, policy="cascade", deadline_s=3.0) as generator,
    ):
        assert outcomes(asked(generator)) == [("cheap", "timed out"), ("strong", "answered")]
