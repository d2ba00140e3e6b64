"""Of those who come at once with the same question, one leads and the others wait: in threads, event loops, or both."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from ragkit.gateway.cache_flight import Flights, await_, wait


def test_one_leads_and_the_others_hear_how_it_ended() -> None:
    flights = Flights()
    assert flights.join("a") is None
    others = [flights.join("a") for _ in range(5)]
    flights.end("a", "done")
    assert [wait(other, 5) for other in others if other] == ["done"] * 5
    assert flights.join("a") is None


def test_keys_do_not_wait_for_one_another() -> None:
    flights = Flights()
    assert flights.join("a") is None
    assert flights.join("b") is None


def test_threads_and_event_loops_wait_for_one_leader() -> None:
    flights = Flights()
    assert flights.join("a") is None
    joined = threading.Barrier(5)

    def in_thread() -> str:
        other = flights.join("a")
        joined.wait(10)
        return wait(other, 10) if other else "leads"

    def in_loop() -> str:
        async def main() -> str:
            other = flights.join("a")
            joined.wait(10)
            return await await_(other, 10) if other else "leads"

        return asyncio.run(main())

    with ThreadPoolExecutor(4) as threads:
        told = [threads.submit(work) for work in (in_thread, in_loop, in_thread, in_loop)]
        joined.wait(10)
        flights.end("a", "done")
        assert [each.result(10) for each in told] == ["done"] * 4


def test_waiting_takes_no_thread_of_the_event_loop() -> None:
    async def main() -> list[str]:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
        flights = Flights()
        assert flights.join("a") is None
        waiting = [asyncio.create_task(await_(other, 10)) for _ in range(64) if (other := flights.join("a"))]
        await asyncio.sleep(0)
        await asyncio.to_thread(flights.end, "a", "done")
        return [str(outcome) for outcome in await asyncio.gather(*waiting)]

    assert asyncio.run(main()) == ["done"] * 64


def test_one_that_stops_waiting_stops_nobody_else() -> None:
    async def main() -> str:
        flights = Flights()
        assert flights.join("a") is None
        first, second = flights.join("a"), flights.join("a")
        assert first is not None
        assert second is not None
        impatient = asyncio.create_task(await_(first, 10))
        patient = asyncio.create_task(await_(second, 10))
        await asyncio.sleep(0)
        impatient.cancel()
        with pytest.raises(asyncio.CancelledError):
            await impatient
        flights.end("a", "done")
        return await patient

    assert asyncio.run(main()) == "done"


def test_patience_ends() -> None:
    flights = Flights()
    assert flights.join("a") is None
    other = flights.join("a")
    assert other is not None
    assert wait(other, 0.01) == "failed"
    assert asyncio.run(await_(other, 0.01)) == "failed"
