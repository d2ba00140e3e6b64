"""Questions whose vectors are known are not embedded again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from ragkit.embed.known import KnownQuestions


class Counting:
    """Embeds a text as its length, and keeps what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def embed_question(self, text: str) -> NDArray[np.float32]:
        self.asked.append(text)
        return np.full(2, len(text), dtype=np.float32)

    def embed_questions(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return np.stack([self.embed_question(text) for text in texts])

    embed_passages = embed_questions


def test_known_ones_are_given_and_others_embedded_once() -> None:
    under = Counting()
    known = KnownQuestions(under, {"how": np.zeros(2, dtype=np.float32)})
    assert known.embed_question("how").tolist() == [0, 0]
    assert [known.embed_question("when").tolist() for _ in range(2)] == [[4, 4], [4, 4]]
    assert under.asked == ["when"]


def test_the_last_questions_are_kept_and_the_longest_unused_goes() -> None:
    under = Counting()
    recent = KnownQuestions(under, most=2)
    for text in ("a", "bb", "a", "ccc", "a", "bb"):
        assert recent.embed_question(text).tolist() == [len(text)] * 2
    assert under.asked == ["a", "bb", "ccc", "bb"]


def test_nobody_changes_the_vector_that_others_are_given() -> None:
    recent = KnownQuestions(Counting())
    with pytest.raises(ValueError, match="read-only"):
        recent.embed_question("a")[0] = 7.0


def test_passages_and_lists_of_questions_are_always_embedded() -> None:
    under = Counting()
    recent = KnownQuestions(under)
    recent.embed_question("a")
    assert recent.embed_passages(["a"]).tolist() == recent.embed_questions(["a"]).tolist() == [[1, 1]]
    assert under.asked == ["a"] * 3
