"""Does a sentence follow from the evidence? A small model over how their words meet; no network, no second opinion.

`support_score` counts words that carry meaning and forbids what must not differ. This model weighs the same signs by
what people called attributable, and sees more of them: words that stand for others ("it", "they") need no backing,
"Yes, it is." before a statement claims nothing, while "I think" and "my" do; words that the evidence lacks count more
in a row; words in another order may say another thing. `scripts/fit_groundedness.py` makes the coefficients, from the
tuning part of BEGIN (Dziri et al. 2022, arXiv:2105.00071) and from sentences of SQuAD of which a name, a number, a
negation or two names were changed, and prints how it does on their test parts.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from functools import lru_cache

from ragkit.generate.support import CJK, compared, stem
from ragkit.ingest.sentences import split_sentences

FEATURES = ("novel", "novel_run", "numbers", "names", "opposed", "disorder", "hedged", "speaker")
COEFFICIENTS = (-6.09, -3.49, -2.89, -2.7, -5.11, -1.54, -0.73, -1.75)
INTERCEPT = 2.64

_WORD = re.compile(rf"[{CJK}]|(?:[^\W_{CJK}]|(?<=\d)[.,](?=\d))+")
_CLITIC = re.compile(r"\s*['’]\s*(s|m|re|ve|ll|d|t)\b")
# Words that stand for others, join them or carry tense: what they mean was said before or says nothing by itself.
_EMPTY_TEXT = """
a an the it its he him his she her they them their this that these those there which who where when then is are was
were be been s and of in on to for from by with as also
"""
_EMPTY = frozenset(map(stem, _EMPTY_TEXT.split()))
# What an answer begins with before it states anything.
_OPENING = re.compile(
    r"^(?:\s*(?:yes|yeah|yep|no|sure|absolutely|definitely|right|exactly|wow|well|oh|ok|okay|really|true|indeed"
    r"|of course|that ?(?:['’] ?s|is) (?:right|true|correct)|(?:it|they|he|she|i) (?:is|are|does|do|did|was|were)"
    r"(?: indeed)?|i do|i agree)\b\s*[,.!?]*\s*(?:(?:and|but|so)\b)?)+\s*",
    re.IGNORECASE,
)
_FEWEST_WORDS = 3
_HEDGE = re.compile(
    r"\bnot sure|\bi (?:think|believe|guess|know|love|like|wish|would|was|am|have|hear)\b|\bmaybe\b|\bi don\b"
    r"|\bi['’](?:m|ve|d)\b|\bno idea\b",
    re.IGNORECASE,
)
_SPEAKER = re.compile(r"\b(?:i|im|me|my|mine|we|our|us|you|your)\b", re.IGNORECASE)
_MOST = 6
_RUN = 3
"""Sentences of evidence that may back one sentence together, as in a citation's quote."""
_LONGEST_ALIGNED = 400
"""Words of evidence that an order is looked for in; more would take time and say nothing."""


def groundedness(sentence: str, evidence: str) -> float:
    """The estimated chance, 0 to 1, that people call the sentence backed by the evidence; 0 for a text without words.

    A sentence that stands in the evidence as it is has a chance of 1. The evidence should be the few sentences that
    may back it, not a document: in a long text any word is found.

    >>> groundedness("It lasts 10 hours.", "In tests, the battery lasted for 10 hours.") > 0.5
    True
    >>> groundedness("It lasts 12 hours.", "In tests, the battery lasted for 10 hours.") > 0.5
    False
    """
    values = features(sentence, evidence)
    if values is None:
        return 0.0
    if " ".join(sentence.split()) in " ".join(evidence.split()):
        return 1.0
    total = INTERCEPT + sum(weight * value for weight, value in zip(COEFFICIENTS, values, strict=True))
    return 1.0 / (1.0 + math.exp(-total))


def claims(sentence: str) -> bool:
    """Whether a sentence says more than "Yes, it is.", so that it needs backing.

    >>> claims("Yes, of course."), claims("Yes, it lasts 10 hours.")
    (False, True)
    """
    return _WORD.search(_OPENING.sub("", sentence)) is not None


def least_backed(text: str, passages: Sequence[str]) -> tuple[str, float] | None:
    """The sentence of a text that the passages back least, and its groundedness; None if the text claims nothing.

    A sentence may rest on up to three neighbouring sentences of one passage.

    >>> least_backed("Yes. It lasts 10 hours.", ["In tests, the battery lasted for 10 hours."])[0]
    'It lasts 10 hours.'
    """
    runs = [run for passage in passages for run in runs_of(passage)]
    said = [sentence for sentence in _sentences(text) if claims(sentence)]
    scored = ((sentence, max((groundedness(sentence, run) for run in runs), default=0.0)) for sentence in said)
    return min(scored, key=lambda pair: pair[1], default=None)


def runs_of(text: str) -> list[str]:
    """Every run of one to three neighbouring sentences."""
    said = _sentences(text)
    return [
        " ".join(said[first : first + width]) for width in range(1, _RUN + 1) for first in range(len(said) - width + 1)
    ]


def _sentences(text: str) -> list[str]:
    pieces = (text[start:end] for start, end in split_sentences(text) or [(0, len(text))])
    return [piece for piece in pieces if any(map(str.isalnum, piece))]


def features(sentence: str, evidence: str) -> tuple[float, ...] | None:
    """The numbers in the order of `FEATURES`, each from 0 to 1; None for a sentence or evidence without words.

    The share of words that the evidence lacks, but for empty ones; the longest run of words that it lacks; whether a
    number is missing; whether a name is; the share of common words that stand only under or only outside a negation
    there; the share of common words that are out of the evidence's order; whether it hedges; how often it speaks of
    the speaker or the listener.
    """
    claim = _claim(sentence)
    words, there = _stems(claim), _stems(evidence)
    if not words or not there:
        return None
    known = frozenset(there)
    novel = [word not in known and word not in _EMPTY for word in words]
    common = [word for word in words if word in known and word not in _EMPTY]
    found = compared(claim, evidence)
    aligned = _longest_common(common, [word for word in there[:_LONGEST_ALIGNED] if word in set(common)])
    return (
        sum(novel) / len(words),
        min(_longest_run([word not in known for word in words]), _MOST) / _MOST,
        float(found.numbers > 0),
        float(found.names > 0),
        found.opposed / found.matched if found.matched else 0.0,
        1 - aligned / len(common) if common else 0.0,
        float(_HEDGE.search(sentence) is not None),
        min(len(_SPEAKER.findall(sentence)), 3) / 3,
    )


def _claim(sentence: str) -> str:
    """The sentence without an opening such as "Yes, it is."; whole if hardly anything is left."""
    rest = _OPENING.sub("", sentence)
    return rest if len(_WORD.findall(rest)) >= _FEWEST_WORDS else sentence


@lru_cache(maxsize=4096)
def _stems(text: str) -> tuple[str, ...]:
    return tuple(
        word.replace(",", "") if word[0].isdigit() else stem(word)
        for word in _WORD.findall(_CLITIC.sub(r" \1", text.casefold()))
    )


def _longest_run(marks: Sequence[bool]) -> int:
    longest = current = 0
    for mark in marks:
        current = current + 1 if mark else 0
        longest = max(longest, current)
    return longest


def _longest_common(one: Sequence[str], other: Sequence[str]) -> int:
    """Length of the longest common subsequence."""
    row = [0] * (len(other) + 1)
    for word in one:
        before = 0
        for place, there in enumerate(other, start=1):
            here = row[place]
            row[place] = before + 1 if word == there else max(here, row[place - 1])
            before = here
    return row[-1]
