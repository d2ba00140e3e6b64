"""The ledger, in SQLite and in PostgreSQL: sums that are exact, budgets that hold against races, and lines that survive
a kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from ragkit.errors import BudgetExceeded
from ragkit.gateway.cost_report import By, spent_by
from ragkit.gateway.ledger import NOBODY, Call, Ledger, Limit, Payer, Scope, scopes_with
from ragkit.types import CostLine, Usage
from tests.postgres_server import PASSWORD, PostgresServer

ALL = Scope(None, None, "")
NOON = 1_795_694_400.0  # 2026-11-26


def call(nano: int | None, payer: Payer = NOBODY, *more: CostLine) -> Call:
    line = CostLine("generate", nano, "", "m", Usage(10, 5, 2))
    return Call(payer, "t", "c", [line, *more])


STORES = ["sqlite", pytest.param("postgres", marks=pytest.mark.integration)]


@pytest.fixture(params=STORES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    if request.param == "sqlite":
        return tmp_path / "deep" / "ledger.sqlite"
    return request.getfixturevalue("address")


@pytest.fixture
def address(postgres_server: PostgresServer) -> Iterator[str]:
    made = postgres_server.new_database()
    yield made
    postgres_server.drop(made)


def at(place: Path | str) -> Ledger:
    return Ledger(place, None if isinstance(place, Path) else SecretStr(PASSWORD))


@pytest.fixture
def ledger(place: Path | str) -> Iterator[Ledger]:
    with closing(at(place)) as opened:
        yield opened


def test_a_reservation_counts_until_what_was_spent_takes_its_place(ledger: Ledger) -> None:
    limit = Limit(ALL, 100)
    hold = ledger.hold([limit], 60, seconds=60)
    assert ledger.account(ALL) == (0, 60)
    with pytest.raises(BudgetExceeded, match="does not allow a call that may cost"):
        ledger.hold([limit], 41, seconds=60)
    ledger.settle(call(25), hold)
    assert ledger.account(ALL) == (25, 0)
    second = ledger.hold([limit], 75, seconds=60)
    assert second.used == ((ALL, 1.0),)
    ledger.refund(second)
    assert ledger.account(ALL) == (25, 0)


def test_a_refused_call_reserves_in_no_scope(ledger: Ledger) -> None:
    wide, narrow = Limit(ALL, 100), Limit(Scope("acme", None, ""), 10)
    with pytest.raises(BudgetExceeded, match="tenant acme"):
        ledger.hold([wide, narrow], 50, seconds=60)
    assert ledger.account(ALL) == (0, 0)


def test_a_reservation_of_a_process_that_is_gone_ends_by_itself(ledger: Ledger) -> None:
    ledger.hold([Limit(ALL, 100)], 100, seconds=5, at=NOON)
    with pytest.raises(BudgetExceeded):
        ledger.hold([Limit(ALL, 100)], 1, seconds=5, at=NOON + 4)
    assert ledger.hold([Limit(ALL, 100)], 100, seconds=5, at=NOON + 6).nano_usd == 100


def test_what_comes_after_its_reservation_ended_is_written_all_the_same(ledger: Ledger) -> None:
    late = ledger.hold([Limit(ALL, 100)], 40, seconds=5, at=NOON)
    ledger.hold([Limit(ALL, 100)], 10, seconds=1e9, at=NOON + 6)
    ledger.settle(call(40), late, at=NOON + 7)
    assert ledger.account(ALL) == (40, 10)


def test_a_call_over_midnight_counts_on_the_day_that_reserved_it(ledger: Ledger) -> None:
    midnight = NOON + 86_400 - NOON % 86_400
    days = [Scope(None, None, day) for day in ("2026-11-26", "2026-11-27")]
    hold = ledger.hold([Limit(days[0], 100)], 60, seconds=1e9, at=midnight - 1)
    ledger.settle(call(50), hold)
    assert [ledger.account(day) for day in days] == [(50, 0), (0, 0)]


def test_a_budget_that_is_new_counts_what_was_spent_before(ledger: Ledger) -> None:
    acme, umbrella = Payer("acme", "k1"), Payer("umbrella", "k2")
    ledger.settle(call(5, acme), at=NOON)
    ledger.settle(call(7, acme, CostLine("rerank", 2), CostLine("embed", None)), at=NOON - 86_400)
    ledger.settle(call(11, umbrella), at=NOON)
    expected = {
        ALL: 25,
        Scope("acme", None, ""): 14,
        Scope("acme", None, "2026-11-26"): 5,
        Scope("acme", "k1", "2026-11"): 14,
        Scope(None, "k2", "2026-11-26"): 11,
        Scope(None, "k2", "2026-11-25"): 0,
    }
    assert {scope: ledger.account(scope)[0] for scope in expected} == expected


names = st.sampled_from(["", "acme", "umbrella", "*", "a\x1fb", "2026"])
payers = st.builds(Payer, names, names)


spendings = st.lists(st.tuples(payers, st.integers(0, 10**12), st.integers(0, 3)), max_size=12)


def accounts_are_sums(ledger: Ledger, spent: list[tuple[Payer, int, int]]) -> None:
    half = len(spent) // 2
    for number, (payer, nano, day) in enumerate(spent):
        if number == half:  # accounts that exist are kept up, the others are added up later
            for scope in scopes_with(Payer("acme", "umbrella"), "2026-11-26"):
                ledger.account(scope)
        ledger.settle(call(nano, payer), at=NOON + 86_400 * day)
    for scope in {scope for payer, _, _ in spent for scope in scopes_with(payer, "2026-11-27")}:
        wanted = sum(
            nano
            for payer, nano, day in spent
            if scope.tenant in (None, payer.tenant)
            and scope.key in (None, payer.key)
            and f"2026-11-{26 + day}".startswith(scope.period)
        )
        assert ledger.account(scope) == (wanted, 0)


@given(spendings)
def test_accounts_are_the_sums_of_the_lines(
    tmp_path_factory: pytest.TempPathFactory, spent: list[tuple[Payer, int, int]]
) -> None:
    with closing(Ledger(tmp_path_factory.mktemp("sums") / "l.sqlite")) as ledger:
        accounts_are_sums(ledger, spent)


@pytest.mark.integration
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(spendings)
def test_accounts_are_the_sums_of_the_lines_in_postgres(address: str, spent: list[tuple[Payer, int, int]]) -> None:
    with psycopg.connect(address, password=PASSWORD) as db:
        db.execute("DROP SCHEMA IF EXISTS ragkit CASCADE")
    with closing(at(address)) as ledger:
        accounts_are_sums(ledger, spent)


def test_names_with_odd_signs_share_no_account(ledger: Ledger) -> None:
    for tenant, key in (("a\x1f=b", "c"), ("a", "b\x1f=c"), ("*", "*"), ("a*", "?[b]"), ("\ud800", "")):
        ledger.settle(call(1, Payer(tenant, key)))
    names = {scope.name for payer in (Payer("a\x1f=b", "c"), Payer("a", "b\x1f=c")) for scope in scopes_with(payer, "")}
    assert len(names) == 2 * 4 - 1, "only that of everybody is shared"
    assert ledger.account(Scope("a", "b\x1f=c", ""))[0] == 1


def test_amounts_that_no_sum_could_hold_are_cut(ledger: Ledger) -> None:
    for _ in range(3):
        ledger.settle(Call(NOBODY, "t", "c", [CostLine("generate", 2**70, "", "m", Usage(2**70, 2**70))]))
    assert ledger.account(ALL) == (3 * 10**15, 0)


def test_what_the_garbage_collector_settles_within_a_transaction_is_written_behind_it(ledger: Ledger) -> None:
    class Left:
        def __del__(self) -> None:
            ledger.settle(call(7))

    limits = [Limit(ALL, 100)]

    class Limits(list[Limit]):  # as where the collector runs while the transaction is open
        def __iter__(self) -> Iterator[Limit]:
            Left()
            return iter(limits)

    hold = ledger.hold(Limits(limits), 10, seconds=60)
    with pytest.raises(BudgetExceeded):
        ledger.hold(Limits(limits), 90, seconds=60)
    ledger.refund(hold)
    assert ledger.account(ALL)[1] == 0
    assert ledger.account(ALL)[0] >= 14


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of forking with threads
def test_a_forked_process_writes_with_a_connection_of_its_own(ledger: Ledger) -> None:
    ledger.settle(call(1))
    child = os.fork()
    if child == 0:
        try:
            time.sleep(0.2)  # until the parent has closed
            for _ in range(5):
                ledger.settle(call(1))
            os._exit(0)
        except BaseException:
            os._exit(1)
    ledger.close()
    assert os.waitpid(child, 0)[1] == 0
    assert ledger.account(ALL) == (6, 0)


@pytest.mark.parametrize("by", ["day", "month", "tenant", "key", "model", "endpoint", "stage"])
def test_reports_are_the_same_whole_numbers_in_the_same_order(ledger: Ledger, by: By) -> None:
    for number, tenant in enumerate(["b", "A", "\u00e9", "a", ""]):
        ledger.settle(call(10**15, Payer(tenant, f"k{number % 2}"), CostLine("embed", None)), at=NOON + 86_400 * number)
    ledger.settle(Call(Payer("a"), "t", "c", [], refused=True), at=NOON)
    groups = spent_by(ledger, by)
    assert [group.group for group in groups] == sorted(group.group for group in groups)
    assert sum(group.nano_usd for group in groups) == 5 * 10**15
    assert sum(group.unpriced for group in groups) == 5
    assert all(type(number) is int for group in groups for number in (group.calls, group.nano_usd, group.input_tokens))
    assert sum(group.calls for group in spent_by(ledger, by, "2026-11-27", "2026-11-27", tenant="A")) in (1, 2)


WORKER = """
import sys, threading
from pydantic import SecretStr
from ragkit.config.ledger_place import ledger_place
from ragkit.errors import BudgetExceeded
from ragkit.gateway.ledger import NOBODY, Call, Ledger, Limit, Scope
from ragkit.types import CostLine

place, password, threads, calls, limit = ledger_place(sys.argv[1]), SecretStr(sys.argv[2]), *map(int, sys.argv[3:6])
ledger, scope = Ledger(place, password), Scope(None, None, "")

def work(number):
    for turn in range(calls):
        try:
            hold = ledger.hold([Limit(scope, limit)], 10, seconds=600)
        except BudgetExceeded:
            continue
        if turn % 10 == 9:
            ledger.refund(hold)
            continue
        ledger.settle(Call(NOBODY, "t", "c", [CostLine("generate", 6 + (number + turn) % 5)]), hold)
        print("settled", flush=True)

workers = [threading.Thread(target=work, args=(n,)) for n in range(threads)]
[w.start() for w in workers]; [w.join() for w in workers]
"""


def spawn(place: Path | str, threads: int, calls: int, limit: int) -> subprocess.Popen[str]:
    given = [str(place), PASSWORD, str(threads), str(calls), str(limit)]
    return subprocess.Popen([sys.executable, "-c", WORKER, *given], stdout=subprocess.PIPE, text=True)


@pytest.mark.integration
def test_no_dollar_is_spent_twice_by_many_workers(place: Path | str) -> None:
    """4 processes of 16 threads try 10,240 calls (2,560 on PostgreSQL, whose steps are slower) on a budget for about
    half of them; they make the ledger, too."""
    calls = 160 if isinstance(place, Path) else 40
    limit = calls * 250
    workers = [spawn(place, 16, calls, limit) for _ in range(4)]
    settled = sum(worker.communicate(timeout=300)[0].count("settled") for worker in workers)
    assert [worker.returncode for worker in workers] == [0] * 4
    with closing(at(place)) as ledger:
        spent, held = ledger.account(ALL)
        assert held == 0
        assert spent <= limit
        assert spent >= limit * 0.99, "what was reserved and not spent is to be had again"
        assert list(ledger.rows("SELECT SUM(nano_usd), COUNT(DISTINCT call) FROM lines")) == [(spent, settled)]


def test_of_many_who_reserve_the_last_dollar_at_once_one_gets_it(ledger: Ledger) -> None:
    start = threading.Barrier(8)

    def reserve(number: int) -> int:
        start.wait()
        try:
            return ledger.hold([Limit(Scope(None, f"k{number}", ""), 10)], 10, seconds=600).nano_usd
        except BudgetExceeded:
            return 0

    with ThreadPoolExecutor(8) as threads:
        for number in range(20):
            ledger.account(Scope(None, f"k{number}", ""))
            assert sum(threads.map(reserve, [number] * 8)) == 10


SCOPES = """
import random, sys, threading
from pydantic import SecretStr
from ragkit.config.ledger_place import ledger_place
from ragkit.errors import BudgetExceeded
from ragkit.gateway.ledger import Call, Ledger, Limit, Payer, scopes_with
from ragkit.types import CostLine

ledger, seed = Ledger(ledger_place(sys.argv[1]), SecretStr(sys.argv[2])), int(sys.argv[3])
NOON, DAY = 1_795_694_400.0, 86_400
failed = []

def work(number):
    dice = random.Random(seed * 100 + number)
    for _ in range(40):
        payer, days = Payer(dice.choice("ab"), dice.choice("kl")), dice.randrange(3)
        scopes = scopes_with(payer, f"2026-11-{26 + days}")
        limits = [Limit(scope, 1_500) for scope in dice.sample(scopes, 4)]  # in any order
        try:
            hold = ledger.hold(limits, 10, seconds=dice.choice([0.0, 600.0]), at=NOON + DAY * days)
        except BudgetExceeded:
            continue
        if dice.random() < 0.2:
            ledger.refund(hold)
        else:
            ledger.settle(Call(payer, "t", "c", [CostLine("generate", dice.randrange(11))]), hold)

def careful(number):
    try:
        work(number)
    except BaseException as error:
        failed.append(repr(error))

workers = [threading.Thread(target=careful, args=(n,)) for n in range(6)]
[w.start() for w in workers]; [w.join() for w in workers]
sys.exit("\\n".join(failed) or 0)
"""


@pytest.mark.integration
def test_budgets_in_any_order_never_wait_for_each_other(place: Path | str) -> None:
    """Accounts are opened, reservations end and calls are settled all at once: every sum is right."""
    at(place).close()
    given = [[sys.executable, "-c", SCOPES, str(place), PASSWORD, str(seed)] for seed in range(4)]
    workers = [subprocess.Popen(one, stderr=subprocess.PIPE, text=True) for one in given]
    assert [worker.communicate(timeout=300)[1] for worker in workers] == [""] * 4
    with closing(at(place)) as ledger:
        rows = list(ledger.rows("SELECT tenant, key, day, nano_usd FROM calls JOIN lines ON call = id"))
        assert rows
        for payer in (Payer(tenant, key) for tenant in "ab" for key in "kl"):
            for scope in (scope for day in range(26, 29) for scope in scopes_with(payer, f"2026-11-{day}")):
                counted = [
                    nano
                    for tenant, key, day, nano in rows
                    if scope.tenant in (None, tenant) and scope.key in (None, key) and day.startswith(scope.period)
                ]
                assert ledger.account(scope)[0] == sum(counted)


@pytest.mark.integration
def test_a_kill_loses_no_settled_line_and_no_money(place: Path | str) -> None:
    limit = 10**12
    ledger = at(place)
    told = 0
    for _ in range(5):
        worker = spawn(place, 4, 100_000, limit)
        assert worker.stdout is not None
        told += sum(worker.stdout.readline() == "settled\n" for _ in range(20))
        worker.send_signal(signal.SIGKILL)
        told += worker.stdout.read().count("settled\n")
        worker.wait()
        worker.stdout.close()
        # First, for it waits for what a server still does for the dead.
        spent = ledger.account(ALL)[0]
        [(count, total)] = ledger.rows("SELECT COUNT(DISTINCT call), SUM(nano_usd) FROM lines")
        assert count >= told
        assert spent <= total
    assert list(ledger.rows("SELECT SUM(nano_usd) FROM lines")) == [(ledger.account(ALL)[0],)]
    # What the dead had reserved is given back when its time is over.
    ledger.hold([Limit(ALL, limit)], 1, seconds=7200, at=time.time() + 3600)
    assert ledger.account(ALL)[1] == 1
    ledger.close()
