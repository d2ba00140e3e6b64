"""Stages tell what they did, to whoever listens to this question: a stream of events, a trace, a metric.

A stage calls `tell`; without a listener that is one look-up. The listener belongs to the context (`contextvars`), which
`asyncio.to_thread` hands on, so that questions at once never hear of one another. It is called in the thread of the
stage, and what it raises is a defect.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from ragkit.types import ScoredChunk


@dataclass(frozen=True, slots=True)
class Ended:
    """A stage is over; it took so many milliseconds."""

    stage: str
    ms: float


@dataclass(frozen=True, slots=True)
class Ranked:
    """Chunks in their order after the search (`retrieved`) or after the reranker."""

    stage: Literal["retrieved", "reranked"]
    results: Sequence[ScoredChunk]


Notice = Ended | Ranked
Listener = Callable[[Notice], None]

_listener: ContextVar[Listener | None] = ContextVar("ragkit_listener", default=None)


def tell(notice: Notice) -> None:
    """Tell the listener of this context, if there is one.

    >>> heard: list[Notice] = []
    >>> with listening(heard.append):
    ...     tell(Ended("embed", 1.5))
    >>> tell(Ended("search", 0.5))
    >>> heard
    [Ended(stage='embed', ms=1.5)]
    """
    listener = _listener.get()
    if listener is not None:
        listener(notice)


@contextmanager
def listening(listener: Listener) -> Generator[None]:
    """Hear what the stages of this context tell, beside whoever listens already."""
    before = _listener.get()

    def both(notice: Notice) -> None:
        listener(notice)
        if before is not None:
            before(notice)

    token = _listener.set(both)
    try:
        yield
    finally:
        _listener.reset(token)
