from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.evaluate.words import contains, exact_match, token_f1, tokens


@pytest.mark.parametrize(
    ("text", "answer", "found"),
    [
        ("It serves up to 64 Nodes.", "64", True),
        ("It serves up to 164 Nodes.", "64", False),
        ("It rose by 8.3% in Canada", "8.3%", True),
        ("It rose by 83% in Canada", "8.3%", False),
        ("It rose by 8.3 in Canada", "8.3 %", False),
        ("the Denver Broncos won", "Denver Broncos", True),
        ("Broncos of Denver", "Denver Broncos", False),
        ("THE LAST KING", "last King", True),
        ("東京は日本の首都です", "東京", True),
        ("", "64", False),
        ("It fell to -5 °C.", "5", False),
        ("It fell to −5 °C.", "-5", True),
        ("It rose to 5 °C.", "-5", False),
        ("from 5-10 on", "10", True),
        ("- 5 apples", "5", True),
    ],
)
def test_an_answer_is_found_by_its_words_in_a_row(text: str, answer: str, found: bool) -> None:
    assert contains(text, [answer]) is found


def test_any_spelling_of_the_answer_will_do() -> None:
    assert contains("after forty days", ["40 days", "forty days"])
    assert not contains("anything", [])


@given(st.text())
def test_a_text_matches_itself(text: str) -> None:
    assert exact_match(text, text) == 1.0
    assert token_f1(text, text) == 1.0
    if tokens(text):
        assert contains(text, [text])


@given(st.text(), st.text())
def test_f1_is_symmetric_and_a_share(first: str, second: str) -> None:
    value = token_f1(first, second)
    assert 0.0 <= value <= 1.0
    assert value == token_f1(second, first)


def test_f1_as_squad_computes_it() -> None:
    # Two words shared: precision 2/4, recall 2/3.
    assert token_f1("in the 10th and 11th", "10th 11th centuries") == pytest.approx(
        2 * (2 / 4) * (2 / 3) / (2 / 4 + 2 / 3)
    )
    assert token_f1("", "x") == 0.0
    assert token_f1("the", "") == 1.0
