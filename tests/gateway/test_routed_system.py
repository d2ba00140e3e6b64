"""Routing within the whole: one config, a real index, real servers; what is answered, charged and reserved."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ragkit import Answer, Config, Ragkit
from ragkit.errors import StreamCut
from ragkit.gateway.cost import worst_case
from ragkit.gateway.cost_report import spent_by
from ragkit.gateway.ledger import Ledger, Payer, Scope
from tests.gateway.fault_server import Fault, FaultServer

QUESTION = "How long does the battery last?"
ALL = Scope(None, None, "")
SAYS = ("The battery lasts ", "10 hours ", "[Source: lamp.md].")


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("routed")
    (folder / "lamp.md").write_text("# Lamp\n\nThe battery lasts 10 hours. It charges in 2 hours.\n", encoding="utf-8")
    with Ragkit(config_in(folder)) as rag:
        rag.index(folder / "lamp.md")
    return folder


def config_in(folder: Path, *servers: FaultServer, ledger: Path | None = None, **routing: Any) -> Config:
    """A system over the servers, `a` cheaper than `b`; with a ledger there is a budget."""
    listed = [
        {"name": name, "model": f"model-{name}", "base_url": server.url}
        for name, server in zip("ab", servers, strict=False)
    ]
    prices = {"model-a": {"input": 1.0, "output": 2.0}, "model-b": {"input": 10.0, "output": 20.0}}
    budgets: dict[str, Any] = {"ledger": str(ledger), "budgets": [{"per": "total", "usd": 1.0}]} if ledger else {}
    return Config.model_validate(
        {
            "ingestion": {"chunking": {"chunk_size": 200, "overlap": 30}, "store": {"path": str(folder / "index")}},
            "generation": {"backend": "openai", "model": "nobody", "timeout_s": 5.0} if servers else {},
            "routing": {"endpoints": listed, "deadline_s": 20.0, "wait_s": 0.5, **routing},
            "costs": {"prices": prices, **budgets},
        },
        strict=False,
    )


@pytest.fixture
def servers() -> Iterator[tuple[FaultServer, FaultServer]]:
    with FaultServer(model="model-a", says=SAYS) as one, FaultServer(model="model-b", says=SAYS) as other:
        yield one, other


def test_the_answer_names_the_model_that_gave_it_and_what_each_try_cost(
    index: Path, servers: tuple[FaultServer, FaultServer]
) -> None:
    servers[0].meets(["empty"])  # its tokens are reported, and paid
    with Ragkit(config_in(index, *servers)) as rag:
        answer = rag.ask(QUESTION)
    assert (answer.model, answer.degraded, answer.refused) == ("model-b", False, False)
    assert [citation.quote for citation in answer.citations] == ["The battery lasts 10 hours."]
    assert [(each.endpoint, each.outcome) for each in answer.attempts] == [("a", "empty"), ("b", "answered")]
    generated = [line for line in answer.cost if line.stage == "generate"]
    assert [(line.model, line.nano_usd) for line in generated] == [("model-a", 134_000), ("model-b", 1_340_000)]
    assert [(line.endpoint, line.saved_nano_usd) for line in generated] == [("a", 0), ("b", -134_000)]


def test_what_a_cheap_endpoint_saves_is_set_against_the_dearest(
    index: Path, servers: tuple[FaultServer, FaultServer], tmp_path: Path
) -> None:
    with Ragkit(config_in(index, *servers, ledger=tmp_path / "ledger.sqlite")) as rag:
        rag.ask(QUESTION)
    with closing(Ledger(tmp_path / "ledger.sqlite")) as ledger:
        by_endpoint = {group.group: (group.nano_usd, group.saved_nano_usd) for group in spent_by(ledger, "endpoint")}
    assert by_endpoint["a"] == (134_000, 1_340_000 - 134_000)


def test_when_all_are_down_every_way_of_asking_gets_the_documents_and_pays_nothing(
    index: Path, servers: tuple[FaultServer, FaultServer]
) -> None:
    for server in servers:
        server.meets(["500"])
    with Ragkit(config_in(index, *servers)) as rag:

        async def later() -> list[Answer]:
            streamed = [piece async for piece in rag.astream(QUESTION)]
            return [await rag.aask(QUESTION), *(piece for piece in streamed if isinstance(piece, Answer))]

        answers = [rag.ask(QUESTION), list(rag.stream(QUESTION))[-1], *asyncio.run(later())]
    assert len(answers) == 4
    for answer in answers:
        assert isinstance(answer, Answer)
        assert answer.degraded
        assert "10 hours" in answer.text
        assert answer.cost_usd == 0


def test_transforms_that_no_endpoint_writes_leave_the_question_as_it_is(
    index: Path, servers: tuple[FaultServer, FaultServer]
) -> None:
    for server in servers:
        server.meets(["500"])
    config = config_in(index, *servers)
    config = config.model_copy(
        update={"retrieval": config.retrieval.model_copy(update={"transforms": ["multi_query", "hyde"]})}
    )
    with Ragkit(config) as rag:
        answer = rag.ask(QUESTION)
    assert (answer.degraded, answer.cost_usd) == (True, 0)


def test_a_task_and_a_tenant_choose_the_endpoint(index: Path, servers: tuple[FaultServer, FaultServer]) -> None:
    rules = [{"task": "summarisation", "endpoints": ["b"]}, {"tenant": "acme", "endpoints": ["b"]}]
    with Ragkit(config_in(index, *servers, policy="rules", rules=rules)) as rag:
        models = [
            rag.ask(QUESTION, task="summarisation").model,
            rag.ask(QUESTION, payer=Payer("acme")).model,
            rag.ask(QUESTION).model,
        ]
    assert models == ["model-b", "model-b", "model-a"]


def test_a_budget_is_reserved_for_the_worst_and_charged_for_what_was(
    index: Path, servers: tuple[FaultServer, FaultServer], tmp_path: Path
) -> None:
    config = config_in(index, *servers, ledger=tmp_path / "l.sqlite")
    with Ragkit(config) as rag, closing(Ledger(tmp_path / "l.sqlite")) as ledger:
        most, priced = worst_case(config, QUESTION)
        servers[0].pause_s = 0.5

        async def under_way() -> tuple[int, int]:
            asked = asyncio.create_task(rag.aask(QUESTION))
            while not servers[0].open:
                await asyncio.sleep(0.01)
            held = await asyncio.to_thread(ledger.account, ALL)
            await asked
            return held

        assert (asyncio.run(under_way()), priced) == ((0, most), True)
        assert ledger.account(ALL) == (134_000, 0)


@pytest.mark.parametrize(("fault", "tries"), [("cut", 1), ("500", 0)])
def test_a_budget_is_charged_the_most_for_a_try_whose_tokens_nobody_knows_and_nothing_for_a_refusal(
    index: Path, servers: tuple[FaultServer, FaultServer], tmp_path: Path, fault: Fault, tries: int
) -> None:
    servers[0].meets([fault])
    config = config_in(index, *servers, ledger=tmp_path / "l.sqlite")
    with Ragkit(config) as rag, closing(Ledger(tmp_path / "l.sqlite")) as ledger:
        answer = rag.ask(QUESTION)
        alone = config_in(index, servers[0], paid_attempts=1)
        assert ledger.account(ALL) == (1_340_000 + tries * worst_case(alone, QUESTION)[0], 0)
    assert answer.cost_usd is None if tries else answer.cost_usd == pytest.approx(0.00134)


def test_a_stream_that_breaks_off_is_charged(
    index: Path, servers: tuple[FaultServer, FaultServer], tmp_path: Path
) -> None:
    servers[0].meets(["cut_late"])
    config = config_in(index, *servers, ledger=tmp_path / "l.sqlite")
    with Ragkit(config) as rag, closing(Ledger(tmp_path / "l.sqlite")) as ledger:
        with pytest.raises(StreamCut):
            list(rag.stream(QUESTION))
        assert ledger.account(ALL) == (worst_case(config, QUESTION)[0], 0)
