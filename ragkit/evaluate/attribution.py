"""Where an answer was lost: the first stage that the labelled place did not get through.

A question with several labelled places is judged by the one that came furthest, or, when all are needed, by the one
that came least far.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ragkit.evaluate.cases import Case
from ragkit.evaluate.gold import Gold
from ragkit.evaluate.record import Outcome, Reached
from ragkit.types import RETRIEVERS, Stage

ORDER: tuple[Reached, ...] = ("nowhere", "parsed", "chunked", "retrieved", "fused", "reranked", "results", "prompt")
_LOST_BEHIND: dict[Reached, Outcome] = {
    "nowhere": "not parsed",
    "parsed": "cut by chunking",
    "chunked": "not retrieved",
    "retrieved": "lost in fusion",
    "fused": "lost in reranking",
    "reranked": "lost in diversifying",
    "results": "dropped by packing",
    "prompt": "in the prompt yet wrong",
}


def reached(
    gold: Gold,
    ranks: Mapping[Stage, int],
    fused_kept: int,
    kept: frozenset[str],
    prompt: frozenset[str],
    *,
    reranks: bool,
) -> Reached:
    """How far a labelled place came.

    `fused_kept` is how many chunks fusion hands on (to the reranker, or as results), `kept` are the ids of the results
    and `prompt` those of the chunks in the prompt. Without a reranker what fusion hands on counts as reranked.
    """
    if not gold.found:
        return "nowhere"
    if not gold.whole:
        return "parsed"
    if gold.chunks & prompt:
        return "prompt"
    if gold.chunks & kept:
        return "results"
    if ranks.get("fused", fused_kept + 1) <= fused_kept:
        return "fused" if reranks and "reranked" not in ranks else "reranked"
    return "retrieved" if ranks.keys() & RETRIEVERS else "chunked"


def outcome(
    case: Case,
    places: Sequence[Reached],
    *,
    refused: bool,
    right: bool | None,
    rightly_cited: bool | None,
    in_prompt: bool = False,
) -> Outcome:
    """What became of a question.

    `right` says whether the answer holds a labelled one (None without labels), `rightly_cited` whether a citation leads
    to where an answer stands (None when there is nothing to compare with). `in_prompt` says whether a labelled answer
    stands in the prompt: all that is known where no place is labelled.

    >>> case = Case(id="q", question="How hot?", answers=("40 °C",))
    >>> outcome(case, ["prompt"], refused=False, right=True, rightly_cited=True)
    'right'
    >>> outcome(case, ["chunked"], refused=True, right=False, rightly_cited=None)
    'not retrieved'
    """
    if not case.answerable:
        return "refused rightly" if refused else "answered without evidence"
    if right:
        return "right but wrongly cited" if rightly_cited is False else "right"
    if not places:
        if right is None or not in_prompt:
            return "not judged" if right is None else "not in the prompt"
        return "refused though there" if refused else "in the prompt yet wrong"
    deciding = (min if case.all_needed else max)(places, key=ORDER.index)
    # A refusal before the prompt was packed is no fault of packing.
    if refused and ORDER.index(deciding) >= ORDER.index("results"):
        return "refused though there"
    if right is None and deciding == "prompt":
        return "not judged"
    return _LOST_BEHIND[deciding]
