"""A gain is one only if its lower bound is above zero; weights are chosen on the questions given for that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from ragkit import Ragkit
from ragkit.config.schema import Reranking
from ragkit.evaluate.cases import read_jsonl
from ragkit.train.compared import WEIGHTS, KnownScores, Searched, best_weight, gain, values
from ragkit.train.questions import Labelled, placed


class ByWord:
    """Scores a text by whether it holds a word; `sign` -1 turns the order round."""

    def __init__(self, word: str, sign: int = 1) -> None:
        self.word, self.sign, self.asked = word, sign, 0

    def scores(self, question: str, texts: Sequence[str]) -> list[float]:
        self.asked += len(texts)
        name = question.rstrip("?").split()[-1]
        return [float(self.sign * ((self.word in text) + 2 * (name in text))) for text in texts]


@pytest.fixture(scope="module")
def labelled(rag: Ragkit, handbook: Path) -> list[Labelled]:
    return placed(read_jsonl(handbook / "questions.jsonl"), rag.snapshot())


@pytest.fixture(scope="module")
def searched(rag: Ragkit) -> Searched:
    return Searched(rag.snapshot().store, rag.embedder, rag.config.retrieval)


def test_a_reranker_that_knows_the_convention_gains_and_one_that_reverses_loses(
    labelled: list[Labelled], searched: Searched
) -> None:
    before = values(labelled, searched)
    good = gain("no reranker", labelled, before, values(labelled, searched.weighing(ByWord("In force"), 1.0)))
    bad = gain("no reranker", labelled, before, values(labelled, searched.weighing(ByWord("In force", -1), 1.0)))
    assert good.shown
    assert good.why_not() == ""
    assert good.difference.low > 0
    assert not bad.shown
    assert bad.difference.high < 0
    assert bad.why_not() == "it ranks worse on your documents"
    assert "48 questions about 24 documents" in good.in_words()


def test_the_same_ranking_is_no_gain(labelled: list[Labelled], searched: Searched) -> None:
    before = values(labelled, searched)
    same = gain("no reranker", labelled, before, before)
    assert same.difference.mean == 0
    assert not same.shown


class InOrder:
    """Keeps the order that it is given."""

    def scores(self, question: str, texts: Sequence[str]) -> list[float]:
        return [-float(place) for place in range(len(texts))]


@pytest.mark.parametrize("top_n", [1, 3])
def test_a_reranker_that_keeps_the_order_neither_loses_nor_gains_where_top_n_cuts_its_list(
    labelled: list[Labelled], searched: Searched, top_n: int
) -> None:
    cut = Reranking(backend="cross_encoder", model="present", top_n=top_n)
    present = replace(searched, retrieval=searched.retrieval.model_copy(update={"reranking": cut}), reranker=InOrder())
    without, with_present = values(labelled, present.weighing(None, 1.0)), values(labelled, present)
    assert gain("no reranker", labelled, without, with_present).difference.mean == 0
    with_candidate = values(labelled, present.weighing(InOrder(), 1.0))
    candidate = gain("the present one", labelled, with_present, with_candidate)
    assert candidate.difference.mean == 0
    assert not candidate.shown


def test_few_questions_show_nothing_however_large_the_gain(labelled: list[Labelled]) -> None:
    few = gain("no reranker", labelled[:12], [0.1] * 12, [0.9] * 12)
    assert few.difference.low > 0
    assert not few.shown
    assert "too few" in few.why_not()


def test_the_weight_is_that_of_the_best_ranking_and_no_pair_is_scored_twice(
    labelled: list[Labelled], searched: Searched
) -> None:
    model = ByWord("In force")
    weight, means = best_weight(labelled[:8], searched, KnownScores(model))
    assert set(means) == set(WEIGHTS)
    assert means[weight] == max(means.values())
    assert weight == min(each for each in WEIGHTS if means[each] == means[weight])
    assert model.asked <= 8 * searched.retrieval.reranking.candidates
    reversing, lost = best_weight(labelled[:8], searched, KnownScores(ByWord("In force", -1)))
    assert reversing == min(WEIGHTS)
    assert lost[1.0] < means[1.0]
