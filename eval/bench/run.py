"""The command: `bash scripts/bench.sh [NAME ...] [--quick] [--resume] [--fresh] [--rounds N]`, or `list`, or
`render`."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Collection

from eval.bench import results as kept
from eval.bench.process import measured
from eval.bench.render import render
from eval.bench.schedule import left
from eval.bench.spec import BASE, Bench, Case, Skipped
from eval.bench.suite import ELSEWHERE, LONG, SUITE


def main() -> None:
    parser = argparse.ArgumentParser(prog="bash scripts/bench.sh", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"{', '.join(SUITE)}; without one all but {', '.join(LONG)}")
    parser.add_argument("--quick", action="store_true", help="small inputs, two rounds: to try things out")
    parser.add_argument("--resume", action="store_true", help="go on with the results that are there, of any commit")
    parser.add_argument("--fresh", action="store_true", help="drop the results that are there")
    parser.add_argument("--rounds", type=int, help="how often each contender runs")
    parser.add_argument("--only", help="these contenders and no others, with commas between")
    given = parser.parse_args()
    if given.names == ["list"]:
        for bench in SUITE.values():
            by = f" (by {ELSEWHERE[bench.name]})" if bench.name in ELSEWHERE else ""
            print(f"{bench.name:<15} about {bench.minutes:4.0f} min  {bench.title}{by}")
        return
    if given.names != ["render"]:
        names = given.names or [name for name in SUITE if name not in (*LONG, *ELSEWHERE)]
        if unknown := [name for name in names if name not in SUITE]:
            parser.error(f"no benchmark is called {', '.join(unknown)}; there are {', '.join(SUITE)}")
        if by := [ELSEWHERE[name] for name in names if name in ELSEWHERE]:
            parser.error(f"that one has a command of its own: {by[0]}")
        for name in names:
            bench = SUITE[name]
            minutes = "a minute or two" if given.quick else f"about {bench.minutes:.0f} minutes on two idle cores"
            print(f"\n== {name}: {bench.title} ({minutes}) ==", flush=True)
            found = kept.begin(name, quick=given.quick, resume=given.resume, fresh=given.fresh)
            run(bench, found, given.rounds, given.only.split(",") if given.only else [])
    render()
    print("\nwritten: docs/benchmarks.md")


def run(
    bench: Bench, found: kept.Results, rounds: int | None, only: Collection[str], cases: Collection[str] = ()
) -> None:
    """Measure what is not measured yet; `only` names contenders and `cases` cases, empty for all of them."""
    speed = "quick" if found.quick else "full"
    for case in bench.cases(found.quick):
        if cases and case.name not in cases:
            continue
        names = [name for name in bench.contenders if not case.contenders or name in case.contenders]
        names = [name for name in names if not only or name in only]
        try:
            if bench.prepare is not None:
                bench.prepare(case)
        except Skipped as reason:
            print(f"  SKIPPED {case.name}: {reason}", flush=True)
            found.add(kept.Run(case.name, BASE, 0, {}, str(reason), kept.commit(), kept.now()))
            continue
        usual = case.rounds or (bench.quick_rounds if found.quick else bench.rounds)
        _measure(bench, case, found, names, rounds or usual, speed)


def _measure(bench: Bench, case: Case, found: kept.Results, names: list[str], rounds: int, speed: str) -> None:
    given_up: set[str] = set()
    for name in names:
        contender = bench.contenders[name]
        if contender.prepare is not None and found.prepared(case.name, name) is None:
            print(f"  {case.name}: {contender.label}: preparing ...", flush=True)
            if not _one(bench, case, found, name, -1, speed):
                given_up.add(name)
    todo = list(left(names, rounds, found.done(case.name)))
    began, done = time.monotonic(), 0
    for position, (number, name) in enumerate(todo):
        if name in given_up:
            continue
        rest = f", about {(time.monotonic() - began) / done * (len(todo) - position) / 60:.0f} min left" if done else ""
        print(f"  {case.name}: round {number + 1} of {rounds}: {bench.contenders[name].label}{rest}", flush=True)
        if not _one(bench, case, found, name, number, speed):
            given_up.add(name)
        done += 1


def _one(bench: Bench, case: Case, found: kept.Results, name: str, number: int, speed: str) -> bool:
    """Measure and keep it; False where it failed, which is kept too."""
    commit, at, load = kept.commit(), kept.now(), round(os.getloadavg()[0], 1)
    what = "prepare" if number < 0 else "work"
    try:
        values = measured([bench.name, case.name, name, what, speed], bench.limit_s, whole_machine=bench.whole_machine)
    except Skipped as reason:
        print(f"    SKIPPED: {reason}", flush=True)
        found.add(kept.Run(case.name, name, number, {}, str(reason), commit, at, load))
        return False
    shown = [f"{each.key} {values[each.key]:.4g}" for each in bench.measures if each.key in values]
    print(f"    {', '.join(shown) or 'done'}", flush=True)
    found.add(kept.Run(case.name, name, number, values, "", commit, at, load))
    return True


if __name__ == "__main__":
    main()
