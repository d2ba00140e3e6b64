"""The process of one contender: `python -m eval.bench.worker BENCH CASE CONTENDER prepare|work quick|full OUT.json`.

Adds to what the contender says the seconds that it had timed, and its peak memory: the greatest resident set of this
process (VmHWM, which counts pages of mapped files too) and of the largest of its children.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from pathlib import Path

from eval.bench.process import status_mb
from eval.bench.spec import THREADS, Clock, Skipped


def main() -> None:
    name, case_name, contender_name, what, speed, out = sys.argv[1:]
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(
        0, sorted(cores)[:THREADS]
    )  # before numpy is imported, whose threads keep what they begin with
    from eval.bench.suite import SUITE

    bench = SUITE[name]
    if bench.whole_machine:
        os.sched_setaffinity(0, cores)
    case = next(case for case in bench.cases(speed == "quick") if case.name == case_name)
    contender = bench.contenders[contender_name]
    work = contender.prepare if what == "prepare" else contender.work
    assert work is not None
    clock = Clock()
    try:
        values = work(case, clock)
    except Skipped as reason:
        told: dict[str, object] = {"skipped": str(reason)}
    else:
        children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e3
        memory = {"peak_mb": status_mb("self", "VmHWM"), "children_peak_mb": children}
        # What a preparation takes is told by itself; a round's memory is the search's alone.
        told = {"values": {**(memory if what == "work" else {}), **clock.seconds, **values}}
    Path(out).write_text(json.dumps(told), encoding="utf-8")


if __name__ == "__main__":
    main()
