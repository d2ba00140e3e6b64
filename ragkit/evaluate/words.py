"""Texts compared by their words: the measures of SQuAD, but for numbers, which keep their separators and sign."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

_MINUS = "-−–"
# A minus has nothing before it: "5-10" is a range, "- 5" the mark of a list.
_SIGNED = rf"(?:(?<![^\s(\[\"'“‘:=|])[{_MINUS}](?=\d))?"
_TOKEN = re.compile(_SIGNED + r"(?:[^\W_]|(?<=\d)[.,:](?=\d))+|[%€$£°]")
_ARTICLES = frozenset({"a", "an", "the"})


def tokens(text: str) -> list[str]:
    """Words and numbers in lower case, without articles; a number keeps its separators and its sign.

    >>> tokens("The price rose by 8.3%, to $1,364.")
    ['price', 'rose', 'by', '8.3', '%', 'to', '$', '1,364']
    >>> tokens("between 5-10 and −5 °C")
    ['between', '5', '10', 'and', '-5', '°', 'c']
    """
    found = _TOKEN.findall(text.casefold())
    return [f"-{token[1:]}" if token[0] in _MINUS else token for token in found if token not in _ARTICLES]


def contains(text: str, answers: Sequence[str]) -> bool:
    """Whether the words of one of the answers stand in the text, in a row.

    >>> contains("It serves up to 64 Nodes.", ["64"]), contains("It costs 164.", ["64"])
    (True, False)
    """
    words = f" {' '.join(tokens(text))} "
    found = (f" {' '.join(tokens(answer))} " in words for answer in answers if tokens(answer))
    # What has no words (a script without spaces, a sign) is looked for as it stands.
    return any(found) or any(answer.casefold() in text.casefold() for answer in answers if _unspaced(answer))


def _unspaced(text: str) -> bool:
    return not tokens(text) or any("\u0e00" <= sign <= "\u0fff" or "\u3040" <= sign <= "\u9fff" for sign in text)


def exact_match(text: str, answer: str) -> float:
    """1.0 if text and answer have the same words (Rajpurkar et al. 2016, SQuAD; numbers keep their separators).

    >>> exact_match("The Norsemen.", "norsemen")
    1.0
    """
    return float(tokens(text) == tokens(answer))


def token_f1(text: str, answer: str) -> float:
    """Harmonic mean of the precision and recall of words (Rajpurkar et al. 2016); two empty texts agree.

    >>> token_f1("in the 10th and 11th", "10th and 11th centuries")
    0.75
    """
    said, wanted = Counter(tokens(text)), Counter(tokens(answer))
    if not said or not wanted:
        return float(said == wanted)
    shared = (said & wanted).total()
    return 2 * shared / (said.total() + wanted.total())
