"""Work that goes on in a thread while its results are used, a bounded number of them ahead."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterable
from typing import TypeVar

T = TypeVar("T")

_LOOK_S = 0.1


def ahead(items: Iterable[T], most: int = 1) -> Generator[T]:
    """The same items, made in a thread of their own; while one is used up to `most` wait and one more is being made.

    What making an item raises is raised here, in its turn. When the generator is closed the thread ends with the item
    that it makes, and `items`, if it is a generator, is closed in it.

    >>> list(ahead(n * n for n in range(4)))
    [0, 1, 4, 9]
    """
    made: queue.Queue[tuple[T] | BaseException | None] = queue.Queue(maxsize=most)
    unwanted = threading.Event()

    def put(result: tuple[T] | BaseException | None) -> None:
        while not unwanted.is_set():
            try:
                made.put(result, timeout=_LOOK_S)
                return
            except queue.Full:
                continue

    def make() -> None:
        try:
            for item in items:
                put((item,))
                if unwanted.is_set():
                    break
            put(None)
        except BaseException as error:
            put(error)
        finally:
            if isinstance(items, Generator):
                items.close()

    thread = threading.Thread(target=make, name="ahead", daemon=True)
    thread.start()
    try:
        while (result := made.get()) is not None:
            if isinstance(result, BaseException):
                raise result
            yield result[0]
    finally:
        unwanted.set()
        thread.join()
