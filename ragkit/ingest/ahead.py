"""Work that goes on in a thread while its results are used, a bounded amount of it ahead."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from typing import TypeVar

T = TypeVar("T")

_PATIENCE_S = 1.0
"""How long leaving early waits for the item that is being made; the thread ends with it in any case."""


def ahead(items: Iterable[T], most: int, size_of: Callable[[T], int]) -> Generator[T]:
    """The same items in their order, made in a thread of their own.

    Those that wait are together of size `most` at most, or one that is larger; one more is being made. What making an
    item raises is raised here, in its turn. When this generator is closed the thread ends with the item that it makes,
    and `items`, if it is a generator, is closed in it.

    >>> list(ahead((n * n for n in range(4)), most=2, size_of=lambda square: 1))
    [0, 1, 4, 9]
    """
    turn = threading.Condition()
    waiting: deque[tuple[T, int]] = deque()
    size, ended, unwanted = 0, False, False
    error: BaseException | None = None

    def make() -> None:
        nonlocal size, ended, error
        try:
            for item in items:
                own = size_of(item)
                with turn:
                    turn.wait_for(lambda: unwanted or not waiting or size + own <= most)  # noqa: B023
                    if unwanted:
                        break
                    waiting.append((item, own))
                    size += own
                    turn.notify_all()
        except BaseException as raised:
            error = raised
        finally:
            if isinstance(items, Generator):
                items.close()
            with turn:
                ended = True
                turn.notify_all()

    thread = threading.Thread(target=make, name="ahead", daemon=True)
    thread.start()
    try:
        while True:
            with turn:
                turn.wait_for(lambda: waiting or ended)
                if not waiting:
                    break
                item, own = waiting.popleft()
                size -= own
                turn.notify_all()
            yield item
        if error is not None:
            raise error
    finally:
        with turn:
            unwanted = True
            turn.notify_all()
        thread.join(_PATIENCE_S)
