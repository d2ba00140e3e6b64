"""Words and acronyms are read from what the documents say, and from nothing else."""

from __future__ import annotations

import pytest

from ragkit.retrieve.vocabulary import definitions, read_vocabulary_of


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("The mean time between failures (MTBF) is long.", [("MTBF", "mean time between failures")]),
        ("MTBF (mean time between failures) is long.", [("MTBF", "mean time between failures")]),
        ("a nucleic acid (RNA) chain", []),
        ("It ended (USA won).", []),
        ("The pump (see below) hums (10 W).", []),
        ("the Food and Drug Administration (FDA)", [("FDA", "Food and Drug Administration")]),
    ],
)
def test_definitions(text: str, found: list[tuple[str, str]]) -> None:
    assert list(definitions(text)) == found


def test_of_several_meanings_the_one_that_is_defined_most_often_counts() -> None:
    texts = ["power supply unit (PSU)", "power supply unit (PSU)", "public sector union (PSU)"]
    assert read_vocabulary_of(texts).acronyms == {"PSU": "power supply unit"}


@pytest.mark.parametrize(
    ("word", "near"),
    [
        ("presure", "pressure"),
        ("pressrue", "pressure"),
        ("pressures", "pressure"),
        ("prassure", "pressure"),
        ("pressure", None),
        ("volcano", None),
        ("gage", None),
        ("single", None),
    ],
)
def test_a_word_is_corrected_if_one_misprint_makes_it_of_a_word_that_is_used(word: str, near: str | None) -> None:
    # "singel" stands there once, and so may be a misprint itself; "gage" is too short to be sure.
    vocabulary = read_vocabulary_of(["Pressure of the gauge; the pressure gauge.", "a singel"])
    assert vocabulary.nearest(word) == near
