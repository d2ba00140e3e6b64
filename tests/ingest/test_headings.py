"""Headings: where sections begin, and the trail above each."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.ingest.headings import markdown_sections, nest_titles, section_at, underlined_sections
from ragkit.types import Section


def trails(text: str) -> list[str]:
    return [" > ".join(section.path) for section in markdown_sections(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# A\n\n## B\n\n### C\n\n## D\n\n# E", ["A", "A > B", "A > B > C", "A > D", "E"]),
        ("### C\n# A\n### C", ["C", "A", "A > C"]),
        ("## With `code` and **bold** and [a link](http://x)", ["With code and bold and a link"]),
        ("# Closed #\n\n   # Indented by three", ["Closed", "Indented by three"]),
        ("Title\n=====\n\nPart\n----\n", ["Title", "Title > Part"]),
        ("#no blank\n\n####### seven\n\n    # code by indent\n\n#", []),
        ("```\n# in a fence\n```\n# After", ["After"]),
        ("~~~\n# in a fence\n```\n# still\n~~~\n# After", ["After"]),
        ("a paragraph\nof two lines\n---\n", []),
        ("para\n\n---\n\npara", []),
        ("", []),
    ],
)
def test_markdown(text: str, expected: list[str]) -> None:
    assert trails(text) == expected


def test_offsets_are_those_of_the_heading_lines() -> None:
    text = "Start.\r\n\r\n# Größe 👩\r\n\r\ntext\r\n\r\nUnder\r\n-----\r\n"
    assert [text[section.offset :].split("\r")[0] for section in markdown_sections(text)] == ["# Größe 👩", "Under"]


@given(
    st.lists(
        st.sampled_from(["# A\n", "## B\n", "text\n", "\n", "T\n---\n", "```\n", "é👩\u2028", "\x0c"]), max_size=30
    )
)
def test_sections_are_sorted_and_no_trail_is_empty(parts: list[str]) -> None:
    text = "".join(parts)
    for found in (markdown_sections(text), underlined_sections(text)):
        offsets = [section.offset for section in found]
        assert offsets == sorted(set(offsets))
        assert all(section.path and all(section.path) for section in found)
        assert all(0 <= offset < len(text) for offset in offsets)


def test_restructured_text_levels_follow_the_first_use_of_each_line() -> None:
    text = "Top\n~~~\n\nx\n\nPart\n====\n\ny\n\nDetail\n----\n\nz\n\nOther\n=====\n"
    found = [section.path for section in underlined_sections(text)]
    assert found == [("Top",), ("Top", "Part"), ("Top", "Part", "Detail"), ("Top", "Other")]


def test_an_underline_much_shorter_than_its_title_is_none() -> None:
    assert underlined_sections("A long title here\n---\n\ntext") == ()


def test_section_at() -> None:
    sections = nest_titles([(1, 10, "A"), (2, 20, "B")])
    assert section_at(sections, 9) is None
    assert section_at(sections, 10) == Section(("A",), 10)
    assert section_at(sections, 19) == Section(("A",), 10)
    assert section_at(sections, 500) == Section(("A", "B"), 20)
    assert section_at((), 0) is None
