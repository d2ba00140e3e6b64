"""A budget around each call: the most that it can cost is reserved before, what it did cost is written after.

Without `costs.ledger` nothing is written, and there are no budgets.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections.abc import Callable, Collection, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar, cast

from ragkit.errors import BudgetExceeded, StreamCut
from ragkit.gateway.attempt_costs import charged
from ragkit.gateway.cost import SEARCH_STAGES, STAGES, cost_lines, worst_case
from ragkit.gateway.ledger import Call, Hold, Ledger, Limit, Payer, Scope
from ragkit.types import Answer, CostLine

if TYPE_CHECKING:
    from ragkit.config.costs import Budget
    from ragkit.config.schema import Config
    from ragkit.retrieve.retriever import Retrieved

T = TypeVar("T")

WARN_FROM = 0.8
"""Share of a budget from which its use is told with the answer."""
_LONGEST_S = 3600.0
"""How long a reservation lasts at least; then it is taken for that of a process that is gone."""
_THREADS = 4
_log = logging.getLogger("ragkit.costs")


@dataclass(slots=True)
class Open:
    """A call under way: who pays, its reservation, what is to be told of budgets, and its answer once there is one, or
    what a search cost.

    `free`: no language model may be asked, for the budget is used up.
    """

    payer: Payer
    hold: Hold | None = None
    answer: Answer | None = None
    searched: tuple[CostLine, ...] | None = None
    free: bool = False
    priced: bool = True
    """Whether all that it may cost has a known price."""
    notes: list[str] = field(default_factory=list[str])
    question: str = ""
    stages: Collection[str] = STAGES

    def noted(self, answer: Answer) -> Answer:
        """The answer, with what is to be told of the budgets; kept as that of the call."""
        self.answer = replace(answer, notes=(*answer.notes, *self.notes)) if self.notes else answer
        return self.answer

    def found(self, config: Config, found: Retrieved) -> Retrieved:
        """What was found with this config; what that cost is kept as that of the call."""
        self.searched = cost_lines(config, found.embedded, found.timings_ms, rewriting=found.usage)
        return found


class Spending:
    """The ledger and the budgets of one system."""

    def __init__(self, config: Config, config_hash: str) -> None:
        self._config_hash = config_hash
        self._costs = config.costs
        self._config = config
        place = config.costs.ledger
        self._ledger = Ledger(place, config.costs.ledger_password) if place is not None else None
        self._lock = threading.Lock()
        self._threads: ThreadPoolExecutor | None = None
        self._process = os.getpid()

    def call(self, question: str, payer: Payer) -> AbstractContextManager[Open]:
        """Around one call. Raises BudgetExceeded before it if its budgets do not allow it, nor one without a language
        model where `costs.over_budget` says so.

        A call that fails gives its reservation back; one that is left before its answer is whole is charged with all
        of it, for what a model has begun is paid for.
        """
        return self._around(question, payer, STAGES, self._config)

    def search(self, question: str, payer: Payer, config: Config) -> AbstractContextManager[Open]:
        """`call` around a search without an answer, with what the search itself has for `config.retrieval`; what it
        found is to be told by `Open.found`. One that costs nothing, for its models are on this machine and
        `costs.machine_usd_per_hour` is 0, is neither reserved for nor written."""
        return self._around(question, payer, SEARCH_STAGES, config)

    @contextmanager
    def _around(self, question: str, payer: Payer, stages: Collection[str], config: Config) -> Generator[Open]:
        opened = self.begin(question, payer, stages, config)
        try:
            yield opened
        except BaseException as error:
            self.end(opened, error)
            raise
        self.end(opened)

    def acall(self, question: str, payer: Payer) -> _AsyncCall:
        """`call` for `async with`, without blocking the event loop."""
        return _AsyncCall(self, question, payer)

    def given(self, answer: Answer, payer: Payer) -> Answer:
        """Write an answer for which nothing was reserved, for it was made before."""
        if self._ledger is not None:
            call = Call(payer, answer.trace_id, answer.config_hash, answer.cost, answer.refused)
            self._ledger.settle(call)
        return answer

    async def agiven(self, answer: Answer, payer: Payer) -> Answer:
        """`given` without blocking the event loop."""
        if self._ledger is None:
            return answer
        return await asyncio.shield(asyncio.wrap_future(self.submit(self.given, answer, payer)))

    def hold_for(self, questions: Sequence[str], payer: Payer, share: float, *, seconds: float) -> str:
        """Reserve a share of the most that all these questions can cost, and return the name of the reservation; "" if
        no budget is about this payer. Raises BudgetExceeded."""
        now = time.time()
        limits = self._limits(payer, now)
        if not limits or self._ledger is None:
            return ""
        most = sum(self._most(question, self._config, limits)[0] for question in questions)
        return self._ledger.hold(limits, round(most * share), seconds=seconds, at=now).id

    def let_go(self, hold: str) -> None:
        """Give back what `hold_for` reserved under this name."""
        if self._ledger is not None:
            self._ledger.refund(Hold(hold, 0, 0.0, ()))

    @property
    def keeps(self) -> bool:
        """Whether there is a ledger."""
        return self._ledger is not None

    def close(self) -> None:
        """Close the ledger when all that was begun is written. The object can be used again."""
        with self._lock:
            threads, self._threads = self._threads, None
        if threads is not None:
            threads.shutdown()
        if self._ledger is not None:
            self._ledger.close()

    def submit(self, work: Callable[..., T], *arguments: Any) -> Future[T]:
        """Do it in a thread of the ledger's own, which ends though the event loop may be gone; made when needed."""
        with self._lock:
            if self._threads is None or self._process != os.getpid():
                self._threads, self._process = ThreadPoolExecutor(_THREADS, "ledger"), os.getpid()
            return self._threads.submit(work, *arguments)

    def begin(
        self, question: str, payer: Payer, stages: Collection[str] = STAGES, config: Config | None = None
    ) -> Open:
        """Reserve for these stages, of the system's config or another. Raises BudgetExceeded as `call` does."""
        config = config or self._config
        opened = Open(payer, question=question, stages=stages)
        if self._ledger is None:
            return opened
        try:
            opened.hold, opened.priced = self._reserved(question, payer, config, stages)
        except BudgetExceeded as error:
            if self._costs.over_budget == "refuse":
                raise
            opened.hold, opened.priced = self._reserved(question, payer, without_a_model(config), stages)
            opened.free = True
            opened.notes.append(f"answered without a language model: {error.message}")
        if opened.hold is not None:
            opened.notes += _told(opened.hold)
        return opened

    def end(self, opened: Open, error: BaseException | None = None) -> None:
        """Settle, give back or charge, as `call` says."""
        if self._ledger is None:
            return
        if opened.searched is not None:
            if not any(line.nano_usd != 0 for line in opened.searched):
                self._give_back(opened)
                return
            call = Call(opened.payer, "", self._config_hash, opened.searched)
        elif (answer := opened.answer) is not None:
            lines = answer.cost if opened.hold is None else charged(self._config, opened.question, answer)
            call = Call(opened.payer, answer.trace_id, answer.config_hash, lines, answer.refused)
        elif isinstance(error, Exception) and not isinstance(error, StreamCut):
            self._give_back(opened)
            return
        else:  # a stream that is closed or breaks off, a task that is cancelled, Ctrl-C
            most = opened.hold.nano_usd if opened.hold is not None and opened.priced else None
            stage = "generate" if "generate" in opened.stages else "search"
            line = CostLine(stage, most, "left before its end: at most this")
            call = Call(opened.payer, "", self._config_hash, [line])
        self._ledger.settle(call, opened.hold)

    def left(self, opened: Open, error: BaseException) -> None:
        """`end` where nobody can wait for a thread: done when this returns, or later where it takes a network."""
        if self._ledger is not None and self._ledger.remote:
            self.submit(self.end, opened, error).add_done_callback(_log_failure)
        else:
            self.end(opened, error)

    def give_back(self, begun: Future[Open]) -> None:
        """What was reserved for a task that was cancelled meanwhile."""
        if not begun.cancelled() and begun.exception() is None and (hold := begun.result().hold) is not None:
            cast("Ledger", self._ledger).refund(hold)

    def _give_back(self, opened: Open) -> None:
        if opened.hold is not None and self._ledger is not None:
            self._ledger.refund(opened.hold)

    def _reserved(
        self, question: str, payer: Payer, config: Config, stages: Collection[str]
    ) -> tuple[Hold | None, bool]:
        """The reservation, None without a budget for this payer or for what costs nothing; and whether all that it is
        for has a known price."""
        now = time.time()
        limits = self._limits(payer, now)
        if not limits or self._ledger is None:
            return None, True
        most, priced = self._most(question, config, limits, stages)
        if not most and priced:
            return None, True
        longest = max(_LONGEST_S, 10 * config.generation.timeout_s)
        return self._ledger.hold(limits, most, seconds=longest, at=now), priced

    def _limits(self, payer: Payer, now: float) -> list[Limit]:
        return [limit for budget in self._costs.budgets if (limit := limit_of(budget, payer, now)) is not None]

    def _most(
        self, question: str, config: Config, limits: Sequence[Limit], stages: Collection[str] = STAGES
    ) -> tuple[int, bool]:
        """The most that a question can cost, and whether all of that has a known price."""
        most, priced = worst_case(config, question, stages)
        if not priced and not self._costs.allow_unpriced:
            raise BudgetExceeded(
                f"what a call may cost is not known, and {limits[0].scope.words} has a budget",
                mend="set costs.prices, or costs.allow_unpriced: true",
            )
        return most, priced


class _AsyncCall:
    """`Spending.call` for an event loop: what waits for the disk does so in a thread."""

    def __init__(self, spending: Spending, question: str, payer: Payer) -> None:
        self._spending = spending
        self._asked = question, payer
        self._opened = Open(payer)

    async def __aenter__(self) -> Open:
        if self._spending.keeps:
            begun = self._spending.submit(self._spending.begin, *self._asked)
            try:
                self._opened = await asyncio.wrap_future(begun)
            except asyncio.CancelledError:
                if begun.done():  # a callback would be called here, on the event loop
                    self._spending.submit(self._spending.give_back, begun)
                else:
                    begun.add_done_callback(self._spending.give_back)
                raise
        return self._opened

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._spending.keeps:
            return
        if error is not None and not isinstance(error, Exception):  # who cancels a task does not wait for threads
            self._spending.left(self._opened, error)
            return
        # Shielded: it is written though the task may be cancelled now.
        await asyncio.shield(asyncio.wrap_future(self._spending.submit(self._spending.end, self._opened, error)))


def _log_failure(done: Future[None]) -> None:
    if (error := done.exception()) is not None:
        _log.error("what a call cost is not written: %s", error)


def without_a_model(config: Config) -> Config:
    """The config for sentences of the documents: no model writes an answer or another wording of the question."""
    from ragkit.config.routing import Routing

    retrieval = config.retrieval.model_copy(update={"transforms": []})
    return config.model_copy(
        update={"generation": config.generation.without_model(), "retrieval": retrieval, "routing": Routing()}
    )


def limit_of(budget: Budget, payer: Payer, now: float) -> Limit | None:
    """The limit that a budget sets on a call of this payer, None if it is about others.

    >>> from ragkit.config.costs import Budget
    >>> limit_of(Budget(tenant="*", per="day", usd=2.0), Payer("acme"), 0.0).scope
    Scope(tenant='acme', key=None, period='1970-01-01')
    >>> limit_of(Budget(tenant="acme", per="month", usd=2.0), Payer("umbrella"), 0.0) is None
    True
    """
    day = datetime.fromtimestamp(now, UTC).date().isoformat()
    for wanted, given in ((budget.tenant, payer.tenant), (budget.key, payer.key)):
        if wanted not in (None, "*", given):
            return None
    scope = Scope(
        None if budget.tenant is None else payer.tenant,
        None if budget.key is None else payer.key,
        {"day": day, "month": day[:7], "total": ""}[budget.per],
    )
    return Limit(scope, round(budget.usd * 1e9))


def _told(hold: Hold) -> list[str]:
    return [f"{share:.0%} of the budget for {scope.words} is used" for scope, share in hold.used if share >= WARN_FROM]
