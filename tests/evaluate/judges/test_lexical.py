"""The judge that compares words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.config.schema import Embedding
from ragkit.evaluate.judges import Exhibit, JudgeSettings, Measure, make_judge

JUDGE = make_judge(JudgeSettings(kind="lexical"), Embedding())
EVIDENCE = "The X1 was built in Bremen. Its battery lasts 10 hours at 20 degrees. It was not sold in Norway."


def support(answer: str, *evidence: str) -> float:
    [judgement] = JUDGE.judge(Exhibit("?", answer, evidence or (EVIDENCE,)))
    assert judgement.judge == "lexical.support"
    assert judgement.score is not None
    return judgement.score


def correctness(answer: str, *references: str) -> float:
    found = {each.judge: each.score for each in JUDGE.judge(Exhibit("?", answer, (EVIDENCE,), references))}
    score = found["lexical.correctness"]
    assert score is not None
    return score


def yes(score: float, measure: str) -> bool:
    [from_here] = [each.yes_from for each in JUDGE.measures if each.name == measure]
    return score >= from_here


@pytest.mark.parametrize(
    ("answer", "supported"),
    [
        ("Its battery lasts 10 hours.", True),
        ("The battery lasts 10 hours at 20 degrees.", True),
        ("The X1 was built in Bremen. Its battery lasts 10 hours.", True),
        ("Its battery lasts 12 hours.", False),
        ("It was sold in Norway.", False),
        ("The X1 was built in Hamburg.", False),
        ("Well, I think it is my favourite and lasts for ages.", False),
        ("Yes.", False),
    ],
)
def test_support(answer: str, supported: bool) -> None:
    assert yes(support(answer), "lexical.support") is supported


def test_a_sentence_may_rest_on_several_of_a_passage_but_not_on_several_passages() -> None:
    both = "The X1 was built in Bremen and its battery lasts 10 hours."
    assert support(both) > 0.8
    assert support(both, "The X1 was built in Bremen.", "Its battery lasts 10 hours.") < 0.5


def test_without_evidence_there_is_no_support_and_it_is_said() -> None:
    [judgement] = JUDGE.judge(Exhibit("?", "It lasts 10 hours."))
    assert (judgement.score, judgement.reason) == (0.0, "there is no evidence")


def test_the_least_backed_sentence_is_named() -> None:
    [judgement] = JUDGE.judge(Exhibit("?", "Its battery lasts 10 hours. Everyone loves it.", (EVIDENCE,)))
    assert judgement.reason == "least backed: Everyone loves it."


@pytest.mark.parametrize(
    ("answer", "reference", "right"),
    [
        ("It lasts 10 hours at 20 degrees.", "10 hours", True),
        ("10", "10 hours", True),
        ("No.", "No evidence was found", False),
        ("The", "the Norsemen", False),
        ("Agricola", "Johannes Agricola", True),
        ("12 hours", "10 hours", False),
        ("In Bremen.", "Hamburg", False),
        ("東京です", "東京", True),
    ],
)
def test_correctness(answer: str, reference: str, right: bool) -> None:
    assert yes(correctness(answer, reference), "lexical.correctness") is right


def test_any_reference_will_do_and_without_one_nothing_is_said() -> None:
    assert correctness("10 hours", "ten or more", "10 hours") == 1.0
    assert [each.judge for each in JUDGE.judge(Exhibit("?", "10 hours", (EVIDENCE,)))] == ["lexical.support"]


def test_only_the_wanted_measures() -> None:
    judge = make_judge(JudgeSettings(kind="lexical", measures=["correctness"]), Embedding())
    assert judge.measures == (Measure("lexical.correctness", 0.5, needs_references=True),)
    assert judge.version == JUDGE.version


@given(st.text(), st.lists(st.text(), max_size=3), st.lists(st.text(min_size=1), max_size=2))
def test_scores_lie_between_0_and_1_and_come_again(answer: str, evidence: list[str], references: list[str]) -> None:
    exhibit = Exhibit("?", answer, tuple(evidence), tuple(references))
    judged = JUDGE.judge(exhibit)
    assert len(judged) == (2 if references else 1)
    assert all(each.score is not None and 0.0 <= each.score <= 1.0 for each in judged)
    assert JUDGE.judge(exhibit) == judged


SENTENCES = st.lists(
    st.sampled_from(["The battery lasts 10 hours.", "It was built in Bremen.", "No one sold it."]), min_size=1
)


@given(SENTENCES, SENTENCES)
def test_what_is_copied_is_wholly_supported_and_more_evidence_never_hurts(said: list[str], more: list[str]) -> None:
    answer = " ".join(said)
    assert support(answer, answer) == 1.0
    assert support(answer, *more) <= support(answer, *more, "And it weighs 3 kg.")
