"""Cheap first: when the evidence is too weak for a cheap model, and when its answer is not good enough.

A router that sees only the question guesses. Here the search has run, so its evidence is known; and a cheap answer can
be held against the passages that it was made from before anybody reads it.
"""

from __future__ import annotations

from collections.abc import Sequence

from ragkit.config.schema import Cascade
from ragkit.generate.answerability import confidence
from ragkit.generate.citation_lifting import without_any
from ragkit.generate.cited_chunks import names_of
from ragkit.generate.generated import Generated
from ragkit.generate.groundedness import claims, groundedness
from ragkit.ingest.sentences import split_sentences
from ragkit.types import ScoredChunk

_RUN = 3
"""Sentences of evidence that a sentence may rest on together."""


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
    text = without_any(answer.text, answer.used, names_of(answer.used))
    said = [sentence for sentence in _sentences(text) if claims(sentence)]
    runs = [run for chunk in answer.used for run in _runs(chunk.text)]
    return min((max((groundedness(sentence, run) for run in runs), default=0.0) for sentence in said), default=1.0)


def _sentences(text: str) -> list[str]:
    return [text[start:end] for start, end in split_sentences(text)]


def _runs(text: str) -> list[str]:
    """Each run of up to three sentences of a passage."""
    places = split_sentences(text)
    return [text[start : places[min(i + _RUN, len(places)) - 1][1]] for i, (start, _) in enumerate(places)]
