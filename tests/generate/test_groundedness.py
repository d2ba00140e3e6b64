"""Whether a sentence follows from evidence, by how their words meet."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.generate.groundedness import COEFFICIENTS, FEATURES, claims, features, groundedness

EVIDENCE = "In tests, the X1 by Anna Berg was not sold in Norway, and its battery lasted for 10 hours at 20 degrees."


@pytest.mark.parametrize(
    "sentence",
    [
        "The battery lasted for 10 hours.",
        "Yes, it is. Its battery lasts for 10 hours at 20 degrees.",
        "The X1 was not sold in Norway.",
    ],
)
def test_what_the_evidence_says_is_grounded(sentence: str) -> None:
    assert groundedness(sentence, EVIDENCE) >= 0.5


@pytest.mark.parametrize(
    ("sentence", "sign"),
    [
        ("The battery lasted for 12 hours.", "numbers"),
        ("The X1 by Carla Berg was not sold in Norway.", "names"),
        ("The X1 was sold in Norway.", "opposed"),
        ("The battery lasted for 10 hours and everybody in the office praised how it looked.", "novel_run"),
        ("I think my battery lasted longer than yours.", "hedged"),
    ],
)
def test_what_it_does_not_say_is_not_and_a_sign_tells_why(sentence: str, sign: str) -> None:
    assert groundedness(sentence, EVIDENCE) < 0.5
    values = features(sentence, EVIDENCE)
    assert values is not None
    assert values[FEATURES.index(sign)] > 0


def test_an_opening_claims_nothing_and_needs_no_backing() -> None:
    assert not claims("Yes, of course.")
    said = "Yes, that's right, the battery lasted for 10 hours."
    assert features(said, EVIDENCE) == features("the battery lasted for 10 hours.", EVIDENCE)


def test_words_in_another_order_count_against_it() -> None:
    evidence = "Edison sold the patent to Tesla in Vienna."
    straight, swapped = (
        groundedness("Edison sold a patent to Tesla.", evidence),
        groundedness("Tesla sold a patent to Edison.", evidence),
    )
    assert swapped < straight


def test_no_sign_against_a_sentence_speaks_for_it() -> None:
    assert len(COEFFICIENTS) == len(FEATURES)
    assert max(COEFFICIENTS) < 0


@given(st.text(), st.text())
def test_it_is_a_chance_and_comes_again(sentence: str, evidence: str) -> None:
    found = groundedness(sentence, evidence)
    assert 0.0 <= found <= 1.0
    assert groundedness(sentence, evidence) == found


@given(st.text().filter(lambda text: any(map(str.isalnum, text))))
def test_a_sentence_backs_itself(sentence: str) -> None:
    assert groundedness(sentence, sentence) in (0.0, 1.0)  # 0 where nothing in it is a word
