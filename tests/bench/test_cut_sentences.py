"""What counts as a boundary between chunks that parts a sentence."""

from __future__ import annotations

import pytest

from eval.bench.chunk import cut_share, inside_marked, surely_inside

TEXT = "One two three. Four five six.\n\nSeven eight"
STARTS = {0, 15, 31}


def test_boundaries_at_marked_starts_are_whole_wherever_the_white_space_goes() -> None:
    inside = inside_marked(TEXT, STARTS)
    assert not inside(14, 15)
    assert not inside(15, 15)
    assert not inside(29, 29)
    assert inside(7, 8)


def test_white_space_behind_the_last_sentence_is_no_cut() -> None:
    assert not inside_marked("One. ", {0})(4, 4)


@pytest.mark.parametrize(
    ("end", "start", "cut"),
    [
        (7, 8, True),  # "One two" | "three."
        (14, 15, False),  # a full stop before it
        (29, 31, False),  # a blank line between
        (3, 4, True),
    ],
)
def test_sure_cuts_need_no_marks(end: int, start: int, cut: bool) -> None:
    assert surely_inside(TEXT)(end, start) is cut


def test_a_capital_or_a_blank_line_is_no_sure_cut() -> None:
    assert not surely_inside("A heading\nThe text")(9, 10)
    assert not surely_inside("a heading\n\nthe text")(9, 11)
    # Whose white space the blank line is does not matter.
    assert not surely_inside("a heading\n\nthe text")(11, 11)


def test_the_share_is_of_boundaries_not_of_chunks() -> None:
    spans = [(0, 7), (8, 14), (15, 29)]
    assert cut_share(spans, inside_marked(TEXT, STARTS)) == (1, 2)
    assert cut_share(spans[:1], inside_marked(TEXT, STARTS)) == (0, 0)
