"""A budget around each call: the most that it can cost is reserved before, what it did cost is written after.

Without `costs.ledger` nothing is written, and there are no budgets.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast

from ragkit.errors import BudgetExceeded
from ragkit.gateway.cost import worst_case
from ragkit.gateway.ledger import Call, Hold, Ledger, Limit, Payer, Scope
from ragkit.types import Answer, CostLine

if TYPE_CHECKING:
    from ragkit.config.schema import Budget, Config

WARN_FROM = 0.8
"""Share of a budget from which its use is told with the answer."""
_LONGER_THAN_ANY_S = 3600.0
_THREADS = 4


@dataclass(slots=True)
class Open:
    """A call under way: who pays, its reservation, what is to be told of budgets, and its answer once there is one.

    `free`: no language model may be asked, for the budget is used up.
    """

    payer: Payer
    config_hash: str
    hold: Hold | None = None
    answer: Answer | None = None
    free: bool = False
    notes: list[str] = field(default_factory=list[str])

    def noted(self, answer: Answer) -> Answer:
        """The answer, with what is to be told of the budgets; kept as that of the call."""
        self.answer = replace(answer, notes=(*answer.notes, *self.notes)) if self.notes else answer
        return self.answer


class Spending:
    """The ledger and the budgets of one system."""

    def __init__(self, config: Config) -> None:
        self._costs = config.costs
        self._config = config
        self._ledger = Ledger(config.costs.ledger) if config.costs.ledger is not None else None
        # Of its own: each thread keeps a connection, and what is begun ends though the event loop may be gone.
        self._threads = ThreadPoolExecutor(_THREADS, "ledger")

    @contextmanager
    def call(self, question: str, payer: Payer, config_hash: str) -> Generator[Open]:
        """Around one call. Raises BudgetExceeded before it if its budgets do not allow it, nor one without a language
        model where `costs.over_budget` says so.

        A call that fails gives its reservation back; one that is left before its answer is whole is charged with all
        of it, for what a model has begun is paid for.
        """
        opened = self._begun(question, payer, config_hash)
        try:
            yield opened
        except BaseException as error:
            self._ended(opened, error)
            raise
        self._ended(opened)

    @asynccontextmanager
    async def acall(self, question: str, payer: Payer, config_hash: str) -> AsyncGenerator[Open]:
        """`call` without blocking the event loop."""
        if self._ledger is None:
            yield Open(payer, config_hash)
            return
        begun = self._threads.submit(self._begun, question, payer, config_hash)
        try:
            opened = await asyncio.wrap_future(begun)
        except asyncio.CancelledError:
            begun.add_done_callback(self._unused)
            raise
        try:
            yield opened
        except Exception as error:
            await asyncio.wrap_future(self._threads.submit(self._ended, opened, error))
            raise
        except BaseException as error:  # who cancels a task does not wait for threads
            self._ended(opened, error)
            raise
        await asyncio.wrap_future(self._threads.submit(self._ended, opened))

    def _begun(self, question: str, payer: Payer, config_hash: str) -> Open:
        opened = Open(payer, config_hash)
        if self._ledger is None:
            return opened
        try:
            opened.hold = self._reserved(question, payer, self._config)
        except BudgetExceeded as error:
            if self._costs.over_budget == "refuse":
                raise
            opened.hold, opened.free = self._reserved(question, payer, without_a_model(self._config)), True
            opened.notes.append(f"answered without a language model: {error.message}")
        if opened.hold is not None:
            opened.notes += _told(opened.hold)
        return opened

    def _ended(self, opened: Open, error: BaseException | None = None) -> None:
        if self._ledger is None:
            return
        if (answer := opened.answer) is not None:
            call = Call(opened.payer, answer.trace_id, answer.config_hash, answer.cost, answer.refused)
        elif isinstance(error, Exception):
            if opened.hold is not None:
                self._ledger.refund(opened.hold)
            return
        else:  # a stream that is closed, a task that is cancelled, Ctrl-C
            most = opened.hold.nano_usd if opened.hold is not None else None
            line = CostLine("generate", most, "left before its end: at most this")
            call = Call(opened.payer, "", opened.config_hash, [line])
        self._ledger.settle(call, opened.hold)

    def _unused(self, begun: Future[Open]) -> None:
        """Give back what was reserved for a task that was cancelled meanwhile."""
        if not begun.cancelled() and begun.exception() is None and (hold := begun.result().hold) is not None:
            cast("Ledger", self._ledger).refund(hold)

    def _reserved(self, question: str, payer: Payer, config: Config) -> Hold | None:
        now = time.time()
        limits = [limit for budget in self._costs.budgets if (limit := limit_of(budget, payer, now)) is not None]
        if not limits or self._ledger is None:
            return None
        most = worst_case(config, question)
        if most is None:
            if not self._costs.allow_unpriced:
                raise BudgetExceeded(
                    f"what a call may cost is not known, and {limits[0].scope.words} has a budget",
                    mend="set costs.prices, or costs.allow_unpriced: true",
                )
            most = 0
        return self._ledger.hold(limits, most, seconds=_LONGER_THAN_ANY_S, at=now)


def without_a_model(config: Config) -> Config:
    """The config for sentences of the documents: no model writes an answer or another wording of the question."""
    generation = config.generation.model_copy(
        update={"backend": "extractive", "refusal": config.generation.refusal.model_copy(update={"ask_model": False})}
    )
    retrieval = config.retrieval.model_copy(update={"transforms": []})
    return config.model_copy(update={"generation": generation, "retrieval": retrieval})


def limit_of(budget: Budget, payer: Payer, now: float) -> Limit | None:
    """The limit that a budget sets on a call of this payer, None if it is about others.

    >>> from ragkit.config.schema import Budget
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
