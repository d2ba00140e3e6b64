"""Cheap first: what speaks for a cheap answer, and whether that is enough to ask no dearer endpoint.

A router that sees only the question guesses. Here the search has run, so its evidence is known; and a cheap answer can
be held against the passages that it was made from, and against those before it, before anybody reads it. How much each
sign counts is fitted to recorded answers (`router_fit.py`); without that two rules of thumb decide.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set

from ragkit.config.routing import Cascade, Score
from ragkit.config.schema import Bm25
from ragkit.generate.answerability import confidence
from ragkit.generate.citation_lifting import without_any
from ragkit.generate.cited_chunks import names_of
from ragkit.generate.generated import Generated
from ragkit.generate.groundedness import least_backed
from ragkit.store.bm25 import Bm25Encoder
from ragkit.types import ScoredChunk

SIGNALS = ("confidence", "margin", "groundedness", "coverage", "agreement", "words", "context")
"""In `signals` and in the keys of `Score`: the chance by the search that the evidence answers; how far the first
passage leads the second, as a share of its score; groundedness of the least backed sentence; share of the question's
terms that the answer has; share of words that it has in common with an answer before it, 0 for the first; its words in
hundreds; those of its passages in thousands."""


def too_hard(question: str, results: Sequence[ScoredChunk], settings: Cascade) -> bool:
    """Whether the evidence is so weak that the cheap endpoint need not be asked."""
    return not settings.scores and confidence(question, results) < settings.min_confidence


def second_thoughts(
    name: str,
    question: str,
    results: Sequence[ScoredChunk],
    answer: Generated,
    before: Sequence[Generated],
    settings: Cascade,
) -> str:
    """Why the answer of this cheap endpoint does not do, "" if it does. `before` are the answers that did not do."""
    if answer.refused:
        return "refused"
    if not settings.scores:
        backed = least_grounded(answer)
        return f"groundedness {backed:.2f}" if backed < settings.min_groundedness else ""
    likely = chance(settings.scores[name], signals(question, results, answer, before))
    return f"right with a chance of {likely:.2f}" if likely < settings.threshold else ""


def signals(
    question: str, results: Sequence[ScoredChunk], answer: Generated, before: Sequence[Generated] = ()
) -> dict[str, float]:
    """What speaks for an answer or against it, by the names of `SIGNALS`; `results` are what its prompt was made of."""
    terms = Bm25Encoder(Bm25()).terms
    said = _plain(answer)
    has = terms(said).keys()
    asked = terms(question).keys()
    return {
        "confidence": confidence(question, results),
        "margin": _lead([result.score for result in results]),
        "groundedness": least_grounded(answer),
        "coverage": len(asked & has) / len(asked) if asked else 0.0,
        "agreement": max((_common(has, terms(_plain(other)).keys()) for other in before), default=0.0),
        "words": len(said.split()) / 100,
        "context": sum(len(chunk.text.split()) for chunk in answer.used) / 1000,
    }


def chance(score: Score, values: Mapping[str, float]) -> float:
    """The chance, 0 to 1, that an answer with these signals is as good as that of the dearest endpoint.

    >>> round(chance(Score(intercept=-1.0, confidence=2.0), {"confidence": 0.9, "margin": 0.1}), 3)
    0.69
    """
    total = score.intercept + sum(getattr(score, name) * values.get(name, 0.0) for name in SIGNALS)
    return 0.5 * (1.0 + math.tanh(0.5 * total))  # no exponent overflows


def least_grounded(answer: Generated) -> float:
    """The groundedness of the sentence of the answer that its passages back least; 1 for one that claims nothing."""
    least = least_backed(_plain(answer), [chunk.text for chunk in answer.used])
    return 1.0 if least is None else least[1]


def _plain(answer: Generated) -> str:
    return without_any(answer.text, answer.used, names_of(answer.used))


def _lead(scores: Sequence[float]) -> float:
    """By how much the best score leads the next, as a share of it; 1 where there is no other."""
    if not scores or scores[0] <= 0:
        return 0.0
    return 1.0 if len(scores) == 1 else (scores[0] - scores[1]) / scores[0]


def _common(one: Set[int], other: Set[int]) -> float:
    """Common terms, as a share of those of the text that has fewer."""
    fewer = min(len(one), len(other))
    return len(one & other) / fewer if fewer else 0.0
