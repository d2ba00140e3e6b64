"""What a failed try says: about asking the same endpoint again, about the endpoint, and about money."""

from __future__ import annotations

from dataclasses import dataclass

from ragkit.errors import ModelError, RagkitError, ServiceError
from ragkit.types import Usage


@dataclass(frozen=True, slots=True)
class Verdict:
    """`again`: the same endpoint may give an answer to the same question later. `worked`: what its breaker is told.

    `usage` is as in `Attempt`. `rest_s` is how long the endpoint asks to be left alone.
    """

    outcome: str
    again: bool
    worked: bool | None
    usage: Usage | None
    rest_s: float = 0.0


_OURS = frozenset({400, 413, 415, 422})
"""Statuses that find fault with the question and not with the endpoint."""


def verdict(error: RagkitError) -> Verdict:
    """The verdict on an error of an endpoint's generator.

    >>> slow_down = verdict(ServiceError("slow down", fault="refused", status=429, retry_after_s=2.0))
    >>> slow_down.outcome, slow_down.again, slow_down.worked, slow_down.rest_s
    ('HTTP 429', True, None, 2.0)
    """
    if isinstance(error, ModelError):  # a text that is too long, or a model that is not here
        return Verdict("failed", again=False, worked=None, usage=Usage())
    if not isinstance(error, ServiceError):  # its settings or packages
        return Verdict("not usable", again=False, worked=False, usage=Usage())
    rest = error.retry_after_s or 0.0
    if error.fault == "refused":
        status = error.status or 0
        if status == 429:
            return Verdict("HTTP 429", again=True, worked=None, usage=Usage(), rest_s=rest)
        again = status >= 500 or status in (408, 425)
        return Verdict(f"HTTP {status}", again, status in _OURS, error.usage or Usage(), rest)
    if error.fault == "unreachable":
        return Verdict("unreachable", again=True, worked=False, usage=Usage())
    if error.fault == "empty":
        return Verdict("empty", again=False, worked=True, usage=error.usage)
    return Verdict(error.fault, again=True, worked=False, usage=error.usage, rest_s=rest)
