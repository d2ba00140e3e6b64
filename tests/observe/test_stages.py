"""Stages tell the listener of their own question, through threads and tasks, and nobody else."""

from __future__ import annotations

import asyncio

from ragkit.observe.stages import Ended, Notice, listening, tell


def test_without_a_listener_telling_does_nothing() -> None:
    tell(Ended("embed", 1.0))


def test_a_listener_hears_what_is_told_in_a_thread_of_its_task() -> None:
    heard: list[Notice] = []

    async def ask() -> None:
        with listening(heard.append):
            await asyncio.to_thread(tell, Ended("search", 2.0))

    asyncio.run(ask())
    assert heard == [Ended("search", 2.0)]


def test_questions_at_once_do_not_hear_of_one_another() -> None:
    heard: dict[int, list[Notice]] = {number: [] for number in range(20)}

    async def ask(number: int) -> None:
        with listening(heard[number].append):
            for _ in range(5):
                await asyncio.sleep(0)
                await asyncio.to_thread(tell, Ended("embed", float(number)))

    async def all_of_them() -> None:
        await asyncio.gather(*(ask(number) for number in heard))

    asyncio.run(all_of_them())
    assert heard == {number: [Ended("embed", float(number))] * 5 for number in heard}


def test_listeners_inside_one_another_both_hear() -> None:
    outer: list[Notice] = []
    inner: list[Notice] = []
    with listening(outer.append), listening(inner.append):
        tell(Ended("fuse", 1.0))
    assert outer == inner == [Ended("fuse", 1.0)]
