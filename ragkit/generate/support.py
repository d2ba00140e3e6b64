"""How far a passage backs a sentence, judged by words alone: no model, the same answer every time."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

SupportScorer = Callable[[str, str], float]
"""(sentence, evidence) to a support between 0 and 1; `support_score` is one, a model can be another."""

SUPPORTED = 0.5
"""From this support on, a sentence counts as backed by the evidence."""

NUMBER_OR_NEGATION_CAP = 0.3
NAME_CAP = 0.4

_STOP_WORDS_TEXT = """
a about above after again all also am an and any are as at be because been before being below between both
by can could did do does doing down during each either else etc few for from further get had has have having
he her here hers herself him himself his how however i if in into is it its itself just may me might more
most much must my of off on once one only onto or other our ours out over own per said same say says shall
she should since so some such than that the their theirs them themselves then there therefore these they
this those through thus to too under until up upon us very was we were what when where whether which while
who whom whose why will with within would you your yours s t re ve ll d m
"""
_STOP_WORDS = frozenset(_STOP_WORDS_TEXT.split())
_NEGATORS_TEXT = "no not never none nobody nothing neither nor without cannot nowhere hardly"
_NEGATORS = frozenset(_NEGATORS_TEXT.split())
_UNITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
_TEENS_TEXT = "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen"
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
# "one" alone is mostly a pronoun and stays a word.
_NUMBER_WORDS = {word: number for number, word in enumerate([*_UNITS, *_TEENS_TEXT.split()]) if word != "one"}
_SPELLED_TENS = re.compile(rf"(?i)\b({'|'.join(_TENS)})(?:[- ]({'|'.join(_UNITS[1:])}))?\b")

CJK = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
# Numbers with their separators, single CJK characters (no spaces to split at), words, and the ends of
# clauses.
_TOKEN = re.compile(rf"\d+(?:[.,]\d+)*|[{CJK}]|[^\W\d_{CJK}]+|[.;:!?,\n]")
_CLAUSE_WORDS = frozenset({"but", "although", "though", "whereas", "while", "yet", "however"})
_SENTENCE_ENDS = frozenset(".:!?\n")
_CLAUSE_ENDS = _SENTENCE_ENDS | {",", ";"}
_CONTRACTED_NOT = re.compile(r"(?i)\b[a-z]+n['’]t\b")


@dataclass(slots=True)
class _Term:
    """A content word: its weight, and whether it was met in negated (True) or plain (False) clauses."""

    weight: int = 1
    kind: str = "word"
    polarities: set[bool] = field(default_factory=set[bool])


def support_score(sentence: str, evidence: str) -> float:
    """How far the words of the evidence back the sentence, 0 (not at all) to 1 (every word is there).

    Formula, over the distinct stems of the sentence's words that are not stop words::

        score = sum of weights of stems that the evidence has too / sum of all weights

    where a number, and a word with a capital inside the sentence (a name), weighs 2 and any other word 1.
    Then what must agree: if a number of the sentence is missing in the evidence, the score is at most 0.3;
    if a name is missing, at most 0.4; if the evidence negates what the sentence asserts or the reverse (at
    least half of the weight of the common stems stands only in clauses of the other kind), at most 0.3. A
    sentence without any such word ("Yes.") scores 1 if the evidence has its very words in a row, else 0.

    A text scores 1.0 against itself and against any text that has it as sentences of its own. Limits:
    synonyms and swapped roles are not seen, and capitals do not mark names in languages such as German,
    where support comes out too low rather than too high.

    >>> support_score("The battery lasts 10 hours.", "In tests, the battery lasted for 10 hours.")
    1.0
    >>> support_score("The battery lasts 12 hours.", "In tests, the battery lasted for 10 hours.")
    0.3
    """
    found = compared(sentence, evidence)
    if found.total == 0:
        words, evidence_words = _plain_words(sentence), _plain_words(evidence)
        return 1.0 if words and f" {words} " in f" {evidence_words} " else 0.0
    score = found.matched / found.total
    if found.numbers or (found.matched and 2 * found.opposed >= found.matched):
        score = min(score, NUMBER_OR_NEGATION_CAP)
    if found.names:
        score = min(score, NAME_CAP)
    return score


@dataclass(frozen=True, slots=True)
class Compared:
    """The content words of a sentence beside those of evidence: their weight in all, that of the words which both
    have, that of those which the evidence has only with the other polarity, and how many numbers and names of the
    sentence the evidence lacks."""

    total: int
    matched: int
    opposed: int
    numbers: int
    names: int


def compared(sentence: str, evidence: str) -> Compared:
    """What `support_score` is made of.

    >>> compared("The battery lasts 12 hours.", "In tests, the battery lasted for 10 hours.").numbers
    1
    """
    claimed, backing = _terms(sentence), _terms(evidence)
    common = {stem: term for stem, term in claimed.items() if stem in backing}
    missing = [term.kind for stem, term in claimed.items() if stem not in common]
    opposed = sum(term.weight for stem, term in common.items() if term.polarities.isdisjoint(backing[stem].polarities))
    return Compared(
        total=sum(term.weight for term in claimed.values()),
        matched=sum(term.weight for term in common.values()),
        opposed=opposed,
        numbers=missing.count("number"),
        names=missing.count("name"),
    )


@lru_cache(maxsize=4096)  # the sentences of a passage are compared with every sentence that cites it
def _terms(text: str) -> Mapping[str, _Term]:
    """The content words of the text by stem."""
    tokens = _tokens(text)
    words = [token for token in tokens if token[0].isalpha()]
    all_capitals = all(word[0].isupper() for word in words)  # a heading: capitals mark nothing
    terms: dict[str, _Term] = {}
    for clause in _clauses(tokens):
        negated = any(token.lower() in _NEGATORS for token, _ in clause)
        for token, is_first in clause:
            word = token.casefold()
            if word in _STOP_WORDS or word in _NEGATORS:
                continue
            number = _number(token)
            term = terms.setdefault(number or stem(word), _Term())
            term.polarities.add(negated)
            if number:
                term.weight, term.kind = 2, "number"
            elif term.kind == "word" and token[0].isupper() and not is_first and not all_capitals:
                term.weight, term.kind = 2, "name"
    return terms


def _clauses(tokens: list[str]) -> list[list[tuple[str, bool]]]:
    """The tokens by clause, each with whether it is the first word of a sentence."""
    clauses: list[list[tuple[str, bool]]] = [[]]
    is_first = True
    for token in tokens:
        if token in _CLAUSE_ENDS or token.lower() in _CLAUSE_WORDS:
            clauses.append([])
            is_first = is_first or token in _SENTENCE_ENDS
        else:
            clauses[-1].append((token, is_first))
            is_first = False
    return clauses


def _tokens(text: str) -> list[str]:
    """The tokens of the text, "isn't" as "not" (its verb is a stop word) and "twenty-five" as "25"."""

    def tens(match: re.Match[str]) -> str:
        unit = _UNITS.index(match[2].lower()) if match[2] else 0
        return str(10 * (_TENS.index(match[1].lower()) + 2) + unit)

    return _TOKEN.findall(_SPELLED_TENS.sub(tens, _CONTRACTED_NOT.sub("not", text)))


def _plain_words(text: str) -> str:
    return " ".join(token.casefold() for token in _tokens(text) if token not in _CLAUSE_ENDS)


def _number(token: str) -> str | None:
    """One spelling for each number ("1,000" and "1000", "3.50" and "3,5", "two" and "2"), None for a word."""
    if not token[0].isdecimal():
        number = _NUMBER_WORDS.get(token.casefold())
        return None if number is None else str(number)
    digits = "".join(str(int(char)) if char.isdecimal() else char for char in token)
    if re.fullmatch(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?", digits):
        digits = digits.replace(",", "")
    parts = digits.replace(",", ".").split(".")
    if len(parts) == 2:
        whole, fraction = parts[0].lstrip("0") or "0", parts[1].rstrip("0")
        return f"{whole}.{fraction}" if fraction else whole
    return ".".join(part.lstrip("0") or "0" for part in parts)


@lru_cache(maxsize=16_384)
def stem(word: str) -> str:
    """A common form for the inflections of an English word, by suffix rules (plural, -ed, -ing, -ly, -e).

    Made to be the same for two forms of one word, not to be a word.

    >>> stem("batteries") == stem("battery"), stem("lasted") == stem("lasts") == stem("lasting")
    (True, True)
    >>> stem("charged") == stem("charging") == stem("charge"), stem("stopped") == stem("stops")
    (True, True)
    """
    if len(word) > 4 and word.endswith(("ies", "ied")):
        word = word[:-3] + "y"
    elif len(word) > 4 and word.endswith(("sses", "shes", "ches", "xes", "zes")):
        word = word[:-2]
    elif len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    for suffix in ("ingly", "edly", "ing", "ed", "ly"):
        base = word.removesuffix(suffix)
        if base != word and len(base) >= 3 and re.search("[aeiouy]", base):
            word = base
            if word[-1] == word[-2] and word[-1] not in "lsz":
                word = word[:-1]  # stopped, stop
            break
    if len(word) > 4 and word.endswith("e"):
        word = word[:-1]
    return word[:-1] + "i" if len(word) > 3 and word.endswith("y") else word
