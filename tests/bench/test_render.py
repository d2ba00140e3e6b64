"""The page: what a table says of who is quicker, and plots that are well-formed."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest

from eval.bench import render
from eval.bench.plots import Bar, bars, curves
from eval.bench.results import Results, Run
from eval.bench.spec import Bench, Case, Clock, Contender, Measure, Values
from eval.bench.suite import SUITE
from eval.bench.summary import Spread

MACHINE = {"cpu": "a CPU", "cores": 2, "threads": 2, "memory": "8 GB", "system": "Linux", "python": "3.11"}


def nothing(case: Case, clock: Clock) -> Values:
    """What each contender does here: a page is made from results that are there already."""
    return {}


BENCH = Bench(
    "sample",
    "Sample",
    "What it is.",
    (Measure("seconds", "seconds"), Measure("rate", "MB/s", "higher"), Measure("files", "files", None)),
    {
        "ragkit": Contender("ragkit", nothing, "as it is"),
        "quick": Contender("Quick", nothing, "tuned"),
        "slow": Contender("Slow", nothing, "tuned, too"),
        "floor": Contender("bare model", nothing, "alone", floor=True),
    },
    lambda _: [Case("240 chunks")],
    plot=("seconds",),
)


def measured(quick: bool = False) -> Results:
    seconds = {"ragkit": (2.0, 2.2), "quick": (1.0, 1.1), "slow": (4.0, 4.5), "floor": (0.5, 0.5)}
    runs = [
        Run(
            "240 chunks",
            name,
            number,
            {"seconds": value, "rate": 1 / value, "files": 3},
            "",
            "abc",
            "2026-11-27 10:00",
            1,
        )
        for name, values in seconds.items()
        for number, value in enumerate(values)
    ]
    return Results("sample", quick, MACHINE, {"ragkit": "0.1.0"}, runs)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(render, "FOLDER", tmp_path)
    return tmp_path


def row(page: str, label: str) -> list[str]:
    line = next(line for line in page.splitlines() if line.startswith("|") and label in line)
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_cell_has_the_median_the_spread_and_the_ratio() -> None:
    page = render.section(BENCH, measured())
    assert row(page, "ragkit") == ["**ragkit**", "2", "2.10 (2 to 2.20)", "0.477 (0.455 to 0.500)", "3"]
    assert row(page, "Slow")[2] == "4.25 (4 to 4.50) × 2.02"


def test_the_table_says_where_a_peer_wins() -> None:
    page = render.section(BENCH, measured())
    assert "**× 0.500**" in row(page, "Quick")[2]
    assert "**× 2" in row(page, "Quick")[3]
    assert "**" not in row(page, "Slow")[2]


def test_the_summary_names_who_is_ahead_and_in_how_many_rounds() -> None:
    lines = render.ahead(BENCH, measured())
    assert "240 chunks seconds: Quick **× 0.500**" in lines
    assert "Slow" not in lines
    assert "bare model" not in lines
    once = measured()
    once.runs = [run for run in once.runs if run.round == 0]
    assert "Quick *× 0.500*" in render.ahead(BENCH, once)
    once.runs = [run for run in once.runs if run.contender != "quick"]
    assert render.ahead(BENCH, once) == "no peer is ahead of ragkit"


def test_a_floor_is_no_winner() -> None:
    cells = row(render.section(BENCH, measured()), "bare model")
    assert cells[0] == "bare model (floor)"
    assert "**" not in "".join(cells)


def test_a_quick_run_says_so() -> None:
    assert "A quick run" in render.section(BENCH, measured(quick=True))
    assert "A quick run" not in render.section(BENCH, measured())


def test_a_contender_that_could_not_be_measured_is_named_with_the_reason() -> None:
    found = measured()
    found.runs.append(Run("240 chunks", "slow", 2, {}, "was ended after 15 minutes"))
    assert "Skipped: Slow: was ended after 15 minutes." in render.section(BENCH, found)


def test_machine_versions_commit_and_settings_stand_there() -> None:
    page = render.section(BENCH, measured())
    for part in ("a CPU, 2 cores, 2 threads, 8 GB", "commit abc", "ragkit 0.1.0", "- Quick: tuned", "2026-11-27"):
        assert part in page


def test_the_plot_lies_beside_the_page(folder: Path) -> None:
    page = render.section(BENCH, measured())
    assert "benchmarks/sample-seconds.svg" in page
    ElementTree.parse(folder / "sample-seconds.svg")


def test_names_with_marks_of_xml_do_not_break_a_plot() -> None:
    drawn = bars({"<1 & 2>": [Bar("a<b", Spread(1, 0.5, 2, 3), "ours")]}, "t & t", "ms")
    ElementTree.fromstring(drawn)


def test_labels_of_curves_keep_apart() -> None:
    each = Spread(1.0, 1.0, 1.0, 2)
    drawn = curves({name: [(1000.0, each), (10_000.0, each)] for name in "abcdef"}, "t", "chunks")
    ElementTree.fromstring(drawn)
    places = sorted(float(y) for y in re.findall(r'<text x="532\.0" y="([\d.]+)"', drawn))
    assert len(places) == 6
    assert all(behind - before >= 15 - 0.2 for before, behind in pairwise(places))


@pytest.mark.parametrize("bench", SUITE.values(), ids=lambda bench: bench.name)
def test_each_benchmark_is_whole(bench: Bench) -> None:
    assert "ragkit" in bench.contenders
    assert set(bench.plot) <= {measure.key for measure in bench.measures}
    for quick in (True, False):
        for case in bench.cases(quick):
            assert set(case.contenders) <= bench.contenders.keys()
