"""Cheap first: when the evidence is too weak for a cheap model, and when its answer is not good enough.

A router that sees only the question guesses. Here the search has run, so its evidence is known; and a cheap answer can
be held against the passages that it was made from before anybody reads it.
"""

from __future__ import annotations

from collections.abc import Sequence

from ragkit.config.routing import Cascade
from ragkit.generate.answerability import confidence
from ragkit.generate.citation_lifting import without_any
from ragkit.generate.cited_chunks import names_of
from ragkit.generate.generated import Generated
from ragkit.generate.groundedness import least_backed
from ragkit.types import ScoredChunk


def too_hard(question: str, results: Sequence[ScoredChunk], settings: Cascade) -> bool:
    """Whether the evidence is so weak that the cheap endpoint need not be asked."""
    return confidence(question, results) < settings.min_confidence


def second_thoughts(answer: Generated, settings: Cascade) -> str:
    """Why a cheap answer does not do, "" if it does."""
    if answer.refused:
        return "refused"
    backed = least_grounded(answer)
    return f"groundedness {backed:.2f}" if backed < settings.min_groundedness else ""


def least_grounded(answer: Generated) -> float:
    """The groundedness of the sentence of the answer that its passages back least; 1 for one that claims nothing."""
    least = least_backed(
        without_any(answer.text, answer.used, names_of(answer.used)), [chunk.text for chunk in answer.used]
    )
    return 1.0 if least is None else least[1]
