"""Small models sometimes say the same thing for ever; a generator stops them."""

from __future__ import annotations

import re

_TIMES = 3
_LONGEST_UNIT = 240
_FEWEST_CHARACTERS = 48


def repeated_from(text: str) -> int | None:
    """Where the text begins to say again what it has just said, or None.

    It does if it ends with the same characters, words among them, three times in a row (48 characters or more in all).
    What is kept ends with a sentence, if one ends there.

    >>> text = "The hub lasts 10 hours. " * 3
    >>> text[: repeated_from(text)]
    'The hub lasts 10 hours.'
    >>> repeated_from("A has two ports. It is new. B has four ports. It is new. C has six. It is new.") is None
    True
    """
    for unit in range(_FEWEST_CHARACTERS // _TIMES, min(_LONGEST_UNIT, len(text) // _TIMES) + 1):
        tail = text[-unit:]
        if text.endswith(tail * _TIMES) and re.search(r"[^\W_]", tail):
            begin, end = len(text) - _TIMES * unit, len(text) - (_TIMES - 1) * unit
            ends = [match.end() for match in re.finditer(r"[.!?\n]", text[begin:end])]
            return begin + ends[-1] if ends else end
    return None
