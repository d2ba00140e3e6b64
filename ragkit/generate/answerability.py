"""How likely the retrieved evidence answers the question: decided before a model is paid.

A logistic model over four numbers that retrieval already has. It was fitted on questions of SQuAD 2.0 (24 articles)
with their paragraph in the index and with it taken out, and on off-topic questions; `scripts/calibrate_refusal.py`
makes the coefficients below and prints how they do on 24 other articles. It sees whether the evidence is about the
question's matter, not whether it states the answer: near misses pass.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from ragkit.config.schema import Bm25
from ragkit.store.bm25 import Bm25Encoder
from ragkit.types import ScoredChunk

FEATURES = ("dense_top", "dense_gap", "term_coverage", "name_coverage")
COEFFICIENTS = (2.898, 5.547, 3.648, 1.267)
INTERCEPT = -5.774
# What a feature counts as when its retriever did not run: its mean on the tuning data.
MEANS = (0.545, 0.157, 0.568, 0.923)
MIN_CONFIDENCE = 0.278
"""Calibrated so that one in twenty answerable questions of the tuning data is refused."""

_DEPTH = 3
# Words that say what kind of answer is asked for; an answer seldom has them.
_ASKS = re.compile(
    r"\bhow (?:long|much|many|often|far|old|large|big|high|late|early|soon|fast|heavy|deep|wide|tall)\b"
    r"|\b(?:what|which) (?:kinds?|sorts?|types?|amount|number) of\b"
    r"|\b(?:means?|called|named|happens?)\b(?=\W*$)",
    re.IGNORECASE,
)
_NAME = re.compile(r"(?<!^)(?<![.?!] )\b(?:[A-Z][\w-]*|\w*\d[\w.,:/-]*\w|\d)\b")


def confidence(question: str, results: Sequence[ScoredChunk]) -> float:
    """The estimated chance, 0 to 1, that the results answer the question; 0 without results."""
    if not results:
        return 0.0
    values = features(question, results)
    total = INTERCEPT + sum(weight * value for weight, value in zip(COEFFICIENTS, values, strict=True))
    return 1.0 / (1.0 + math.exp(-total))


def features(question: str, results: Sequence[ScoredChunk]) -> tuple[float, float, float, float]:
    """The four numbers, in the order of `FEATURES`.

    Best cosine; its distance to the mean of the others; the share of the question's terms in the best of the first
    three chunks, weighted by rarity among the results; the share of its names and numbers in the first three.
    """
    cosines = sorted((r.stages["dense"].score for r in results if "dense" in r.stages), reverse=True)
    if cosines:
        top = cosines[0]
        gap = top - sum(cosines[1:]) / len(cosines[1:]) if len(cosines) > 1 else 0.0
    else:
        top, gap = MEANS[0], MEANS[1]
    return top, gap, _term_coverage(question, results), _name_coverage(question, results)


def _term_coverage(question: str, results: Sequence[ScoredChunk]) -> float:
    bm25 = Bm25Encoder(Bm25())
    asked = bm25.terms(_ASKS.sub(" ", question)).keys()
    present = [bm25.terms(result.chunk.indexed_text).keys() for result in results]
    weights = {
        term: math.log(1 + (len(present) + 1) / (0.5 + sum(1 for terms in present if term in terms))) for term in asked
    }
    total = sum(weights.values())
    if not total:
        return 0.0
    return max(sum(weights[term] for term in asked & terms) / total for terms in present[:_DEPTH])


def _name_coverage(question: str, results: Sequence[ScoredChunk]) -> float:
    return name_share(question, " ".join(result.chunk.indexed_text for result in results[:_DEPTH]))


def name_share(question: str, text: str) -> float:
    """Share of the question's names and numbers that the text has; 1 if it has none: nothing is missing then.

    >>> name_share("Where is the stock of Costco listed?", "Costco Wholesale Corporation")
    1.0
    """
    names = {name.casefold() for name in _NAME.findall(question)}
    if not names:
        return 1.0
    folded = text.casefold()
    return sum(1 for name in names if name in folded) / len(names)
