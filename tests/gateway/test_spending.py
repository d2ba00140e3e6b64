"""Budgets around calls: reserved before, settled after, given back or charged when it goes wrong."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from ragkit.config.costs import Budget
from ragkit.config.schema import Config, Retrieval
from ragkit.errors import BudgetExceeded, ConfigError
from ragkit.gateway.cost import SEARCH_STAGES, STAGES, cost_lines, worst_case
from ragkit.gateway.ledger import NOBODY, Ledger, Payer, Scope
from ragkit.gateway.spending import Spending, without_a_model
from ragkit.retrieve.query_transforms import Query
from ragkit.retrieve.retriever import Retrieved
from ragkit.types import Answer, CostLine, Usage

PRICES = {"m": {"input": 1.0, "output": 2.0}}
ALL = Scope(None, None, "")


def config(tmp_path: Path, *budgets: dict[str, Any], **costs: Any) -> Config:
    return Config.model_validate(
        {
            "generation": {"backend": "openai", "model": "m", "max_tokens": 100, "context_tokens": 1000},
            "costs": {"ledger": str(tmp_path / "l.sqlite"), "prices": PRICES, "budgets": list(budgets), **costs},
        },
        strict=False,
    )


def answer(nano: int | None) -> Answer:
    cost = (CostLine("embed", 0), CostLine("generate", nano, "", "m", Usage(10, 2)))
    return Answer("x", False, (), (), "m", "c", "t", {}, cost=cost)


def test_an_answer_is_settled_in_place_of_its_reservation(tmp_path: Path) -> None:
    spending = Spending(config(tmp_path, {"per": "total", "usd": 1.0}), "c")
    ledger = Ledger(tmp_path / "l.sqlite")
    with spending.call("how?", NOBODY) as opened:
        assert ledger.account(ALL) == (0, worst_case(config(tmp_path), "how?")[0])
        assert opened.noted(answer(500)).notes == ()
    assert ledger.account(ALL) == (500, 0)
    assert list(ledger.rows("SELECT stage, model, nano_usd, input_tokens FROM lines ORDER BY position")) == [
        ("embed", "", 0, 0),
        ("generate", "m", 500, 10),
    ]


def test_a_call_that_fails_gives_its_reservation_back(tmp_path: Path) -> None:
    spending = Spending(config(tmp_path, {"per": "total", "usd": 1.0}), "c")
    with pytest.raises(RuntimeError), spending.call("how?", NOBODY):
        raise RuntimeError
    assert Ledger(tmp_path / "l.sqlite").account(ALL) == (0, 0)


@pytest.mark.parametrize("leaving", [GeneratorExit, KeyboardInterrupt])
def test_a_call_that_is_left_is_charged_with_all_that_it_may_have_cost(
    tmp_path: Path, leaving: type[BaseException]
) -> None:
    asked = config(tmp_path, {"per": "total", "usd": 1.0})
    with pytest.raises(leaving), Spending(asked, "c").call("how?", NOBODY):
        raise leaving
    assert Ledger(tmp_path / "l.sqlite").account(ALL) == (worst_case(asked, "how?")[0], 0)


def test_a_stream_that_is_closed_behind_its_answer_costs_what_the_answer_did(tmp_path: Path) -> None:
    spending = Spending(config(tmp_path, {"per": "total", "usd": 1.0}), "c")

    def stream() -> Generator[Answer]:
        with spending.call("how?", NOBODY) as opened:
            yield opened.noted(answer(700))

    pieces = stream()
    next(pieces)
    pieces.close()
    assert Ledger(tmp_path / "l.sqlite").account(ALL) == (700, 0)


def test_each_tenant_has_a_budget_of_its_own_and_is_told_from_four_fifths_on(tmp_path: Path) -> None:
    most, _ = worst_case(config(tmp_path), "how?")
    each = {"tenant": "*", "per": "day", "usd": most * 2.5 / 1e9}
    spending = Spending(config(tmp_path, each), "c")

    def ask(tenant: str) -> Answer:
        with spending.call("how?", Payer(tenant)) as opened:
            return opened.noted(answer(most))

    assert ask("acme").notes == ()
    assert ask("acme").notes[0].startswith("80% of the budget for tenant acme in 20")
    with pytest.raises(BudgetExceeded, match="for tenant acme in 20"):
        ask("acme")
    assert ask("umbrella").notes == ()


def test_a_call_without_a_known_price_needs_leave_under_a_budget(tmp_path: Path) -> None:
    unknown: dict[str, Any] = {"prices": {}}
    everybody = {"per": "month", "usd": 1.0}
    # The model "m" is in no table.
    with (
        pytest.raises(BudgetExceeded, match="what a call may cost is not known"),
        Spending(config(tmp_path, everybody, **unknown), "c").call("how?", NOBODY),
    ):
        pass
    with Spending(config(tmp_path, everybody, **unknown, allow_unpriced=True), "c").call("how?", NOBODY) as opened:
        opened.noted(answer(None))
    with Spending(config(tmp_path, {"tenant": "acme", "usd": 1.0}, **unknown), "c").call("how?", Payer("b")):
        pass  # the budget is of somebody else


def test_without_a_ledger_nothing_is_written_and_budgets_are_refused(tmp_path: Path) -> None:
    with Spending(Config(), "c").call("how?", NOBODY) as opened:
        assert opened.noted(answer(1)) == answer(1)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="budgets need a ledger"):
        Config.model_validate({"costs": {"budgets": [Budget(usd=1.0)]}})
    assert issubclass(BudgetExceeded, Exception)
    assert not issubclass(BudgetExceeded, ConfigError)


@pytest.mark.parametrize("citations", ["names", "tags"])
@pytest.mark.parametrize("transforms", [[], ["hyde"], ["multi_query", "decompose", "hyde"]])
def test_no_answer_of_full_prompts_costs_more_than_the_worst_case(
    tmp_path: Path, citations: str, transforms: list[str]
) -> None:
    asked = config(tmp_path)
    generation = asked.generation.model_copy(update={"citations": citations, "reminder": "cite! " * 300})
    retrieval = asked.retrieval.model_copy(update={"transforms": transforms})
    asked = asked.model_copy(update={"generation": generation, "retrieval": retrieval})
    context = 1000 if citations == "names" else 2000
    full = Usage(input_tokens=context + 900 + 500, output_tokens=100)
    timings = {"embed": 9.0, "generate": 60_000.0, **({"rewrite": 1.0} if transforms else {})}
    writing = Usage(500 * len(transforms), 160 * len(transforms)) if transforms else None
    lines = cost_lines(asked, ["how?"], timings, "m", full, writing)
    assert sum(line.nano_usd or 0 for line in lines) <= worst_case(asked, "how?")[0]


def test_what_has_a_price_is_reserved_though_something_has_none(tmp_path: Path) -> None:
    reranked = {"retrieval": {"reranking": {"backend": "http", "base_url": "http://localhost:1/v1", "model": "r"}}}
    given = config(tmp_path, {"per": "total", "usd": 1.0}, allow_unpriced=True).model_dump(
        include={"generation", "costs"}
    )
    asked = Config.model_validate({**given, **reranked}, strict=False)
    most, priced = worst_case(asked, "how?")
    assert (most, priced) == (worst_case(config(tmp_path), "how?")[0], False)
    with pytest.raises(GeneratorExit), Spending(asked, "c").call("how?", NOBODY):
        raise GeneratorExit
    ledger = Ledger(tmp_path / "l.sqlite")
    assert list(ledger.rows("SELECT nano_usd FROM lines")) == [(None,)], "not known, and never 0"


def test_where_the_budget_is_used_up_no_model_may_be_asked_but_documents_may(tmp_path: Path) -> None:
    asked = config(tmp_path, {"per": "total", "usd": 1e-9}, over_budget="extractive")
    with Spending(asked, "c").call("how?", NOBODY) as opened:
        assert opened.free
        assert opened.noted(answer(0)).notes[0].startswith("answered without a language model: the budget of $1e-09")
    free = without_a_model(asked)
    assert (free.generation.backend, worst_case(free, "how?")) == ("extractive", (0, True))
    paid = {"ingestion": {"embedding": {"backend": "openai", "model": "m", "base_url": "http://localhost:1/v1"}}}
    still_paid = Config.model_validate({**paid, **asked.model_dump(include={"generation", "costs"})}, strict=False)
    with pytest.raises(BudgetExceeded), Spending(still_paid, "c").call("how?", NOBODY):
        pass


async def asked_for(spending: Spending, seconds: float, begun: asyncio.Event) -> None:
    async with spending.acall("how?", NOBODY) as opened:
        begun.set()
        await asyncio.sleep(seconds)
        opened.noted(answer(500))


def test_a_task_that_is_cancelled_is_charged_and_one_that_ends_is_settled(tmp_path: Path) -> None:
    asked = config(tmp_path, {"per": "total", "usd": 1.0})
    spending, ledger, most = Spending(asked, "c"), Ledger(tmp_path / "l.sqlite"), worst_case(asked, "how?")[0]

    async def both() -> None:
        begun = asyncio.Event()
        task = asyncio.create_task(asked_for(spending, 60, begun))
        await begun.wait()
        assert ledger.account(ALL) == (0, most)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asked_for(spending, 0, asyncio.Event())

    asyncio.run(both())
    assert ledger.account(ALL) == (most + 500, 0)


def test_a_task_that_is_cancelled_while_it_reserves_gives_it_back(tmp_path: Path) -> None:
    asked = config(tmp_path, {"per": "total", "usd": 1.0})
    spending, ledger = Spending(asked, "c"), Ledger(tmp_path / "l.sqlite")

    async def cancelled() -> None:
        task = asyncio.create_task(asked_for(spending, 60, asyncio.Event()))
        await asyncio.sleep(0)  # as far as the thread that reserves
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    for _ in range(20):
        asyncio.run(cancelled())  # the event loop is gone while the thread still works
    ends = time.monotonic() + 30
    while ledger.account(ALL) != (0, 0) and time.monotonic() < ends:
        time.sleep(0.01)
    time.sleep(0.2)  # what was still to come
    assert ledger.account(ALL) == (0, 0)


EMBEDDED = {
    "embedding": {"backend": "openai", "model": "words", "dimensions": 3},
    "chunking": {"strategy": "recursive"},
}


def searching(tmp_path: Path, *budgets: dict[str, Any], price: float = 1.0, **costs: Any) -> Config:
    """A config whose questions are embedded behind an API, at dollars a million tokens."""
    costs = {"prices": {**PRICES, "words": {"input": price}}, **costs}
    made = config(tmp_path, *budgets, **costs)
    ingestion = made.ingestion.model_validate(EMBEDDED, strict=False)
    return made.model_copy(update={"ingestion": ingestion})


def found(**timings_ms: float) -> Retrieved:
    return Retrieved([], timings_ms, queries=(Query("how?"),))


def lines(tmp_path: Path) -> list[tuple[Any, ...]]:
    return list(Ledger(tmp_path / "l.sqlite").rows("SELECT tenant, stage, nano_usd FROM lines JOIN calls ON id = call"))


def test_a_search_through_a_paid_model_is_a_call_of_its_own(tmp_path: Path) -> None:
    asked = searching(tmp_path, {"tenant": "acme", "per": "total", "usd": 1.0})
    with Spending(asked, "c").search("how?", Payer("acme"), asked) as opened:
        held = Ledger(tmp_path / "l.sqlite").account(Scope("acme", None, ""))
        assert held == (0, worst_case(asked, "how?", SEARCH_STAGES)[0])
        opened.found(asked, found(embed=2.0, search=1.0))
    [(tenant, stage, nano)] = lines(tmp_path)
    assert (tenant, stage) == ("acme", "embed")
    assert 0 < nano <= held[1]
    assert Ledger(tmp_path / "l.sqlite").account(Scope("acme", None, "")) == (nano, 0)


def test_what_a_search_may_cost_is_less_than_what_an_answer_may(tmp_path: Path) -> None:
    asked = searching(tmp_path)
    assert 0 < worst_case(asked, "how?", SEARCH_STAGES)[0] < worst_case(asked, "how?")[0]


def test_a_search_that_costs_nothing_is_allowed_under_any_budget_and_not_written(tmp_path: Path) -> None:
    free = config(tmp_path, {"per": "total", "usd": 0.0})
    with Spending(free, "c").search("how?", NOBODY, free) as opened:
        opened.found(free, found(embed=2.0, search=1.0))
    assert lines(tmp_path) == []


def test_seconds_of_this_machine_are_written_where_they_have_a_rate(tmp_path: Path) -> None:
    rated = config(tmp_path, machine_usd_per_hour=3.6)
    with Spending(rated, "c").search("how?", Payer("acme"), rated) as opened:
        opened.found(rated, found(embed=2.0, search=1.0))
    assert lines(tmp_path) == [("acme", "embed", 2_000)]


def test_a_search_whose_price_is_not_known_is_written_as_such_and_refused_under_a_budget(tmp_path: Path) -> None:
    unknown = searching(tmp_path, prices=PRICES)
    with Spending(unknown, "c").search("how?", NOBODY, unknown) as opened:
        opened.found(unknown, found(embed=2.0))
    assert lines(tmp_path) == [("", "embed", None)]
    under = searching(tmp_path, {"per": "total", "usd": 1.0}, prices=PRICES)
    with pytest.raises(BudgetExceeded, match="not known"), Spending(under, "c").search("how?", NOBODY, under):
        raise AssertionError("a search without a known price began")


def test_a_search_that_a_budget_does_not_allow_does_not_begin(tmp_path: Path) -> None:
    asked = searching(tmp_path, {"per": "total", "usd": 0.0})
    with pytest.raises(BudgetExceeded), Spending(asked, "c").search("how?", NOBODY, asked):
        raise AssertionError("a search over its budget began")


def test_what_is_reserved_for_is_the_search_that_is_made(tmp_path: Path) -> None:
    paid = searching(tmp_path, {"per": "total", "usd": 0.0})
    by_words = paid.searching(paid.retrieval.changed({"strategy": "sparse"}), "none")
    with Spending(paid, "c").search("how?", NOBODY, by_words) as opened:
        opened.found(by_words, found(search=1.0))
    with pytest.raises(BudgetExceeded), Spending(by_words, "c").search("how?", NOBODY, paid):
        raise AssertionError("a search over its budget began")


def test_over_the_budget_a_search_goes_on_without_a_language_model(tmp_path: Path) -> None:
    """What rewrites the question is left out; a budget that has not even the embedding refuses."""
    least = worst_case(without_a_model(searching(tmp_path)), "how?", SEARCH_STAGES)[0]
    writes = searching(tmp_path, {"per": "total", "usd": 2 * least / 1e9}, over_budget="extractive")
    writes = writes.model_copy(update={"retrieval": Retrieval(transforms=["hyde"])})
    with Spending(writes, "c").search("how?", NOBODY, writes) as opened:
        assert opened.free
        opened.found(writes, found(embed=2.0))
    none = searching(tmp_path, {"per": "total", "usd": 0.0}, over_budget="extractive")
    with pytest.raises(BudgetExceeded), Spending(none, "c").search("how?", NOBODY, none):
        raise AssertionError("a search over its budget began")


def test_a_search_that_fails_gives_its_reservation_back_and_one_that_is_left_is_charged(tmp_path: Path) -> None:
    asked = searching(tmp_path, {"per": "total", "usd": 1.0})
    with pytest.raises(RuntimeError), Spending(asked, "c").search("how?", NOBODY, asked):
        raise RuntimeError
    assert lines(tmp_path) == []
    with pytest.raises(KeyboardInterrupt), Spending(asked, "c").search("how?", NOBODY, asked):
        raise KeyboardInterrupt
    assert lines(tmp_path) == [("", "search", worst_case(asked, "how?", SEARCH_STAGES)[0])]


def test_where_endpoints_answer_a_search_is_reserved_for_without_their_tries() -> None:
    plain = {"ingestion": EMBEDDED, "costs": {"prices": {**PRICES, "words": {"input": 1.0}}}}
    routed = {**plain, "routing": {"endpoints": [{"name": "a", "backend": "openai", "model": "m"}]}}
    few, all_of_it = (worst_case(Config.model_validate(routed), "how?", of) for of in (SEARCH_STAGES, STAGES))
    assert few == worst_case(Config.model_validate(plain), "how?", SEARCH_STAGES)
    assert few[0] < all_of_it[0]
