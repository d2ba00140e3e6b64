from __future__ import annotations

import re
from importlib import resources

import pytest

from ragkit.evaluate.page.plots import Step, Whisker, histogram, waterfall, whiskers

PHONE = 390 - 32
"""Pixels that a phone has for a plot, between the margins."""
SIGN = 7.5
"""Pixels of a sign of 12 pixels in a wide font, capitals aside."""


def texts(plot: str) -> list[tuple[float, str]]:
    """Where each text that reads to the right begins, and the text."""
    return [(float(x), text) for x, text in re.findall(r'<text x="([\d.]+)" y="[\d.]+">([^<]*)</text>', plot)]


def width(plot: str) -> float:
    found = re.search(r'viewBox="0 0 ([\d.]+) ', plot)
    assert found
    return float(found[1])


@pytest.mark.parametrize("name", ["questions about the warranty of older units " * 2, "保証に関する質問" * 6])
def test_names_of_segments_are_whole_and_inside_the_plot(name: str) -> None:
    plot = whiskers([Whisker(name, 0.5, 0.4, 0.6, "(n=9)")], "by segment")
    labels = texts(plot)[:-1]
    sign = SIGN if name.isascii() else 12
    assert all(x >= 0 and x + sign * len(text) <= width(plot) for x, text in labels)
    assert "".join(text for _, text in labels).replace(" ", "") == name.replace(" ", "")


def test_text_of_plots_keeps_its_size_on_a_phone_and_beside_others() -> None:
    plots = (
        whiskers([Whisker("one", 0.5, 0.4, 0.6)], "t"),
        waterfall([Step("all", 1, False)], "t"),
        histogram([1.0], "t", "ms"),
    )
    css = resources.files("ragkit.evaluate.page").joinpath("style.css").read_text(encoding="utf-8")
    least = re.search(r"\.plots figure \{ flex: 0 1 (\d+)px", css)
    assert least
    for plot in plots:
        assert width(plot) <= PHONE * 12 / 11, "12 pixels shrink to no less than 11"
        assert width(plot) <= float(least[1])


def test_both_axes_of_a_histogram_are_labelled() -> None:
    plot = histogram([1.0, 2.0, 2.0], "t", "milliseconds a question")
    assert ">questions</text>" in plot
    assert ">milliseconds a question</text>" in plot


def test_cells_of_tables_break_no_word_that_fits() -> None:
    css = resources.files("ragkit.evaluate.page").joinpath("style.css").read_text(encoding="utf-8")
    cells = re.search(r"^th, td \{[^}]*\}", css, re.MULTILINE)
    assert cells
    # Unlike `anywhere`, it leaves a column the width of its longest word.
    assert "overflow-wrap: break-word" in cells[0]
