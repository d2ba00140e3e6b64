"""Ask many questions from here, several at once, each by the ask path with its cache, endpoints and budgets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ragkit.errors import BudgetExceeded, RagkitError

if TYPE_CHECKING:
    from ragkit.batch.questions import AnswersFile, BatchQuestion
    from ragkit.gateway.ledger import Payer
    from ragkit.system import Ragkit
    from ragkit.types import Answer

Told = Callable[[], None]


def ask_all(
    rag: Ragkit,
    answers: AnswersFile,
    *,
    payer: Payer,
    concurrency: int,
    as_row: Callable[[Answer], dict[str, Any]],
    told: Told = lambda: None,
) -> None:
    """Ask what is left, `concurrency` questions at once; `told` hears of every one that is done.

    A question that fails is noted and goes on to the next run. Raises BudgetExceeded when the payer's budget is used
    up: what is answered by then is kept.
    """
    asyncio.run(_ask_all(rag, answers, payer, concurrency, as_row, told))


async def _ask_all(
    rag: Ragkit,
    answers: AnswersFile,
    payer: Payer,
    concurrency: int,
    as_row: Callable[[Answer], dict[str, Any]],
    told: Told,
) -> None:
    waiting = iter(list(answers.left.values()))

    async def work() -> None:
        for question in waiting:
            await one(question)
            told()

    async def one(question: BatchQuestion) -> None:
        try:
            answer = await rag.aask(question.question, payer=payer)
        except BudgetExceeded:
            raise
        except RagkitError as error:
            answers.add_error(question, str(error))
        else:
            answers.add(question, as_row(answer))

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(concurrency):
                group.create_task(work())
    except ExceptionGroup as several:  # what `except*` raises is a group in Python 3.11.2
        over, others = several.split(BudgetExceeded)
        if over is None or others is not None:
            raise
        raise over.exceptions[0] from None
