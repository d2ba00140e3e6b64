"""Room for requests: never more at work than allowed, first come first served, and no place is ever lost."""

from __future__ import annotations

import asyncio
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.serve.room import Full, Room, Shares


def test_who_finds_no_room_to_wait_is_told_so_at_once() -> None:
    async def go() -> None:
        room = Room()
        async with room.taken(1, 0):
            with pytest.raises(Full):
                async with room.taken(1, 0):
                    pass
        async with room.taken(1, 0):
            assert room.at_work == 1
        assert room.at_work == 0

    asyncio.run(go())


def test_those_who_wait_come_in_their_order() -> None:
    async def go() -> list[int]:
        room, order = Room(), list[int]()

        async def one(number: int) -> None:
            async with room.taken(1, 10):
                order.append(number)
                await asyncio.sleep(0)

        await asyncio.gather(*(one(number) for number in range(8)))
        return order

    assert asyncio.run(go()) == list(range(8))


@given(seed=st.integers(0, 10_000), most=st.integers(1, 4), waiting=st.integers(0, 6))
def test_places_survive_whatever_is_cancelled(seed: int, most: int, waiting: int) -> None:
    chance = random.Random(seed)

    async def go() -> None:
        room, peak, at_work = Room(), 0, 0

        async def one() -> None:
            nonlocal peak, at_work
            try:
                async with room.taken(most, waiting):
                    at_work += 1
                    peak = max(peak, at_work)
                    try:
                        for _ in range(chance.randrange(4)):
                            await asyncio.sleep(0)
                    finally:
                        at_work -= 1
            except Full:
                return

        tasks = [asyncio.create_task(one()) for _ in range(30)]
        for _ in range(40):
            await asyncio.sleep(0)
            if chance.random() < 0.5:
                chance.choice(tasks).cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert peak <= most
        assert (room.at_work, room.waiting) == (0, 0)

    asyncio.run(go())


def test_shares_are_counted_apart_and_given_back() -> None:
    shares = Shares()
    with shares.taken("a", 1):
        with pytest.raises(Full), shares.taken("a", 1):
            pass
        with shares.taken("b", 1):
            pass
    with shares.taken("a", 1):
        pass
