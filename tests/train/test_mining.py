"""Hard wrong passages, and none that may be right."""

from __future__ import annotations

import numpy as np

from ragkit.train.data import Example, TrainingSet
from ragkit.train.mining import lexical_ranking, mine

PASSAGES = [
    "Salt\nSalt boils at 1465 degrees.",
    "Salt\nThe boiling point of salt is 1465 degrees in every country.",
    "Salt\nSalt boils slowly in a small pot.",
    "Sugar\nSugar boils at 160 degrees.",
    "Salt\nSalt boils at 1465 degrees .",
    "Iron\nIron rusts.",
    "Gold\nGold does not.",
]


def unit(rows: list[list[float]]) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    vectors = np.asarray(rows, dtype=np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


VECTORS = unit([[1, 0, 0], [0.8, 0.6, 0], [0.7, 0, 0.7], [0.5, 0.5, 0.5], [0.999, 0.01, 0], [0, 0, 1], [0, 1, 1]])


def mined(example: Example, depth: int = 6, *more: Example) -> list[int]:
    one = TrainingSet("t", PASSAGES, [passage.split("\n")[0] for passage in PASSAGES], [example, *more])
    questions = unit([[1.0, 0.1, 0.1]] * len(one.examples))
    return mine(one, lexical_ranking(one), VECTORS, questions, depth)[0].tolist()


def test_bm25_puts_the_passage_with_the_words_first() -> None:
    titles = [passage.split("\n")[0] for passage in PASSAGES]
    one = TrainingSet("t", PASSAGES, titles, [Example("iron rusts", 5, "Iron")])
    ranking = lexical_ranking(one)[0]
    assert ranking[0] == 5
    assert ranking[1] == -1


def test_passages_with_the_answer_and_near_duplicates_are_no_wrong_ones() -> None:
    found = mined(Example("at how many degrees boils salt", 0, "Salt", answers=("1465 degrees",)))
    assert found[0] in (2, 3)
    assert not {0, 1, 4} & set(found)
    assert found[-2:] == [-1, -1]


def test_near_duplicates_are_left_out_without_answers_too() -> None:
    assert 4 not in mined(Example("at how many degrees boils salt", 0, "Salt"))


def test_barred_passages_and_those_that_answer_the_same_question_are_left_out() -> None:
    same = Example("Does SALT boil?", 2, "Salt")
    found = mined(Example("does salt boil", 0, "Salt", barred=(1,)), 6, same)
    assert not {0, 1, 2, 4} & set(found)


def test_within_a_title_only_its_passages_are_wrong() -> None:
    found = mined(Example("does it boil", 0, "Salt", within="Salt"))
    assert {number for number in found if number >= 0} == {1, 2, 4}
