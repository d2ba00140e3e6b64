"""Two answers beside each other: the same, another, or nothing is said."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.gateway.same_answer import same_answer
from ragkit.types import Answer, Citation


def answer(text: str, *chunks: str, refused: bool = False) -> Answer:
    cited = tuple(Citation(chunk, "d", "a.md", 1, None, 0, 1, "q", 1.0, 0, 1) for chunk in chunks)
    return Answer(text, refused, cited, (), "m", "h", "", {})


HOLDS = answer("The kettle holds two litres of water. [Source: a.md]", "c1")


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (answer("The kettle holds two litres of water. [Source: b.md]", "c1", "c2"), True),
        (answer("Two litres of water is what the kettle holds [1].", "c1"), True),
        (answer("The kettle holds three litres of water. [Source: a.md]", "c1"), False),
        (answer("The kettle does not hold two litres of water. [Source: a.md]", "c1"), False),
        (answer("The oven reaches 250 degrees. [Source: a.md]", "c1"), False),
        (answer("No passage tells.", refused=True), False),
        # The same words from elsewhere, or much more said: nobody knows.
        (answer("The kettle holds two litres of water. [Source: b.md]", "c2"), None),
        (answer("The kettle holds two litres of water. It is made of steel and has a lid of glass.", "c1"), None),
    ],
)
def test_what_two_answers_say(other: Answer, same: bool | None) -> None:
    assert same_answer(HOLDS, other) is same
    assert same_answer(other, HOLDS) is same


def test_two_refusals_say_the_same() -> None:
    assert same_answer(answer("No.", refused=True), answer("There is nothing.", refused=True))


@given(st.text(), st.lists(st.sampled_from("abc")), st.booleans())
def test_an_answer_says_what_it_says(text: str, chunks: list[str], refused: bool) -> None:
    one = answer(text, *chunks, refused=refused)
    assert same_answer(one, replace(one, trace_id="another")) is True
