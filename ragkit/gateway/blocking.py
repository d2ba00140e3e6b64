"""An event loop in a thread of its own, for callers that have none: everything in the gateway is asynchronous once.

So a deadline can end what a blocking call could not, and both kinds of callers share connections, breakers and room.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import aclosing
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")


class Background:
    """The loop and its thread, begun at the first use, and anew in a process that was forked."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._process = os.getpid()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """What the coroutine returns or raises. It is cancelled when the wait for it is interrupted."""
        future = self._submit(work)
        try:
            return future.result()
        finally:
            future.cancel()

    def each(self, make: Callable[[], AsyncGenerator[T]]) -> Iterator[T]:
        """What an asynchronous generator yields, as it comes; it is closed when nobody reads on."""
        pieces: SimpleQueue[tuple[T] | None] = SimpleQueue()

        async def feed() -> None:
            try:
                async with aclosing(make()) as made:
                    async for piece in made:
                        pieces.put((piece,))
            finally:
                pieces.put(None)

        future = self._submit(feed())
        try:
            while (piece := pieces.get()) is not None:
                yield piece[0]
            future.result()
        finally:
            future.cancel()

    def close(self, last: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Do a last thing in the loop, if it ever ran, and end it. It can be used again."""
        with self._lock:
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
        if loop is None or thread is None or self._process != os.getpid():
            return
        asyncio.run_coroutine_threadsafe(last(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()

    def _submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        with self._lock:
            if self._loop is None or self._process != os.getpid():
                self._process = os.getpid()
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._loop.run_forever, name=self._name, daemon=True)
                self._thread.start()
            return asyncio.run_coroutine_threadsafe(work, self._loop)
