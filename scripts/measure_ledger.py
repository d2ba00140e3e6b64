"""What a ledger holds against many workers: overspent, unused, calls a second.

    python scripts/measure_ledger.py .ragkit/measured.sqlite
    POSTGRES_PASSWORD=... python scripts/measure_ledger.py postgresql://ragkit@localhost/ragkit --calls 10000

Needs a ledger that is empty. Workers are threads of some processes. Each call reserves 10 nano-dollars; one in ten
fails and is refunded, the others cost 6 to 10. The budget is for about half of them, so that the others are refused.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import threading
import time
from contextlib import closing
from multiprocessing.synchronize import Barrier
from pathlib import Path

from pydantic import SecretStr

from ragkit.config.ledger_place import ledger_place
from ragkit.errors import BudgetExceeded
from ragkit.gateway.ledger import NOBODY, Call, Ledger, Limit, Scope
from ragkit.types import CostLine

ALL = Scope(None, None, "")
MOST = 10


def opened(place: Path | str) -> Ledger:
    password = os.environ.get("POSTGRES_PASSWORD")
    return Ledger(place, SecretStr(password) if password else None)


def work(place: Path | str, limit: int, threads: int, calls: int, start: Barrier) -> None:
    """One process."""
    ledger = opened(place)
    ledger.account(ALL)
    start.wait()

    def ask(number: int) -> None:
        for turn in range(calls):
            try:
                hold = ledger.hold([Limit(ALL, limit)], MOST, seconds=3600)
            except BudgetExceeded:
                continue
            if turn % 10 == 9:
                ledger.refund(hold)
            else:
                ledger.settle(Call(NOBODY, "t", "c", [CostLine("generate", 6 + (number + turn) % 5)]), hold)

    workers = [threading.Thread(target=ask, args=(number,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    ledger.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("place", type=ledger_place)
    parser.add_argument("--workers", type=int, default=64)
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--calls", type=int, default=160, help="of each worker")
    given = parser.parse_args()
    tried = given.workers * given.calls
    limit = tried * 4
    with closing(opened(given.place)) as ledger:
        if list(ledger.rows("SELECT COUNT(*) FROM calls")) != [(0,)]:
            sys.exit("the ledger is not empty")
        start = multiprocessing.Barrier(given.processes + 1)
        share = given.workers // given.processes
        arguments = (given.place, limit, share, given.calls, start)
        processes = [multiprocessing.Process(target=work, args=arguments) for _ in range(given.processes)]
        for process in processes:
            process.start()
        start.wait()
        began = time.perf_counter()
        for process in processes:
            process.join()
        seconds = time.perf_counter() - began
        spent, held = ledger.account(ALL)
        [(settled, total)] = ledger.rows("SELECT COUNT(DISTINCT call), CAST(SUM(nano_usd) AS BIGINT) FROM lines")
    figures = {
        "workers": share * given.processes,
        "calls": tried,
        "settled": settled,
        "overspent": max(0, total - limit),
        "unused": round(1 - total / limit, 6),
        "held": held,
        "account_is_sum": spent == total,
        "seconds": round(seconds, 1),
        "calls_a_second": round(tried / seconds),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    multiprocessing.set_start_method("spawn")
    main()
