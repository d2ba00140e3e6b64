"""Work in a thread ahead of its use: in order, bounded, its errors raised, ended when nobody wants more."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.ingest.ahead import ahead


def one(_: int) -> int:
    return 1


@given(items=st.lists(st.integers(-9, 9)), most=st.integers(1, 5))
def test_items_come_in_their_order(items: list[int], most: int) -> None:
    assert list(ahead(iter(items), most, abs)) == items


def test_no_more_is_made_than_may_wait() -> None:
    made: list[int] = []

    def numbers() -> Iterator[int]:
        for number in range(100):
            made.append(number)
            yield number

    with closing(ahead(numbers(), 2, one)) as items:
        assert next(items) == 0
        deadline = time.monotonic() + 5
        while len(made) < 4 and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.2)
        assert made == [0, 1, 2, 3]  # one used, two wait, one made and in the door


def test_what_waits_is_bounded_by_its_size_and_something_too_large_waits_alone() -> None:
    made: list[int] = []

    def sizes() -> Iterator[int]:
        for size in (1, 50, 3, 4, 9):
            made.append(size)
            yield size

    with closing(ahead(sizes(), 8, lambda size: size)) as items:
        assert next(items) == 1
        time.sleep(0.2)
        assert made == [1, 50, 3]
        assert next(items) == 50
        time.sleep(0.2)
        assert made == [1, 50, 3, 4, 9]
        assert list(items) == [3, 4, 9]


def test_leaving_early_does_not_wait_for_a_slow_item() -> None:
    go_on = threading.Event()

    def slow() -> Iterator[int]:
        yield 1
        go_on.wait(60)
        yield 2

    with closing(ahead(slow(), 1, one)) as items:
        assert next(items) == 1
    assert not go_on.is_set()
    go_on.set()


def test_an_error_is_raised_in_its_turn() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise ValueError("no second")

    items = ahead(broken(), 1, one)
    assert next(items) == 1
    with pytest.raises(ValueError, match="no second"):
        next(items)


def test_leaving_early_ends_the_thread_and_closes_what_it_read() -> None:
    closed_in: list[str] = []

    def numbers() -> Iterator[int]:
        try:
            while True:
                yield 1
        finally:
            closed_in.append(threading.current_thread().name)

    before = threading.active_count()
    with closing(ahead(numbers(), 1, one)) as items:
        next(items)
    assert closed_in == ["ahead"]
    assert threading.active_count() == before
