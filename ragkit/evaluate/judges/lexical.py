"""A judge that compares words: no model, the same verdict every time, thousands of answers a minute."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ragkit.evaluate.judges import Measure, asked
from ragkit.evaluate.judges.exhibit import RULES, Exhibit, sentences, source_of, version_of
from ragkit.evaluate.judges.settings import JudgeSettings
from ragkit.evaluate.record import Judgement
from ragkit.generate.support import CJK, stem, support_score

_WINDOW = 3  # sentences of the evidence that may back one sentence together, as in a citation's quote
_WORD = re.compile(rf"[{CJK}]|(?:[^\W_{CJK}]|(?<=\d)[.,](?=\d))+")

# The score from which most was judged as people did, on BEGIN's dev part: scripts/measure_judges.py --tune.
SUPPORT_FROM = 0.66


class LexicalJudge:
    """`support`: how far the evidence's words back the answer; `correctness`: how far the answer is a labelled one.

    Formulas::

        support     = mean over the answer's sentences s of max over runs e of up to three sentences of the evidence
                      of min(support_score(s, e), share of the words of s that e has, by stem)
        correctness = max over the labelled answers a of max(support_score(a, answer), support_score(answer, a)),
                      where the first is above 0

    The share counts every word, also "I" and "not", where `support_score` counts those that carry meaning. Without
    evidence, support is 0. Limits: synonyms and swapped roles are not seen.
    """

    name = "lexical"

    def __init__(self, settings: JudgeSettings) -> None:
        every = {
            "support": Measure("lexical.support", SUPPORT_FROM),
            "correctness": Measure("lexical.correctness", needs_references=True),
        }
        self.measures = tuple(every[name] for name in settings.wanted)
        self.version = version_of(source_of(*RULES, __name__, "ragkit.generate.support"))

    def judge(self, exhibit: Exhibit) -> Sequence[Judgement]:
        verdicts: list[Judgement] = []
        for measure in asked(self.measures, exhibit):
            if measure.name == "lexical.support":
                score, reason = _support(exhibit)
            else:
                score, reason = _correctness(exhibit), ""
            verdicts.append(Judgement(judge=measure.name, score=score, reason=reason))
        return verdicts


def _support(exhibit: Exhibit) -> tuple[float, str]:
    said = sentences(exhibit.answer)
    runs = [run for text in exhibit.evidence for run in _runs(text)]
    if not runs or not said:
        return 0.0, "there is no evidence" if said else "the answer has no words"
    scores = [max(backing(sentence, run) for run in runs) for sentence in said]
    worst = min(range(len(said)), key=scores.__getitem__)
    reason = f"least backed: {' '.join(said[worst].split())}" if scores[worst] < SUPPORT_FROM else ""
    return sum(scores) / len(scores), reason


def _correctness(exhibit: Exhibit) -> float:
    def likeness(reference: str) -> float:
        states = support_score(reference, exhibit.answer)
        # A short answer may be part of a longer label ("Agricola"), but not by a mere "the" or "no".
        return max(states, support_score(exhibit.answer, reference)) if states > 0 else 0.0

    return max(map(likeness, exhibit.references))


def backing(sentence: str, evidence: str) -> float:
    """How far the words of the evidence back a sentence, 0 to 1; what it says beside them counts against it.

    >>> backing("The battery lasts 10 hours.", "The battery lasts 10 hours at 20 degrees.")
    1.0
    >>> round(backing("I think my battery lasts 10 hours.", "The battery lasts 10 hours at 20 degrees."), 2)
    0.57
    """
    words = [stem(word) for word in _WORD.findall(sentence.casefold())]
    there = {stem(word) for word in _WORD.findall(evidence.casefold())}
    share = sum(word in there for word in words) / len(words) if words else 1.0
    return min(share, support_score(sentence, evidence))


def _runs(text: str) -> list[str]:
    """Every run of one to three neighbouring sentences."""
    said = sentences(text)
    return [
        " ".join(said[first : first + width])
        for width in range(1, _WINDOW + 1)
        for first in range(len(said) - width + 1)
    ]
