"""What words and acronyms the indexed documents use, for questions that use others.

It is read from the chunks of one state of the index, all of them, whatever the filters of a question: about a second
for every 5,000 chunks, once, when a transform first needs it; then it is held in memory, some 100 bytes a word.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from ragkit.types import Chunk

_WORD = re.compile(r"[^\W\d_]+")
_BRACKETS = re.compile(r"\(([^()\n]{2,80})\)")
_ACRONYM = re.compile(r"(?=(?:[^A-Z]*[A-Z]){2})[A-Za-z][A-Za-z0-9&./-]{1,9}")
_SHORTEST_CORRECTED = 5
_COMMON = 2
"""A word must be used so often to be what another one was meant to be: the documents have misprints too."""


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """How often each word is used (in small letters), and what each acronym stands for where it is defined most often.

    `letters` are those of which the words are made.
    """

    words: Mapping[str, int]
    acronyms: Mapping[str, str]
    letters: frozenset[str]

    def nearest(self, word: str) -> str | None:
        """The word of the documents that is one misprint away (Damerau 1964: most are), the most used of several.

        None for a word that is used, is short or has no such neighbour.

        >>> read_vocabulary_of(["The pressure, the pressure gauge."]).nearest("presure")
        'pressure'
        """
        asked = word.lower()
        if len(asked) < _SHORTEST_CORRECTED or asked in self.words or not asked.isalpha():
            return None
        near = {other for other in _one_misprint_away(asked, self.letters) if self.words.get(other, 0) >= _COMMON}
        return min(near, key=lambda other: (-self.words[other], other), default=None)


def read_vocabulary(chunks: Iterable[Chunk]) -> Vocabulary:
    """The vocabulary of these chunks."""
    return read_vocabulary_of(chunk.text for chunk in chunks)


def read_vocabulary_of(texts: Iterable[str]) -> Vocabulary:
    """The vocabulary of these texts.

    >>> vocabulary = read_vocabulary_of(["The mean time between failures (MTBF) is long.", "MTBF is short."])
    >>> vocabulary.words["mtbf"], vocabulary.acronyms
    (2, {'MTBF': 'mean time between failures'})
    """
    words: Counter[str] = Counter()
    meanings: dict[str, Counter[str]] = {}
    for text in texts:
        words.update(_WORD.findall(text.lower()))
        for short, long in definitions(text):
            meanings.setdefault(short, Counter())[long] += 1
    acronyms = {
        short: min(counted, key=lambda long: (-counted[long], long)) for short, counted in sorted(meanings.items())
    }
    return Vocabulary(words, acronyms, frozenset(letter for word in words for letter in word))


def definitions(text: str) -> Iterator[tuple[str, str]]:
    """Acronyms that a text defines, with what they stand for: "long form (SHORT)" and "SHORT (long form)".

    Schwartz and Hearst (2003), "A Simple Algorithm for Identifying Abbreviation Definitions in Biomedical Text".

    >>> list(definitions("The Mean Time Between Failures (MTBF) of the PSU (power supply unit) is long (see below)."))
    [('MTBF', 'Mean Time Between Failures'), ('PSU', 'power supply unit')]
    """
    for brackets in _BRACKETS.finditer(text):
        inside, before = brackets[1].strip(), text[max(0, brackets.start() - 200) : brackets.start()].rstrip()
        if _ACRONYM.fullmatch(inside):
            most = min(len(inside) + 5, 2 * len(inside))
            long = _long_form(inside, " ".join(before.split()[-most:]))
            if long:
                yield inside, long
        elif (word := re.search(r"\S+$", before)) and _ACRONYM.fullmatch(word[0]):
            long = " ".join(inside.split())
            if _long_form(word[0], long) == long:
                yield word[0], long


def _long_form(short: str, text: str) -> str | None:
    """The end of the text that has the acronym's letters in their order, the first of them at the start of a word."""
    at = len(text)
    for number, letter in reversed(list(enumerate(short.lower()))):
        if not letter.isalnum():
            continue
        at -= 1
        while at >= 0 and (text[at].lower() != letter or (number == 0 and at > 0 and text[at - 1].isalnum())):
            at -= 1
        if at < 0:
            return None
    long = text[at:]
    return long if len(long.split()) > 1 and short.lower() not in long.lower() else None


def _one_misprint_away(word: str, letters: frozenset[str]) -> Iterator[str]:
    """Every word with a letter left out, two exchanged, one replaced or one added; the first letter stays."""
    for at in range(1, len(word) + 1):
        head, tail = word[:at], word[at:]
        if tail:
            yield head + tail[1:]
            for letter in letters:
                yield head + letter + tail[1:]
        if len(tail) > 1:
            yield head + tail[1] + tail[0] + tail[2:]
        for letter in letters:
            yield head + letter + tail
