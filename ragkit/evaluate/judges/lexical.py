"""A judge that compares words: no model, the same verdict every time, thousands of answers a minute."""

from __future__ import annotations

from collections.abc import Sequence

from ragkit.evaluate.judges import Measure, asked
from ragkit.evaluate.judges.exhibit import RULES, Exhibit, source_of, version_of
from ragkit.evaluate.judges.settings import JudgeSettings
from ragkit.evaluate.record import Judgement
from ragkit.generate.groundedness import least_backed
from ragkit.generate.support import support_score

SUPPORT_FROM = 0.5


class LexicalJudge:
    """`support`: how far the evidence's words back the answer; `correctness`: how far the answer is a labelled one.

    Formulas::

        support     = min over the answer's sentences s that claim something
                      of max over runs e of up to three sentences of the evidence of groundedness(s, e)
        correctness = max over the labelled answers a of max(support_score(a, answer), support_score(answer, a)),
                      where the first is above 0

    An answer is as well backed as its least backed sentence. Without evidence, or if it claims nothing, support is 0.
    Limits: synonyms are not seen, and two names that are swapped hardly are.
    """

    name = "lexical"

    def __init__(self, settings: JudgeSettings) -> None:
        every = {
            "support": Measure("lexical.support", SUPPORT_FROM),
            "correctness": Measure("lexical.correctness", needs_references=True),
        }
        self.measures = tuple(every[name] for name in settings.wanted)
        self.version = version_of(
            source_of(*RULES, __name__, "ragkit.generate.support", "ragkit.generate.groundedness")
        )

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
    if not exhibit.evidence:
        return 0.0, "there is no evidence"
    least = least_backed(exhibit.answer, exhibit.evidence)
    if least is None:
        return 0.0, "the answer claims nothing"
    sentence, score = least
    return score, f"least backed: {' '.join(sentence.split())}" if score < SUPPORT_FROM else ""


def _correctness(exhibit: Exhibit) -> float:
    def likeness(reference: str) -> float:
        states = support_score(reference, exhibit.answer)
        # A short answer may be part of a longer label ("Agricola"), but not by a mere "the" or "no".
        return max(states, support_score(exhibit.answer, reference)) if states > 0 else 0.0

    return max(map(likeness, exhibit.references))
