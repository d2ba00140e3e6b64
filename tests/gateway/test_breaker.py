"""The circuit breaker under a clock of its own, and under threads."""

from __future__ import annotations

import math
import threading
from concurrent.futures import ThreadPoolExecutor

from hypothesis import given
from hypothesis import strategies as st

from ragkit.config.routing import Breaker as Settings
from ragkit.gateway.breaker import Breaker, Permit


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def opened(clock: Clock, failures: int = 3) -> Breaker:
    breaker = Breaker(Settings(failures=failures, open_s=10.0), clock)
    for _ in range(failures):
        breaker.record(breaker.permit(), worked=False)
    return breaker


def test_it_opens_when_enough_calls_in_a_row_have_failed() -> None:
    breaker = Breaker(Settings(failures=3), Clock())
    for worked in (False, False, True, False, False):
        breaker.record(breaker.permit(), worked=worked)
    assert breaker.state == "closed"
    breaker.record(breaker.permit(), worked=False)
    assert breaker.state == "open"


def test_failures_that_come_back_faster_than_answers_do_not_open_it_while_most_calls_are_still_under_way() -> None:
    breaker = Breaker(Settings(failures=8), Clock())
    permits = [breaker.permit() for _ in range(64)]
    for permit in permits[:19]:
        breaker.record(permit, worked=False)
    assert breaker.state == "closed"
    for permit in permits[19:32]:
        breaker.record(permit, worked=False)
    assert breaker.state == "open"


def test_a_call_that_says_nothing_about_the_endpoint_is_not_counted() -> None:
    breaker = Breaker(Settings(failures=2), Clock())
    for worked in (False, None, None):
        breaker.record(breaker.permit(), worked=worked)
    assert breaker.state == "closed"
    breaker.record(breaker.permit(), worked=False)
    assert breaker.state == "open"


def test_an_open_one_lets_nothing_through_until_its_time_is_over() -> None:
    clock = Clock()
    breaker = opened(clock)
    for clock.now in (0.0, 5.0, 9.99):
        assert breaker.permit() == 10.0
    clock.now = 10.0
    assert breaker.permit() == Permit(1, probe=True)


def test_the_probe_decides() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.now = 10.0
    assert breaker.record(breaker.permit(), worked=False), "who waits for it is told"
    assert breaker.permit() == 20.0
    clock.now = 20.0
    assert breaker.record(breaker.permit(), worked=True)
    assert breaker.state == "closed"
    assert breaker.permit() == Permit(3)


def test_a_probe_that_is_given_up_makes_room_for_another() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.now = 10.0
    probe = breaker.permit()
    assert breaker.permit() == math.inf
    breaker.record(probe, worked=None)
    assert breaker.permit() == Permit(1, probe=True)


def test_a_call_from_before_it_opened_neither_closes_it_nor_counts_later() -> None:
    clock = Clock()
    breaker = Breaker(Settings(failures=2, open_s=10.0), clock)
    late, later = breaker.permit(), breaker.permit()
    for _ in range(2):
        breaker.record(breaker.permit(), worked=False)
    breaker.record(late, worked=True)
    assert breaker.state == "open"
    clock.now = 10.0
    breaker.record(breaker.permit(), worked=True)
    breaker.record(breaker.permit(), worked=False)
    breaker.record(later, worked=False)
    assert breaker.state == "closed", "one failure since it closed, and two open it"


def test_of_64_threads_at_once_one_is_the_probe() -> None:
    for _ in range(20):
        clock = Clock()
        breaker = opened(clock)
        clock.now = 10.0
        together = threading.Barrier(64)

        def ask(breaker: Breaker = breaker, together: threading.Barrier = together) -> Permit | float:
            together.wait()
            return breaker.permit()

        with ThreadPoolExecutor(64) as pool:
            given = [each.result() for each in [pool.submit(ask) for _ in range(64)]]
        assert sum(isinstance(permit, Permit) for permit in given) == 1


STEPS = st.lists(st.tuples(st.sampled_from(["ask", "good", "bad", "unknown"]), st.floats(0, 4)), max_size=60)


@given(steps=STEPS)
def test_whatever_happens_there_is_at_most_one_probe_and_no_call_through_an_open_one(
    steps: list[tuple[str, float]],
) -> None:
    clock = Clock()
    breaker = Breaker(Settings(failures=2, open_s=5.0), clock)
    under_way: list[Permit] = []
    for step, seconds in steps:
        clock.now += seconds
        if step == "ask":
            state, permit = breaker.state, breaker.permit()
            probes = [each for each in under_way if each.probe]
            if isinstance(permit, Permit):
                assert state != "open"
                assert permit.probe == (state == "half_open")
                assert not (permit.probe and probes)
                under_way.append(permit)
            else:
                assert state == "open" or (state == "half_open" and probes)
        elif under_way:
            breaker.record(under_way.pop(0), {"good": True, "bad": False, "unknown": None}[step])
    # It never gets stuck: when all calls are over and its time is up, a call goes through.
    for permit in under_way:
        breaker.record(permit, worked=None)
    clock.now += 5.0
    assert isinstance(breaker.permit(), Permit)
