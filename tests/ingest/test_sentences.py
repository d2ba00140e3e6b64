"""Units: what a chunk may not cut."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.ingest.sentences import split_sentences, split_units

LANGUAGES = ["en", "de", "ru", "ja", "ar"]


def units(text: str, language: str = "en") -> list[str]:
    return [text[start:end] for start, end in split_sentences(text, language)]


TEXTS = st.lists(
    st.one_of(
        st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=30),
        st.sampled_from(
            [
                "A cat. ",
                "Mr. X! ",
                "\n",
                "\n\n",
                "\r\n",
                "# T\n",
                "| a | b |\n",
                "```\n",
                "- x\n",
                "日本。",
                "👩‍👩‍👧‍👦 ",
                "\u2028",
                "\x85",
            ]
        ),
    ),
    max_size=30,
).map("".join)


@pytest.mark.parametrize("language", LANGUAGES)
@given(text=TEXTS)
def test_units_are_in_order_trimmed_and_lose_only_white_space(language: str, text: str) -> None:
    found = split_units(text, language)
    reached = 0
    for unit in found:
        assert reached <= unit.start < unit.end <= len(text)
        assert not text[reached : unit.start].strip()
        assert text[unit.start : unit.end] == text[unit.start : unit.end].strip()
        reached = unit.end
    assert not text[reached:].strip()
    for before, after in pairwise(found):
        assert before.block < after.block or (before.block == after.block and before.kind == after.kind)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two! Three?", ["One.", "Two!", "Three?"]),
        ("Dr. Smith met Prof. Jones at 5 p.m. yesterday.", ["Dr. Smith met Prof. Jones at 5 p.m. yesterday."]),
        ("The U.S. exports 3.5 million tons, e.g. of corn.", ["The U.S. exports 3.5 million tons, e.g. of corn."]),
        ("See Fig. 3 and Sec. 4.2 for it.", ["See Fig. 3 and Sec. 4.2 for it."]),
        ('He said "Stop." Then he left.', ['He said "Stop."', "Then he left."]),
        ("The cable is 3 m. It hangs.", ["The cable is 3 m.", "It hangs."]),
        ("At 5 V. Smith says 5 m.p.h. is slow.", ["At 5 V. Smith says 5 m.p.h. is slow."]),
        ("Write to 12 W. Main Street. We read it.", ["Write to 12 W. Main Street.", "We read it."]),
        ("Write to a.b@c.de. Then wait.", ["Write to a.b@c.de.", "Then wait."]),
        ("No end", ["No end"]),
        ("", []),
        (" \n\t\n ", []),
    ],
)
def test_english_sentences(text: str, expected: list[str]) -> None:
    assert units(text) == expected


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("de", "Das kostet 3,50 €. Noch ein Satz.", ["Das kostet 3,50 €.", "Noch ein Satz."]),
        ("de", "👩‍👩‍👧‍👦 Ist da. Sie kommt.", ["👩‍👩‍👧‍👦 Ist da.", "Sie kommt."]),
        ("ru", "Это текст. Это другой.", ["Это текст.", "Это другой."]),
        ("ja", "これは文です。次の文です。", ["これは文です。", "次の文です。"]),
    ],
)
def test_other_languages(language: str, text: str, expected: list[str]) -> None:
    assert units(text, language) == expected


def test_a_wrapped_line_goes_on_and_a_short_one_ends() -> None:
    wrapped = "This sentence is wrapped by an editor at some width\nand goes on here for a while."
    assert units(wrapped) == [wrapped]
    address = "Kelvane Ltd\n12 Harbour Street\nSupport is open on all working days of the year for everyone"
    assert units(address)[:2] == ["Kelvane Ltd", "12 Harbour Street"]


@pytest.mark.parametrize("bullet", ["-", "*", "+", "•", "1.", "23)", "a)", "(4)"])
def test_each_list_item_is_a_unit(bullet: str) -> None:
    lines = [f"{bullet} tighten the screw, then check it", f"{bullet} close the lid and wait for the light"]
    assert units("\n".join(lines)) == lines


def test_rows_of_figures_are_units() -> None:
    rows = ["Hub 620 3.5 12", "Node 85 1.2 3", "Probe 12 0.4 1"]
    assert units("\n".join(rows)) == rows


def test_each_kind_of_block() -> None:
    text = "# Title\nProse here.\n\n| a | b |\n| 1 | 2 |\n\n```python\nx = 1. Y = 2\n\n# no heading\n```\nAfter."
    found = [(unit.kind, text[unit.start : unit.end]) for unit in split_units(text)]
    assert found == [
        ("heading", "# Title"),
        ("sentence", "Prose here."),
        ("table", "| a | b |"),
        ("table", "| 1 | 2 |"),
        ("code", "```python"),
        ("code", "x = 1. Y = 2"),
        ("code", "# no heading"),
        ("code", "```"),
        ("sentence", "After."),
    ]


def test_lines_of_one_table_share_a_block_and_paragraphs_do_not() -> None:
    blocks = [unit.block for unit in split_units("One. Two.\n\nThree.\n\n| a | b |\n| 1 | 2 |")]
    assert blocks == [0, 0, 1, 2, 2]


def test_a_fence_that_is_never_closed_runs_to_the_end() -> None:
    assert {unit.kind for unit in split_units("```\na. b.\n\n# c\n\nd")} == {"code"}
