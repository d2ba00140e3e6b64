"""One request's way through its endpoints: which is next, how long to wait, when to stop. No input or output.

`ragkit.gateway.routing` runs it in the only retry loop there is. Three things bound it: the deadline, the number of
tries, and the number of those that may cost something.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from random import uniform

from ragkit.config.routing import Routing
from ragkit.errors import RagkitError
from ragkit.gateway.deadline import Deadline
from ragkit.gateway.endpoints import Changes, Endpoint, Entry
from ragkit.gateway.verdict import verdict
from ragkit.types import Attempt, Usage

_log = logging.getLogger("ragkit.routing")

_FIRST_PAUSE_S = 0.25
_LONGEST_PAUSE_S = 4.0
_APART = 0.1
_LEAST_S = 0.02
"""A try with less time than this is none."""
_RESERVED = 0.1
_MOST_RESERVED_S = 1.0
"""Part of the time, and at most how much of it, that is kept for the answer without a model."""


class Unavailable(RagkitError):
    """No endpoint takes this question now; `until` is when one may, `inf` if nobody knows.

    `seen` is the version of `Changes` that this was true for.
    """

    def __init__(self, until: float, seen: int) -> None:
        super().__init__("no endpoint can be asked now")
        self.until = until
        self.seen = seen


class AttemptFailed(RagkitError):
    """A try did not work out; the plan knows of it."""


class Plan:
    """The tries of one request, those that were made and those that may still be."""

    def __init__(self, routing: Routing, order: Sequence[Endpoint], deadline: Deadline, changes: Changes) -> None:
        self.attempts: list[Attempt] = []
        self.order = order
        self._all = order
        self.changes = changes
        self._routing = routing
        self._deadline = deadline
        self._clock = deadline.clock
        # The request's time, less what the answer without a model takes.
        reserved = min(_MOST_RESERVED_S, _RESERVED * deadline.left())
        self._ends = deadline.at - reserved
        self._stand_in_ends = deadline.at - reserved / 4
        self._running: set[str] = set()
        self._tried: dict[str, int] = {}
        self._pauses_until: dict[str, float] = {}
        self._given_up: set[str] = set()
        self._begun = 0
        self._paid = 0
        self.waited = 0.0

    def going_to(self, order: Sequence[Endpoint]) -> Plan:
        """The same plan, going on with these endpoints."""
        self.order = order
        return self

    def start(self) -> Running:
        """Begin a try of the first endpoint that takes it, of those that were tried least. Raises Unavailable."""
        seen, soonest = self.changes.version, math.inf
        for endpoint in sorted(self.order, key=lambda each: self._tried.get(each.name, 0)):
            if endpoint.name in self._running or endpoint.name in self._given_up:
                continue
            if (pause := self._pauses_until.get(endpoint.name, 0.0)) > self._clock():
                soonest = min(soonest, pause)
                continue
            entry = endpoint.enter()
            if isinstance(entry, Entry):
                limit = self._limit(endpoint)  # before it counts as tried
                self._running.add(endpoint.name)
                self._tried[endpoint.name] = self._tried.get(endpoint.name, 0) + 1
                self._begun += 1
                self._paid += 1
                return Running(self, entry, limit)
            soonest = min(soonest, entry)
        raise Unavailable(soonest, seen)

    @property
    def spent(self) -> bool:
        """Whether no further try may begin, whatever the endpoints do."""
        return (
            self._begun >= self._routing.attempts
            or self._paid >= self._routing.paid_attempts
            or self._clock() + _LEAST_S >= self._ends
            or all(endpoint.name in self._given_up for endpoint in self.order)
        )

    def pause(self, error: BaseException | None) -> float:
        """Seconds until the next try after this error: none while an endpoint may take it at once."""
        if not isinstance(error, Unavailable):
            return 0.0
        if error.until == math.inf:  # somebody may leave at any moment
            return max(0.0, min(self._routing.wait_s - self.waited, self.left() - 2 * _LEAST_S))
        # Those who wait for the same moment come a little apart, who has waited longest first.
        young = max(0.0, 1.0 - self.waited / self._routing.wait_s) if self._routing.wait_s else 0.0
        return max(0.0, error.until - self._clock()) * (1.0 + young * uniform(0.0, _APART))  # noqa: S311

    def ended(self, error: BaseException | None, pause: float) -> bool:
        """Whether there is no next try after this error and that pause."""
        if self.spent:
            return True
        if isinstance(error, Unavailable):
            patience = self._routing.wait_s - self.waited
            return patience <= 0 or pause > patience or self._clock() + pause + _LEAST_S >= self._ends
        return False

    def finish(self, running: Running, outcome: str, usage: Usage | None, model: str) -> None:
        """Note a try that is over."""
        name = running.name
        self._running.discard(name)
        if usage == Usage():  # refused, or answered without a language model
            self._paid -= 1
        self.attempts.append(Attempt(name, model, outcome, running.seconds, usage))

    def failed(self, name: str, again: bool, rest_s: float) -> None:
        """An endpoint did not do: try it again after a pause that grows, at least `rest_s`, or not at all."""
        if not again:
            self._given_up.add(name)
            return
        longest = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2.0 ** (self._tried[name] - 1))
        self._pauses_until[name] = self._clock() + max(rest_s, uniform(0.0, longest))  # noqa: S311

    def now(self) -> float:
        return self._clock()

    def left(self) -> float:
        """Seconds that tries still have."""
        return max(0.0, self._ends - self._clock())

    def left_without(self) -> float:
        """Seconds that the answer without a model still has."""
        return max(0.0, self._stand_in_ends - self._clock())

    def _limit(self, endpoint: Endpoint) -> float:
        left = self.left()
        if endpoint.settings.timeout_s is not None:
            return min(endpoint.settings.timeout_s, left)
        untried = any(
            other.name not in self._tried and other.name not in self._given_up and other is not endpoint
            for other in self._all
        )
        return min(endpoint.generation.timeout_s, left / 2 if untried else left)


ANSWERED = "answered"


class Running:
    """A try under way. It ends once: answered, failed or abandoned."""

    def __init__(self, plan: Plan, entry: Entry, limit_s: float) -> None:
        self.endpoint = entry.endpoint
        self.name = entry.endpoint.name
        self.limit_s = limit_s
        self._plan = plan
        self._entry: Entry | None = entry
        self._began = plan.now()

    @property
    def seconds(self) -> float:
        """How long it has taken so far."""
        return self._plan.now() - self._began

    @property
    def limit_at(self) -> float:
        """The moment at which its time is over."""
        return self._began + self.limit_s

    def answered(self, usage: Usage, model: str, outcome: str = ANSWERED) -> None:
        """The endpoint answered; `outcome` says so where the answer is not used."""
        self._end(True, outcome, usage, model)

    def failed(self, error: RagkitError | TimeoutError) -> AttemptFailed:
        """The endpoint failed, or its time was over. Returns what the retry loop is told."""
        if isinstance(error, TimeoutError):
            # A try that was given next to no time says nothing about the endpoint.
            fair = self.limit_s >= min(1.0, self.endpoint.generation.timeout_s)
            again, worked, outcome, usage, rest = True, False if fair else None, "timed out", None, 0.0
        else:
            found = verdict(error)
            again, worked, outcome, usage, rest = found.again, found.worked, found.outcome, found.usage, found.rest_s
        _log.warning("%s did not answer (%s): %s", self.name, outcome, error)
        self._plan.failed(self.name, again, rest)
        self._end(worked, outcome, usage, self.endpoint.generation.model or "", rest)
        return AttemptFailed(f"{self.name}: {outcome}")

    def abandoned(self, outcome: str) -> None:
        """Nobody waits for it any more; what it cost is not known."""
        self._end(None, outcome, None, self.endpoint.generation.model or "")

    def _end(self, worked: bool | None, outcome: str, usage: Usage | None, model: str, rest_s: float = 0.0) -> None:
        entry, self._entry = self._entry, None
        if entry is not None:
            self._plan.finish(self, outcome, usage, model)
            entry.leave(worked, rest_s)
