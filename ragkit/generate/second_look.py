"""A second look at a small model's answer: does the nearest sentence answer the question, does the answer hold it?

A small model states something whatever it is given, and rewords what it was told to copy. After its answer it is
asked for one word, whether the sentence of the passages nearest to the question answers it. Its doubt and the evidence
together decide on a refusal; where its answer is no sentence of the passages, or has nothing of the nearest one, that
sentence is quoted behind it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ragkit.config.schema import Generation
from ragkit.generate.prompt import Message, SplitSentences, neutralise, system_prompt
from ragkit.generate.sentence_terms import Nearest, nearest_sentences
from ragkit.generate.support import SUPPORTED, support_score
from ragkit.types import Chunk

COEFFICIENTS = (1.41, 2.02)
INTERCEPT = 0.27
MIN_CHANCE = 0.16
QUOTED = "the last sentence was put there by ragkit: it is the nearest to the question"
_LEAST = 1e-3  # a chance of 0 or 1 has no logit


def look_at(question: str, chunks: Sequence[Chunk], split_sentences: SplitSentences) -> Nearest | None:
    """The sentence to look at: the nearest to the question by its words; None if the passages have none."""
    return next(iter(nearest_sentences(question, chunks, split_sentences)), None)


def yes_or_no(config: Generation, question: str, sentence: str) -> list[Message]:
    """The conversation after which the model's first word tells. It begins like that of the answer, which a cache of
    the prompt's beginning makes use of."""
    asked = (
        f"Question: {neutralise(question)}\n\nPassage: {neutralise(sentence)}\n\n"
        "Does the passage answer the question? Reply yes or no."
    )
    return [{"role": "system", "content": system_prompt(config)}, {"role": "user", "content": asked}]


def chance(confidence: float, yes: float) -> float:
    """The chance, 0 to 1, that the passages answer the question.

    A logistic model over the logits of the evidence's confidence and of the share of "yes" in the model's first word,
    fitted by scripts/calibrate_second_look.py, which prints how it does. `MIN_CHANCE` refuses one in forty answerable
    questions there.

    >>> round(chance(0.9, 0.8), 2), round(chance(0.2, 0.3), 2)
    (1.0, 0.03)
    """
    total = INTERCEPT + COEFFICIENTS[0] * logit(confidence) + COEFFICIENTS[1] * logit(yes)
    return 1.0 / (1.0 + math.exp(-total))


def logit(share: float) -> float:
    """The logarithm of the odds, held within those of 1 to 999.

    >>> logit(0.5)
    0.0
    """
    held = min(max(share, _LEAST), 1 - _LEAST)
    return math.log(held / (1 - held))


def leaves_doubt(answer: str, nearest: Nearest, chunks: Sequence[Chunk], split_sentences: SplitSentences) -> bool:
    """Whether a sentence of the answer (without its citations) is not word for word in the passages, or the answer has
    nothing of what the nearest sentence says."""
    passages = [_letters(chunk.text) for chunk in chunks]
    for start, end in split_sentences(answer):
        if not any(_letters(answer[start:end]) in passage for passage in passages):
            return True
    return max(support_score(answer, nearest.text), support_score(nearest.text, answer)) < SUPPORTED


def _letters(text: str) -> str:
    return "".join(filter(str.isalnum, text.casefold()))
