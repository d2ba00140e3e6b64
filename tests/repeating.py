"""Work that goes on in threads for as long as a block runs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager


@contextmanager
def repeated(*works: Callable[[], None]) -> Generator[None]:
    """Each in a thread of its own, over and over; the block ends when each has come to its end once more."""
    ended = threading.Event()

    def again_and_again(work: Callable[[], None]) -> None:
        while not ended.is_set():
            work()

    threads = [threading.Thread(target=again_and_again, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join()
