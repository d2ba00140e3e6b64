"""docs/benchmarks.md from the results: a table and plots for each benchmark, with what decides on the figures."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from eval.bench.plots import Bar, bars, curves, number
from eval.bench.results import FOLDER, Results, place, read
from eval.bench.spec import BASE, ROOT, Bench, Case, Measure
from eval.bench.suite import SUITE
from eval.bench.summary import Spread, ratios, spread, verdict

DOCUMENT = ROOT / "docs" / "benchmarks.md"
INTRODUCTION = """\
# Benchmarks

`bash scripts/bench.sh [NAME]` measures, and writes this page from the JSON files in [benchmarks](benchmarks). It
makes an environment of its own with the peers, pinned in
[eval/bench/requirements.txt](../eval/bench/requirements.txt), and ragkit beside them, so that all run on one
interpreter and the same shared libraries. Each contender is a process of its own on the same two cores
(`OMP_NUM_THREADS=2`), offline, with the same model; the order changes with every round.

A cell is the median of the rounds, with the least and the greatest in brackets. Behind it stands the ratio to
ragkit, taken within rounds: × 2 of seconds means that it takes twice as long. **Bold** ratios are those of a peer
that was better than ragkit in every round; *slanted* ones were better in the median. Floors are no rivals: they say
what the work costs at least, or what the engine or model below does alone.
"""
QUICK = """\
> **A quick run**, with small inputs and few rounds, while other work ran on the machine: it shows that the
> benchmark works, and says little about speed.
"""
PROFILES = """\
Where ragkit's time goes in quick runs of these benchmarks, imports included (`bash scripts/bench.sh profile`; py-spy, a
hundred samples a second of the time that is not spent waiting):"""


def render() -> None:
    """Write the page and its plots anew."""
    parts = [INTRODUCTION]
    shown = [(bench, found) for bench in SUITE.values() if (found := _best(bench.name)) is not None]
    parts.append(
        "\n".join(f"- [{bench.title}](#{_anchor(bench.title)}): {ahead(bench, found)}" for bench, found in shown)
    )
    for old in FOLDER.glob("*.svg"):
        old.unlink()
    for bench, found in shown:
        parts.append(section(bench, found))
    if graphs := sorted((FOLDER / "profiles").glob("*.svg")):
        links = ", ".join(f"[{graph.stem}](benchmarks/profiles/{graph.name})" for graph in graphs)
        parts.append(f"\n## Profiles\n\n{PROFILES} {links}.\n")
    DOCUMENT.write_text("\n".join(parts), encoding="utf-8")


def _best(name: str) -> Results | None:
    """The full results, else the quick ones."""
    return next((read(path) for quick in (False, True) if (path := place(name, quick=quick)).exists()), None)


def _anchor(title: str) -> str:
    return re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")


def section(bench: Bench, found: Results, *, plots: bool = True) -> str:
    """The part of the page about one benchmark; its `plots` are files beside the results."""
    lines = [f"\n## {bench.title}\n", bench.about + "\n"]
    if found.quick:
        lines.append(QUICK)
    lines.append(_conditions(bench, found) + "\n")
    cases = [case for case in bench.cases(found.quick) if any(run.case == case.name for run in found.runs)]
    if plots:
        lines += [f"![{title}](benchmarks/{file})\n" for title, file in _plots(bench, found, cases)]
    for case in cases:
        lines += _tables(bench, found, case)
    if bench.remarks is not None:
        lines += [f"{remark}\n" for remark in bench.remarks(found)]
    lines.append("Set up as follows:\n")
    lines += [f"- {contender.label}: {contender.setting}" for contender in bench.contenders.values()]
    return "\n".join(lines) + "\n"


def _conditions(bench: Bench, found: Results) -> str:
    machine, runs = found.machine, [run for run in found.runs if run.round >= 0 and not run.failed]
    if not runs:
        return "Nothing was measured."
    commits = ", ".join(sorted({run.commit for run in runs}))
    days = sorted({run.at[:10] for run in runs})
    cores = f"{machine['cores']} cores, {machine['threads']} threads"
    where = f"{machine['cpu']}, {cores}, {machine['memory']}, {machine['system']}, Python {machine['python']}"
    if "gpu" in machine:
        where = f"{machine['gpu']} ({machine['gpu_memory']}), driver {machine['driver']}, {machine['built']}; {where}"
    used = ", ".join(f"{name} {number_}" for name, number_ in found.versions.items())
    load = max(run.load for run in runs)
    busy = f"the load average reached {load:g}" + (
        ", so other work ran beside it" if load > machine["cores"] + 2 else ""
    )
    name = f"{bench.name}{'.quick' if found.quick else ''}.json"
    return (
        f"{where}; {' to '.join(dict.fromkeys((days[0], days[-1])))}, commit {commits}; {busy}. "
        f"Every round: [{name}](benchmarks/{name}).{_given(found)}"
        f"\n\n<details><summary>Versions</summary>\n\n{used}\n\n</details>"
    )


def _given(found: Results) -> str:
    """The settings that the command was given, if the benchmark takes any."""
    told = ", ".join(f"{name} `{value}`" for name, value in found.settings.items() if value)
    return f"\n\nGiven: {told}." if told else ""


def _tables(bench: Bench, found: Results, case: Case) -> Iterator[str]:
    groups = list(dict.fromkeys(measure.group for measure in bench.measures))
    for group in groups:
        measures = [measure for measure in bench.measures if measure.group == group]
        table = _table(bench, found, case, measures)
        if table:
            yield f"### {case.name}{f', {group}' if group else ''}\n"
            yield table
    for name, reason in found.failures(case.name).items():
        label = bench.contenders[name].label if name in bench.contenders else name
        yield f"Skipped: {label}: {reason}.\n"


def _table(bench: Bench, found: Results, case: Case, measures: Sequence[Measure]) -> str:
    kept = [
        measure for measure in measures if any(_values(found, case, name, measure.key) for name in bench.contenders)
    ]
    if not kept:
        return ""
    rows = ["| | rounds | " + " | ".join(measure.label for measure in kept) + " |"]
    rows.append("|---|---:|" + "---:|" * len(kept))
    for name, contender in bench.contenders.items():
        cells = [_cell(found, case, name, measure, peer=not (contender.floor or contender.own)) for measure in kept]
        if any(cells):
            count = max(len(_values(found, case, name, measure.key)) for measure in kept)
            label = (
                f"**{contender.label}**" if name == BASE else contender.label + (" (floor)" if contender.floor else "")
            )
            rows.append(f"| {label} | {count} | {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


def _values(found: Results, case: Case, name: str, key: str) -> dict[int, float]:
    values = found.values(case.name, name, key)
    prepared = found.prepared(case.name, name)
    # What was built once before the rounds has one value.
    if not values and prepared is not None and key in prepared.values:
        return {-1: prepared.values[key]}
    return values


def _cell(found: Results, case: Case, name: str, measure: Measure, *, peer: bool) -> str:
    values = _values(found, case, name, measure.key)
    if not values:
        return ""
    told = shown(spread(list(values.values())))
    ratio = ratios(_values(found, case, BASE, measure.key), values)
    if name == BASE or ratio is None or measure.better is None:
        return told
    times = f"× {number(ratio.median)}"
    if peer:
        said = verdict(ratio, measure.better)
        times = {"wins": f"**{times}**", "ahead": f"*{times}*"}.get(said, times)
    return f"{told} {times}"


def shown(each: Spread) -> str:
    """
    >>> shown(Spread(2.0, 1.5, 3.0, 5)), shown(Spread(2.0, 2.0, 2.0, 1))
    ('2 (1.50 to 3)', '2')
    """
    low, middle, high = number(each.low), number(each.median), number(each.high)
    return middle if low == high else f"{middle} ({low} to {high})"


def ahead(bench: Bench, found: Results) -> str:
    """Who is ahead of ragkit at what is drawn, a line for each case and measure, or that nobody is."""
    lines: list[str] = []
    measures = {measure.key: measure for measure in bench.measures}
    for case in bench.cases(found.quick):
        for key in bench.plot:
            measure, ours = measures[key], _values(found, case, BASE, key)
            said: list[str] = []
            for name, contender in bench.contenders.items():
                ratio = ratios(ours, _values(found, case, name, key))
                if ratio is None or measure.better is None or contender.floor or contender.own:
                    continue
                if (how := verdict(ratio, measure.better)) in ("wins", "ahead"):
                    mark = "**" if how == "wins" else "*"
                    said.append(f"{contender.label} {mark}× {number(ratio.median)}{mark}")
            if said:
                lines.append(f"\n  - {' '.join(part for part in (case.name, measure.group, measure.label) if part)}: ")
                lines[-1] += ", ".join(said)
    quick = " (a quick run)" if found.quick else ""
    return f"ahead of ragkit{quick}:{''.join(lines)}" if lines else f"no peer is ahead of ragkit{quick}"


def _plots(bench: Bench, found: Results, cases: Sequence[Case]) -> list[tuple[str, str]]:
    """Draw what the benchmark wants drawn; titles and file names."""
    files: list[tuple[str, str]] = []
    for key in bench.plot:
        measure = next(measure for measure in bench.measures if measure.key == key)
        what = " ".join(part for part in (measure.group, measure.label) if part)
        title = f"{bench.title}: {what}{' (quick run)' if found.quick else ''}"
        if measure.better is not None:
            title += f", {measure.better} is better"
        draw = _curves if bench.curve else _bars
        drawn = draw(bench, found, cases, key, title)
        if drawn:
            file = f"{bench.name}-{key}.svg"
            (FOLDER / file).write_text(drawn, encoding="utf-8")
            files.append((title, file))
    return files


def _bars(bench: Bench, found: Results, cases: Sequence[Case], key: str, title: str) -> str:
    groups: dict[str, list[Bar]] = {}
    for case in cases:
        for name, contender in bench.contenders.items():
            if values := _values(found, case, name, key):
                kind = "ours" if name == BASE else "floor" if contender.floor else "theirs"
                groups.setdefault(case.name, []).append(Bar(contender.label, spread(list(values.values())), kind))
    return bars(groups, title, "") if groups else ""


def _curves(bench: Bench, found: Results, cases: Sequence[Case], key: str, title: str) -> str:
    # Everybody has a line, though it be empty, so that colours are the same in all plots.
    lines: dict[str, list[tuple[float, Spread]]] = {each.label: [] for each in bench.contenders.values()}
    for name, contender in bench.contenders.items():
        for case in cases:
            if values := _values(found, case, name, key):
                size = float(case.settings["chunks"])
                lines[contender.label].append((size, spread(list(values.values()))))
    return curves(lines, title, "chunks") if any(lines.values()) else ""
