"""Small models sometimes say the same thing for ever; a generator stops them."""

from __future__ import annotations

import re

_TIMES = 3
_LONGEST_UNIT = 240
_FEWEST_CHARACTERS = 48
_SENTENCE = re.compile(r"[^.!?\n]+[.!?\n]+")
_SHORTEST_SENTENCE = 12


def repeated_from(text: str) -> int | None:
    """Where the text begins to say again what it has just said, or None.

    It does if it ends with the same characters three times in a row (48 or more in all), or if its last sentence
    stands in it three times.

    >>> text = "The hub lasts 10 hours. " * 3
    >>> text[: repeated_from(text)]
    'The hub lasts 10 hours. '
    >>> repeated_from("It lasts 10 hours.") is None
    True
    """
    for unit in range(_FEWEST_CHARACTERS // _TIMES, min(_LONGEST_UNIT, len(text) // _TIMES) + 1):
        tail = text[-unit:]
        if text.endswith(tail * _TIMES):
            begin = len(text) - _TIMES * unit
            return begin + unit
    sentences = list(_SENTENCE.finditer(text))
    if not sentences:
        return None
    last = sentences[-1].group().strip()
    if len(last) < _SHORTEST_SENTENCE:
        return None
    same = [match for match in sentences if match.group().strip() == last]
    return same[1].start() if len(same) >= _TIMES else None
