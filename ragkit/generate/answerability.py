"""How likely the retrieved evidence answers the question: decided before a model is paid.

A logistic model over numbers that retrieval already has, and, where there is a reader, over how sure it is of a place
that answers. `scripts/calibrate_refusal.py` fits both on questions of SQuAD 2.0 (24 articles; for the reader's, those
that it was not trained on) with their paragraph in the index and with it taken out, on questions that people wrote to
have no answer in their paragraph, and on off-topic ones, and prints how they do on 24 other articles. Without the
reader it sees whether the evidence is about the question's matter, not whether it states the answer: near misses pass.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from ragkit.config.schema import Bm25, Generation, Refusal
from ragkit.generate.reader import Reading
from ragkit.store.bm25 import Bm25Encoder
from ragkit.types import ScoredChunk

FEATURES = ("dense_top", "dense_gap", "term_coverage", "name_coverage")
READER_FEATURES = (*FEATURES, "margin_best", "margin_first")
RATES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3)
"""Wanted shares of false refusals for which thresholds were calibrated."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """A fitted logistic model, and below which chance each of `RATES` of the answerable tuning questions lies."""

    coefficients: tuple[float, ...]
    intercept: float
    thresholds: tuple[float, ...]

    def threshold(self, rate: float) -> float:
        """The chance below which that share of answerable questions would be refused; along a line between `RATES`.

        >>> Calibration((), 0.0, (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)).threshold(0.075)
        0.35
        """
        rates, values = (0.0, *RATES, 1.0), (0.0, *self.thresholds, 1.0)
        after = max(1, bisect_left(rates, rate))
        share = (rate - rates[after - 1]) / (rates[after] - rates[after - 1])
        return round(values[after - 1] + share * (values[after] - values[after - 1]), 6)


WITHOUT_READER = Calibration((2.889, 5.532, 3.65, 1.258), -5.76, (0.117, 0.147, 0.278, 0.339, 0.445, 0.53))
WITH_READER = Calibration((3.999, 1.307, 0.626, 1.018, 0.225, 0.992), -3.572, (0.133, 0.19, 0.287, 0.356, 0.443, 0.523))
# What a feature counts as when its retriever did not run: its mean on the tuning data.
MEANS = (0.54, 0.162, 0.618, 0.928)

READ = 3
"""Passages that are read for an answer, best first."""
_SUREST = 12.0
_DEPTH = 3
# Words that say what kind of answer is asked for; an answer seldom has them.
_ASKS = re.compile(
    r"\bhow (?:long|much|many|often|far|old|large|big|high|late|early|soon|fast|heavy|deep|wide|tall)\b"
    r"|\b(?:what|which) (?:kinds?|sorts?|types?|amount|number) of\b"
    r"|\b(?:means?|called|named|happens?)\b(?=\W*$)",
    re.IGNORECASE,
)
_NAME = re.compile(r"(?<!^)(?<![.?!] )\b(?:[A-Z][\w-]*|\w*\d[\w.,:/-]*\w|\d)\b")


def confidence(question: str, results: Sequence[ScoredChunk], readings: Sequence[Reading] | None = None) -> float:
    """The estimated chance, 0 to 1, that the results answer the question; 0 without results.

    `readings` are those of the first `READ` results, None without a reader.
    """
    if not results:
        return 0.0
    model = WITHOUT_READER if readings is None else WITH_READER
    values = features(question, results, readings)
    total = model.intercept + sum(weight * value for weight, value in zip(model.coefficients, values, strict=True))
    return 1.0 / (1.0 + math.exp(-total))


def scaled(chance: float, refusal: Refusal) -> float:
    """A chance of `confidence` as `ragkit train answerability` fitted it to the user's own questions: its logit times
    `slope` and moved by `intercept`. 0 stays 0.

    >>> scaled(0.3, Refusal()), round(scaled(0.5, Refusal(slope=2.0, intercept=-1.0)), 3)
    (0.3, 0.269)
    """
    if chance <= 0 or (refusal.slope == 1 and refusal.intercept == 0):
        return chance
    chance = min(max(chance, 1e-9), 1 - 1e-9)
    logit = math.log(chance / (1 - chance))
    return 0.5 * (1.0 + math.tanh(0.5 * (refusal.slope * logit + refusal.intercept)))  # no exponent overflows


def least_confidence(config: Generation) -> float:
    """The confidence from which a question is answered: the one that is wanted, else the calibrated one."""
    if config.refusal.min_confidence is not None:
        return config.refusal.min_confidence
    return (WITHOUT_READER if config.reader is None else WITH_READER).threshold(config.refusal.max_false_refusals)


def features(
    question: str, results: Sequence[ScoredChunk], readings: Sequence[Reading] | None = None
) -> tuple[float, ...]:
    """The numbers, in the order of `READER_FEATURES`; without readings the first four.

    Best cosine; its distance to the mean of the others; the share of the question's terms in the best of the first
    three chunks, weighted by rarity among the results; the share of its names and numbers in the first three; the
    reader's best margin, and that of the first passage, in tens.
    """
    known = _from_retrieval(question, results)
    if readings is None:
        return known
    margins = [max(-_SUREST, min(_SUREST, reading.margin)) / 10 for reading in readings]
    return *known, max(margins), margins[0]


def _from_retrieval(question: str, results: Sequence[ScoredChunk]) -> tuple[float, float, float, float]:
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
