"""The ledger on a PostgreSQL server: away and back, killed in the middle, commits whose answer is lost, no password
shown, and no event loop that waits for it."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from typing import Any
from urllib.parse import urlsplit

import pytest
from pydantic import SecretStr

from ragkit.config.schema import Config
from ragkit.errors import BudgetExceeded, RagkitError
from ragkit.gateway.cost import worst_case
from ragkit.gateway.ledger import NOBODY, Call, Ledger, Limit, Payer, Scope
from ragkit.gateway.spending import Spending
from ragkit.types import Answer, CostLine, Usage
from tests.postgres_server import PASSWORD, PostgresServer

pytestmark = pytest.mark.integration
ALL = Scope(None, None, "")
LIMITS = [Limit(ALL, 10**12)]


def call(nano: int, trace: str = "t") -> Call:
    return Call(NOBODY, trace, "c", [CostLine("generate", nano)])


@pytest.fixture
def server(postgres_server: PostgresServer) -> Iterator[PostgresServer]:
    yield postgres_server
    if not postgres_server.runs:
        postgres_server.start()


@pytest.fixture
def address(server: PostgresServer) -> Iterator[str]:
    made = server.new_database()
    yield made
    server.drop(made)


@pytest.fixture
def ledger(address: str) -> Iterator[Ledger]:
    with closing(Ledger(address, SecretStr(PASSWORD))) as opened:
        yield opened


def test_a_server_that_started_again_between_two_steps_is_not_noticed(server: PostgresServer, ledger: Ledger) -> None:
    hold = ledger.hold(LIMITS, 60, seconds=600)
    server.stop("fast")
    server.start()
    ledger.settle(call(25), hold)
    assert ledger.account(ALL) == (25, 0)
    server.kill()
    server.start()
    assert ledger.account(ALL) == (25, 0), "nothing settled is lost"
    assert ledger.hold(LIMITS, 1, seconds=600).nano_usd == 1


def test_what_is_spent_waits_for_a_server_that_starts_again(server: PostgresServer, ledger: Ledger) -> None:
    hold = ledger.hold(LIMITS, 60, seconds=600)
    server.stop("fast")
    with pytest.raises(RagkitError, match=f"postgresql://127.0.0.1:{server.port}/test_"):
        ledger.hold(LIMITS, 60, seconds=600)
    starting = threading.Thread(target=server.start)
    starting.start()
    ledger.settle(call(25), hold)
    starting.join()
    assert ledger.account(ALL) == (25, 0)


def test_a_server_that_is_killed_amid_calls_loses_none_and_counts_none_twice(
    server: PostgresServer, ledger: Ledger, address: str
) -> None:
    told: list[str] = []
    names, over = itertools.count(), threading.Event()

    def work() -> None:
        while not over.is_set():
            with suppress(RagkitError):  # while it is away
                hold = ledger.hold(LIMITS, 10, seconds=600)
                name = f"t{next(names)}"
                ledger.settle(call(7, name), hold)
                told.append(name)

    workers = [threading.Thread(target=work) for _ in range(8)]
    for worker in workers:
        worker.start()
    for _ in range(2):
        seen = len(told)
        while len(told) < seen + 50:
            time.sleep(0.01)
        server.kill()
        server.start()
    seen = len(told)
    while len(told) < seen + 50:
        time.sleep(0.01)
    over.set()
    for worker in workers:
        worker.join()
    kept = [trace for (trace,) in ledger.rows("SELECT trace_id FROM calls")]
    assert len(kept) == len(set(kept))
    assert set(told) <= set(kept)
    spent, held = ledger.account(ALL)
    assert spent == 7 * len(kept)
    assert list(ledger.rows("SELECT SUM(nano_usd) FROM holds")) in ([(held,)], [(None,)])


class CuttingProxy:
    """Passes connections on; armed, it cuts the next one that commits, before the server hears of it or after."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        self.armed = ""
        self.cuts = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)  # wakes up who accepts
        self._listening.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                server = socket.create_connection(("127.0.0.1", self._to))
                threading.Thread(target=self._serve, args=(client, server), daemon=True).start()

    def _serve(self, client: socket.socket, server: socket.socket) -> None:
        cutting = False
        with client, server, suppress(OSError):
            while True:
                ready, _, _ = select.select([client, server], [], [])
                for end, other in ((client, server), (server, client)):
                    if end not in ready:
                        continue
                    data = end.recv(65_536)
                    if not data or (cutting and end is server and b"COMMIT\0" in data):
                        return
                    if end is client and self.armed and b"COMMIT\0" in data:
                        when, self.armed, cutting = self.armed, "", True
                        self.cuts += 1
                        if when == "before":
                            return
                    other.sendall(data)


@pytest.fixture
def proxy(server: PostgresServer) -> Iterator[CuttingProxy]:
    with closing(CuttingProxy(server.port)) as between:
        yield between


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_commit_whose_answer_is_lost_is_not_done_twice(address: str, proxy: CuttingProxy, when: str) -> None:
    through = f"postgresql://ragkit@127.0.0.1:{proxy.port}{urlsplit(address).path}"
    with closing(Ledger(through, SecretStr(PASSWORD))) as ledger:
        hold = ledger.hold(LIMITS, 60, seconds=600)
        proxy.armed = when
        ledger.settle(call(25), hold)
        assert proxy.cuts == 1
        assert ledger.account(ALL) == (25, 0)
        assert list(ledger.rows("SELECT COUNT(*) FROM calls")) == [(1,)]


def test_a_reservation_whose_answer_is_lost_is_made_again_and_the_first_one_ends_by_itself(
    address: str, proxy: CuttingProxy
) -> None:
    through = f"postgresql://ragkit@127.0.0.1:{proxy.port}{urlsplit(address).path}"
    with closing(Ledger(through, SecretStr(PASSWORD))) as ledger:
        ledger.account(ALL)
        proxy.armed = "after"
        now = time.time()
        hold = ledger.hold(LIMITS, 60, seconds=600, at=now)
        assert ledger.account(ALL) == (0, 120), "rather too much reserved than too little"
        ledger.settle(call(25), hold)
        ledger.hold(LIMITS, 1, seconds=600, at=now + 601)
        assert ledger.account(ALL) == (25, 1)


def test_steps_never_deadlock_by_the_account_of_the_server(server: PostgresServer, address: str) -> None:
    """Two budgets taken in opposite orders, by threads that do nothing else."""
    scopes = [Scope(None, None, ""), Scope("a", None, ""), Scope("a", "k", "2026-11")]

    def work(order: list[Scope]) -> None:
        with closing(Ledger(address, SecretStr(PASSWORD))) as ledger:
            for _ in range(60):
                hold = ledger.hold([Limit(scope, 10**12) for scope in order], 10, seconds=600)
                ledger.settle(Call(Payer("a", "k"), "t", "c", [CostLine("generate", 1)]), hold)

    workers = [threading.Thread(target=work, args=(order,)) for order in itertools.permutations(scopes)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    with server.connection(address) as db:
        assert db.execute(
            "SELECT SUM(spent), SUM(held) FROM ragkit.accounts WHERE scope LIKE '[null, null, %'"
        ).fetchone()
        found = db.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()").fetchone()
    assert found == (0,)
    with closing(Ledger(address, SecretStr(PASSWORD))) as ledger:
        assert ledger.account(ALL) == (6 * 60, 0)


def test_no_password_is_shown_by_what_goes_wrong(
    address: str, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    wrong = Ledger(address, SecretStr("tr0ub4dor"))
    with pytest.raises(RagkitError, match=r"postgresql://127\.0\.0\.1:\d+/test_\d+ cannot be used") as caught:
        wrong.account(ALL)
    said = str(caught.value) + caplog.text + "".join(capsys.readouterr()) + repr(wrong)
    assert "tr0ub4dor" not in said
    assert "start its server, or mend costs.ledger and costs.ledger_password" in said
    nobody = Ledger("postgresql://ragkit@127.0.0.1:1/ragkit", SecretStr(PASSWORD))
    with pytest.raises(RagkitError, match=r"the ledger postgresql://127\.0\.0\.1:1/ragkit cannot be used"):
        nobody.hold(LIMITS, 1, seconds=60)
    with pytest.raises(RagkitError, match="cannot be used"):
        Ledger("postgresql://[half/ragkit", SecretStr(PASSWORD))


def test_without_psycopg_the_extra_is_named() -> None:
    script = (
        "import sys; sys.modules['psycopg'] = None\n"
        "from ragkit.gateway.ledger import Ledger\n"
        "try: Ledger('postgresql://h/d')\n"
        "except Exception as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "psycopg is not installed; pip install 'ragkit[postgres]'\n"


def test_a_ledger_leaves_no_connection_open(server: PostgresServer, address: str) -> None:
    ledger = Ledger(address, SecretStr(PASSWORD))
    threads = [threading.Thread(target=ledger.settle, args=(call(1),)) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    def clients() -> int:
        query = "SELECT COUNT(*) FROM pg_stat_activity WHERE application_name = 'ragkit' AND datname = %s"
        with server.connection() as db:
            [count] = db.execute(query, (urlsplit(address).path[1:],)).fetchone() or [0]
        return count

    assert 1 <= clients() <= 8
    ledger.close()
    while clients():
        time.sleep(0.01)
    assert ledger.account(ALL) == (20, 0), "it can be used again"
    ledger.close()


def config(address: str, **costs: Any) -> Config:
    return Config.model_validate(
        {
            "generation": {"backend": "openai", "model": "m", "max_tokens": 100, "context_tokens": 1000},
            "costs": {
                "ledger": address,
                "ledger_password": PASSWORD,
                "prices": {"m": {"input": 1.0, "output": 2.0}},
                "budgets": [{"per": "total", "usd": 1.0}],
                **costs,
            },
        },
        strict=False,
    )


def answer() -> Answer:
    cost = (CostLine("generate", 500, "", "m", Usage(10, 2)),)
    return Answer("x", False, (), (), "m", "c", "t", {}, cost=cost)


@pytest.mark.parametrize("over_budget", ["refuse", "extractive"])
def test_nothing_is_answered_while_the_budget_cannot_be_asked(
    server: PostgresServer, address: str, over_budget: str
) -> None:
    with closing(Spending(config(address, over_budget=over_budget), "c")) as spending:
        server.stop("immediate")
        with pytest.raises(RagkitError, match="cannot be used") as caught, spending.call("how?", NOBODY):
            pytest.fail("a model would be paid")
        assert not isinstance(caught.value, BudgetExceeded)

        async def asked() -> None:
            async with spending.acall("how?", NOBODY):
                pytest.fail("a model would be paid")

        with pytest.raises(RagkitError, match="cannot be used"):
            asyncio.run(asked())
        server.start()
        with spending.call("how?", NOBODY) as opened:
            opened.noted(answer())


def test_an_event_loop_goes_on_while_a_step_waits(server: PostgresServer, address: str, ledger: Ledger) -> None:
    """Somebody holds the account; only the event loop can let it go. A task that is cancelled then is charged."""
    asked = config(address)
    most = worst_case(asked, "how?")[0]
    ledger.account(ALL)
    spending = Spending(asked, "c")

    async def cancelled_after_reserving(begun: asyncio.Event) -> None:
        async with spending.acall("how?", NOBODY):
            begun.set()
            await asyncio.sleep(600)

    async def answered() -> None:
        async with spending.acall("how?", NOBODY) as opened:
            opened.noted(answer())

    async def all_of_them() -> None:
        begun = asyncio.Event()
        left = asyncio.create_task(cancelled_after_reserving(begun))
        await begun.wait()
        with server.connection(address) as db, db.transaction():
            db.execute("SELECT * FROM ragkit.accounts FOR UPDATE")
            left.cancel()
            with pytest.raises(asyncio.CancelledError):
                await left
            waiting = asyncio.create_task(answered())
            while db.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchone() is None:
                await asyncio.sleep(0.01)
            assert not waiting.done()
        await waiting

    asyncio.run(all_of_them())
    spending.close()  # what is under way is written first
    assert ledger.account(ALL) == (most + 500, 0)


def test_a_task_that_is_cancelled_while_it_reserves_gives_it_back(address: str, ledger: Ledger) -> None:
    spending = Spending(config(address), "c")

    async def asked() -> None:
        async with spending.acall("how?", NOBODY):
            await asyncio.sleep(600)

    async def cancelled(turns: int) -> None:
        task = asyncio.create_task(asked())
        for _ in range(turns):
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    for turns in range(10):
        asyncio.run(cancelled(turns))
    spending.close()
    assert ledger.account(ALL)[1] == 0


def test_the_command_line_reads_it_with_a_password_of_the_environment(
    address: str, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.settle(Call(Payer("acme"), "t", "c", [CostLine("generate", 5)]))
    monkeypatch.setenv("POSTGRES_PASSWORD", PASSWORD)
    sets = ["--set", f"costs.ledger={address}", "--set", "costs.ledger_password=${POSTGRES_PASSWORD}"]
    command = [sys.executable, "-m", "ragkit.cli.main", "cost"]
    report = subprocess.run([*command, "report", *sets, "--json"], capture_output=True, text=True, check=True)
    assert json.loads(report.stdout)["total"]["nano_usd"] == 5
    budget = "costs.budgets=[{tenant: '*', per: total, usd: 0.01}]"
    left = subprocess.run(
        [*command, "budgets", *sets, "--set", budget, "--json"], capture_output=True, text=True, check=True
    )
    assert json.loads(left.stdout)["budgets"][0]["left_nano_usd"] == 9_999_995
    sets[-1] = "costs.ledger_password=tr0ub4dor"
    wrong = subprocess.run([*command, "report", *sets], capture_output=True, text=True, check=False)
    assert wrong.returncode == 2
    assert "cannot be used" in wrong.stderr
    assert "tr0ub4dor" not in wrong.stderr + wrong.stdout
