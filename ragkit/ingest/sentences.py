"""Cut a text into the units that a chunk may not cut: sentences, list items, table rows, lines of code.

Prose goes to `nupunkt` (English) or `sentencex` (other languages); the choice was measured, see
docs/decisions/2026-11-23-sentence-splitter.md. Everything that has no sentences is cut by its lines. A unit has no
white space at its ends and units do not overlap; what lies between two units is white space only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal

from ragkit.errors import ConfigError

Kind = Literal["sentence", "heading", "table", "code"]

_FENCE = re.compile(r"[ ]{0,3}(```+|~~~+)")
_HEADING = re.compile(r"[ ]{0,3}#{1,6}[ \t]+\S")
_LIST_ITEM = re.compile(r"[ \t]*(?:[-*+•◦▪–]|\d{1,3}[.)]|[a-zA-Z][.)]|\(\d{1,3}\)|#\.)[ \t]+\S")
_TABLE_ROW = re.compile(r"[ \t]*\|.*\|[ \t]*$")
_NUMBER = re.compile(r"[($]*[-+]?[\d.,]*\d[%)]*")
_END_OF_SENTENCE = re.compile(r"[.!?:;][\"'”’)\]]*$")
# nupunkt takes a unit of one letter for an initial: "The cable is 3 m. It hangs."
_AFTER_UNIT = re.compile(r"\d[ \u00a0]?[mglhs]\.\s+(?=[A-Z][a-z]|[AI]\s)")
_HARD_BREAK_SHARE = 0.75
# ISO 639-1. The splitter for other languages keeps no list of its own and splits an unknown one by general rules.
_CODE_NAMES = (
    "aa ab ae af ak am an ar as av ay az ba be bg bh bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de "
    "dv dz ee el en eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id "
    "ie ig ii ik io is it iu ja jv ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu "
    "lv mg mh mi mk ml mn mr ms mt my na nb nd ne ng nl nn no nr nv ny oc oj om or os pa pi pl ps pt qu "
    "rm rn ro ru rw sa sc sd se sg si sk sl sm sn so sq sr ss st su sv sw ta te tg th ti tk tl tn to tr "
    "ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu"
)
_CODES = frozenset(_CODE_NAMES.split())
_BY_NAME = {
    "arabic": "ar",
    "bulgarian": "bg",
    "chinese": "zh",
    "czech": "cs",
    "danish": "da",
    "dutch": "nl",
    "english": "en",
    "finnish": "fi",
    "french": "fr",
    "german": "de",
    "greek": "el",
    "hebrew": "he",
    "hindi": "hi",
    "hungarian": "hu",
    "italian": "it",
    "japanese": "ja",
    "korean": "ko",
    "norwegian": "no",
    "polish": "pl",
    "portuguese": "pt",
    "romanian": "ro",
    "russian": "ru",
    "spanish": "es",
    "swedish": "sv",
    "turkish": "tr",
    "ukrainian": "uk",
}


@dataclass(frozen=True, slots=True)
class Unit:
    """A piece that stays whole. `block` numbers the paragraph, table or code block that it belongs to."""

    start: int
    end: int
    kind: Kind
    block: int


def check_language(language: str) -> None:
    """Raise ConfigError, with the code that was meant where it can be told, for what is no language code.

    Codes of three letters, of languages that have none of two, are taken as they are.
    """
    if language in _CODES or re.fullmatch("[a-z]{3}", language):
        return
    near = get_close_matches(language.lower(), [*_BY_NAME, *_CODES], n=1)
    meant = _BY_NAME.get(near[0], near[0]) if near else None
    raise ConfigError(
        f"ingestion.chunking.language: {language!r} is no language code",
        mend=f"did you mean {meant}?" if meant else "write one of ISO 639, such as en, de or fr",
    )


def split_sentences(text: str, language: str = "en") -> list[tuple[int, int]]:
    """The units of `text` as (start, end) character offsets, in reading order.

    >>> text = "Dr. Smith weighs approx. 3.5 kg of salt. Then he stops."
    >>> [text[start:end] for start, end in split_sentences(text)]
    ['Dr. Smith weighs approx. 3.5 kg of salt.', 'Then he stops.']
    """
    return [(unit.start, unit.end) for unit in split_units(text, language)]


def split_units(text: str, language: str = "en") -> list[Unit]:
    """The units of `text` in reading order, each with its kind and the number of its block.

    >>> [unit.kind for unit in split_units("# Title\\n\\nOne. Two.\\n\\n| a | b |\\n| 1 | 2 |")]
    ['heading', 'sentence', 'sentence', 'table', 'table']
    """
    units: list[Unit] = []
    for block, (start, end, kind) in enumerate(_blocks(text)):
        pieces = _prose(text, start, end, language) if kind == "sentence" else _lines(text, start, end)
        units.extend(Unit(left, right, kind, block) for left, right in pieces)
    return units


def _blocks(text: str) -> Iterator[tuple[int, int, Kind]]:
    """Paragraphs, headings, tables, fenced code: consecutive lines of one kind, without the blank lines."""
    kind: Kind | None = None
    begin = finish = 0
    fence: str | None = None
    offset = 0
    for line in text.splitlines(keepends=True):
        start, offset = offset, offset + len(line)
        content = line.rstrip()
        if fence is not None:
            finish = offset
            if content.lstrip().startswith(fence):
                yield begin, finish, "code"
                fence, kind = None, None
            continue
        opening = _FENCE.match(content)
        if opening:
            if kind:
                yield begin, finish, kind
            fence, kind, begin, finish = opening.group(1), "code", start, offset
            continue
        if not content:
            found: Kind | None = None
        elif _HEADING.match(content):
            found = "heading"
        elif _TABLE_ROW.match(content):
            found = "table"
        else:
            found = "sentence"
        if kind and (found != kind or found == "heading"):
            yield begin, finish, kind
            kind = None
        if found and kind is None:
            kind, begin = found, start
        finish = offset
    if kind:
        yield begin, finish, kind


def _lines(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    offset = start
    for line in text[start:end].splitlines(keepends=True):
        yield from _trimmed(text, offset, offset + len(line))
        offset += len(line)


def _trimmed(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    if start < end:
        yield start, end


def _prose(text: str, start: int, end: int, language: str) -> Iterator[tuple[int, int]]:
    for left, right in _runs(text, start, end):
        offset = left
        for boundary in (*_sentence_starts(text[left:right], language), right - left):
            if left + boundary > offset:
                yield from _trimmed(text, offset, left + boundary)
                offset = left + boundary


def _runs(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Cut a paragraph where a line break is meant: before list items, around table rows, after short lines.

    A line break is a mere wrap if the next word would not have fitted; where it would have, the writer broke the
    line on purpose (a title, an address, a row of figures in the text of a PDF).
    """
    lines: list[tuple[int, int]] = []
    offset = start
    for line in text[start:end].splitlines(keepends=True):
        lines.append((offset, offset + len(line)))
        offset += len(line)
    contents = [text[left:right].strip() for left, right in lines]
    width = max((len(content) for content in contents), default=0)
    begin = start
    for index in range(1, len(lines)):
        before, after = contents[index - 1], contents[index]
        first_word = after.split(None, 1)[0] if after else ""
        fitted = len(before) + 1 + len(first_word) <= _HARD_BREAK_SHARE * width
        figures = _is_row_of_figures(before) or _is_row_of_figures(after)
        item = _LIST_ITEM.match(text[lines[index][0] : lines[index][1]])
        indented_wrap = fitted and after[:1].islower() and not _END_OF_SENTENCE.search(before)
        if item or figures or (fitted and not indented_wrap):
            yield begin, lines[index][0]
            begin = lines[index][0]
    yield begin, end


def _is_row_of_figures(line: str) -> bool:
    words = line.split()
    numbers = sum(1 for word in words if _NUMBER.fullmatch(word))
    return len(words) >= 3 and numbers >= 2 and numbers / len(words) >= 0.3 and not line.endswith(".")


def _sentence_starts(text: str, language: str) -> list[int]:
    if language == "en":
        import nupunkt

        starts = {start for start, _ in nupunkt.sent_spans(text)}
        return sorted(starts | {match.end() for match in _AFTER_UNIT.finditer(text)})
    import sentencex

    boundaries: Any = sentencex  # has no type stubs
    return [int(found["start_index"]) for found in boundaries.get_sentence_boundaries(language, text)]
