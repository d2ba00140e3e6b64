from __future__ import annotations

import pytest

from ragkit.evaluate.attribution import ORDER, outcome, reached
from ragkit.evaluate.cases import Case, Evidence
from ragkit.evaluate.gold import Gold
from ragkit.evaluate.record import Outcome, Reached

HERE = frozenset({"c1"})
GOLD = Gold("a.md", "a", ranges=((0, 9),), chunks=HERE, whole=True)
ANSWERABLE = Case(id="q", question="How hot?", answers=("40 °C",), evidence=(Evidence(document="a.md"),))


@pytest.mark.parametrize(
    ("gold", "ranks", "kept", "prompt", "how_far"),
    [
        (Gold("a.md", None), {}, [], [], "nowhere"),
        (Gold("a.md", "a", ranges=((0, 9),), chunks=HERE, whole=False), {"fused": 1}, ["c1"], ["c1"], "parsed"),
        (GOLD, {}, [], [], "chunked"),
        (GOLD, {"dense": 7}, [], [], "retrieved"),
        (GOLD, {"dense": 7, "fused": 11}, [], [], "retrieved"),
        (GOLD, {"dense": 7, "fused": 10}, [], [], "fused"),
        (GOLD, {"sparse": 1, "fused": 1, "reranked": 2}, [], [], "reranked"),
        (GOLD, {"sparse": 1, "fused": 1, "reranked": 2}, ["c1"], [], "results"),
        (GOLD, {"sparse": 1, "fused": 1, "reranked": 2}, ["c1"], ["c1"], "prompt"),
    ],
)
def test_how_far_a_place_came(
    gold: Gold, ranks: dict[str, int], kept: list[str], prompt: list[str], how_far: Reached
) -> None:
    found = reached(gold, ranks, 10, frozenset(kept), frozenset(prompt), reranks=True)  # pyright: ignore[reportArgumentType]
    assert found == how_far


def test_what_fusion_hands_on_without_a_reranker_can_only_be_lost_in_diversifying() -> None:
    assert reached(GOLD, {"dense": 7, "fused": 10}, 10, frozenset(), frozenset(), reranks=False) == "reranked"
    assert reached(GOLD, {"dense": 7, "fused": 11}, 10, frozenset(), frozenset(), reranks=False) == "retrieved"


@pytest.mark.parametrize(
    ("place", "lost"),
    [
        ("nowhere", "not parsed"),
        ("parsed", "cut by chunking"),
        ("chunked", "not retrieved"),
        ("retrieved", "lost in fusion"),
        ("fused", "lost in reranking"),
        ("reranked", "lost in diversifying"),
        ("results", "dropped by packing"),
        ("prompt", "in the prompt yet wrong"),
    ],
)
def test_a_wrong_answer_was_lost_behind_the_last_stage_that_had_the_place(place: Reached, lost: Outcome) -> None:
    assert outcome(ANSWERABLE, [place], refused=False, right=False, rightly_cited=None) == lost


@pytest.mark.parametrize(
    ("place", "lost"),
    [
        ("chunked", "not retrieved"),
        ("fused", "lost in reranking"),
        ("reranked", "lost in diversifying"),
        ("results", "refused though there"),
        ("prompt", "refused though there"),
    ],
)
def test_a_refusal_is_blamed_on_what_kept_the_place_from_it(place: Reached, lost: Outcome) -> None:
    assert outcome(ANSWERABLE, [place], refused=True, right=False, rightly_cited=None) == lost


def test_a_right_answer_may_be_cited_wrongly() -> None:
    for cited, expected in ((True, "right"), (None, "right"), (False, "right but wrongly cited")):
        assert outcome(ANSWERABLE, ["prompt"], refused=False, right=True, rightly_cited=cited) == expected


def test_of_several_places_the_furthest_decides_unless_all_are_needed() -> None:
    both: list[Reached] = ["prompt", "chunked"]
    needed = ANSWERABLE.model_copy(update={"all_needed": True})
    assert outcome(ANSWERABLE, both, refused=False, right=False, rightly_cited=None) == "in the prompt yet wrong"
    assert outcome(needed, both, refused=False, right=False, rightly_cited=None) == "not retrieved"


def test_an_unanswerable_question_is_to_be_refused() -> None:
    case = Case(id="q", question="Who?", answerable=False)
    assert outcome(case, [], refused=True, right=None, rightly_cited=None) == "refused rightly"
    assert outcome(case, [], refused=False, right=None, rightly_cited=None) == "answered without evidence"


def test_without_labels_nothing_is_claimed() -> None:
    unlabelled = Case(id="q", question="Who?")
    assert outcome(unlabelled, [], refused=False, right=None, rightly_cited=None) == "not judged"
    placed = Case(id="q", question="Who?", evidence=(Evidence(document="a.md"),))
    assert outcome(placed, ["prompt"], refused=False, right=None, rightly_cited=None) == "not judged"
    assert outcome(placed, ["chunked"], refused=False, right=None, rightly_cited=None) == "not retrieved"
    assert outcome(placed, ["prompt"], refused=True, right=None, rightly_cited=None) == "refused though there"


def test_without_a_labelled_place_only_the_prompt_is_looked_at() -> None:
    """No stage is blamed for what nothing was labelled to show."""
    unplaced = Case(id="q", question="How hot?", answers=("40 °C",))
    for refused, in_prompt, expected in (
        (False, True, "in the prompt yet wrong"),
        (True, True, "refused though there"),
        (False, False, "not in the prompt"),
        (True, False, "not in the prompt"),
    ):
        found = outcome(unplaced, [], refused=refused, right=False, rightly_cited=None, in_prompt=in_prompt)
        assert found == expected


def test_every_stage_is_in_order() -> None:
    assert ORDER[0] == "nowhere"
    assert ORDER[-1] == "prompt"
