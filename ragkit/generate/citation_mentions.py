"""Finding the citations in any generator's text.

`[Source: a.pdf, page 3]`, several in one bracket, block numbers (`[1]`, `[1, 2]`, `[Source: 1]`, `[Block 1]`,
`【1†source】`), a name alone (`[a.pdf, page 3]`, `(a.pdf, p. 3)`), in square, full-width, round or (with "Source:")
curly brackets, bold or not; "Source: a.pdf" at the end of a line; and a list of sources at the end of the text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from ragkit.generate.citation_format import FILE_NAME, KnowsName, Reference, expand, read_references

_CLOSING = {"[": "]", "【": "】", "(": ")", "［": "］", "（": "）", "{": "}"}
_ROUND = "(（"
_DEEPEST = 4  # brackets in a name
_LONGEST = 400  # characters of one bracket; beyond this, an opening bracket was never closed

_BLANK = r"[^\S\n]*"
_SOURCE_OPENING = re.compile(rf"[\[【(［（{{]{_BLANK}[*_]*sources?[*_]*{_BLANK}[:：]{_BLANK}", re.IGNORECASE)
_BLOCK_WORD = r"(?:source|document|doc|block|passage|chunk|excerpt|context|citation|cite|ref(?:erence)?)s?\.?\s*[:#]?"
_NUMBER_LIST = r"\d{1,3}(?:\s*(?:,|;|-|–|and|to|&)\s*\d{1,3})*"
_NUMBERS = re.compile(
    rf"[\[【［]\s*(?:{_BLOCK_WORD}\s*)?[\^#]?"
    # Four digits up to 2199 are a year.
    rf"(?P<numbers>{_NUMBER_LIST}|2[2-9]\d\d|[3-9]\d{{3}}|\d{{5,9}})(?::\d{{1,3}})?"
    r"\s*(?:†[^\]】］\n]{0,80})?[\]】］]"
    rf"|[(（]\s*{_BLOCK_WORD}\s*(?P<named>{_NUMBER_LIST})\s*[)）]",
    re.IGNORECASE,
)
_INDEX = re.compile(r"[\w)\]]\[0\]|\[0,|,\s*0\]")  # counted from 0: an element, or an interval
_BRACKET = re.compile(r"[\[【(［（]")
_AT_LINE_END = re.compile(
    rf"(?:^{_BLANK}|(?<=[.!?)\]*_][^\S\n])|(?<=[—–-][^\S\n]))sources?{_BLANK}[:：]{_BLANK}(?P<body>[^\n]{{1,300}})$",
    re.IGNORECASE | re.MULTILINE,
)
_LINK_TARGET = re.compile(r"\([^)\s]*\)")  # an invented link behind the bracket
_LINK = re.compile(r"\[([^\]\n]*)\]\([^)\s]*\)")
_CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)
_ONLY_A_BRACKET = re.compile(r"`\s*[\[【(［（][^`\[\]]*[\]】)］）]\s*`")

_LIST_HEADING = re.compile(
    r"^[ \t]*[#*_>-]*[ \t]*(?:sources?|references?|citations?)(?:[ \t]+(?:used|cited|consulted|documents?|list))?[*_]*"
    r"[ \t]*(?:[:：][*_]*|$)[ \t]*(?P<first>[^\n]*)",
    re.IGNORECASE | re.MULTILINE,
)
_NOTE = re.compile(r"^[ \t]*\[\^?\d{1,3}\]:[ \t]+\S[^\n]*", re.MULTILINE)
_ITEM_MARK = re.compile(r"^\s*(?:[-*•]|\d{1,3}[.)]|\[\^?(?P<number>\d{1,3})\][.:]?(?=\s*\w))\s*")
_NUMBERS_ALONE = re.compile(rf"^{_NUMBER_LIST}$")
_REMARK = re.compile(r"\s*(?:[:：]|\s[-–—])\s+\S")


@dataclass(frozen=True, slots=True)
class Mention:
    """A citation in a text: the characters it takes up, and the references in it."""

    start: int
    end: int
    references: tuple[Reference, ...]


@dataclass(frozen=True, slots=True)
class ClosingList:
    """A list of sources at the end: where it begins, what it lists, and what its numbers stand for."""

    start: int
    references: tuple[Reference, ...]
    numbered: dict[int, Reference]


def find_mentions(text: str, knows: KnowsName) -> list[Mention]:
    """All citations of the text, in order, without overlaps.

    A `[Source:` that is never closed is one without references. What stands in code is left alone, but for code that
    is nothing but a citation. Bold marks and link targets around a citation belong to it.

    >>> [mention] = find_mentions("It is so **[source: a.pdf p. 3]**.", {"a.pdf"}.__contains__)
    >>> mention.start, mention.references[0].pages
    (9, (3,))
    """
    found: list[Mention] = []
    for match in _SOURCE_OPENING.finditer(text):
        if not found or match.start() >= found[-1].end:  # not in the brackets of the one before
            found.append(_with_surroundings(text, _source_mention(text, match, knows)))
    taken = bytearray(len(text))  # 1 for each character of a citation that was found, or of code
    code = [match.span() for match in _CODE.finditer(text) if not _ONLY_A_BRACKET.fullmatch(match.group())]
    for start, end in [*((mention.start, mention.end) for mention in found), *code]:
        taken[start:end] = b"\1" * (end - start)

    def take(bare: Mention | None) -> None:
        if bare is not None and not any(taken[bare.start : bare.end]):
            mention = _with_surroundings(text, bare)
            taken[mention.start : mention.end] = b"\1" * (mention.end - mention.start)
            found.append(mention)

    for match in _NUMBERS.finditer(text):
        take(_number_mention(text, match))
    for match in _AT_LINE_END.finditer(text):
        take(_line_end_mention(match, knows))
    for match in _BRACKET.finditer(text):
        if not taken[match.start()]:
            take(_bare_mention(text, match, knows))
    return sorted(found, key=lambda mention: mention.start)


def without_citations(text: str, documents: set[str]) -> str:
    """The text without citations of these documents; numbers in brackets, which name none, stay.

    >>> without_citations("It lasts 10 hours [Source: a.pdf, page 3]. See [1].", {"a.pdf"})
    'It lasts 10 hours. See [1].'
    """
    for mention in reversed(find_mentions(text, documents.__contains__)):
        if any(reference.name in documents for reference in mention.references):
            text = text[: mention.start].rstrip(" ") + text[mention.end :]
    return text.strip()


def closing_list(text: str, knows: KnowsName) -> ClosingList | None:
    """The list of sources at the end, under a heading or as footnotes; None without one.

    Its lines give names with pages and sections, or numbers; a known one may have a remark behind it. A heading with
    other text below it is none.

    >>> found = closing_list("Ten hours.\\n\\nSources:\\n- a.pdf, page 3\\n- b.md", {"a.pdf", "b.md"}.__contains__)
    >>> found.start, [reference.name for reference in found.references]
    (12, ['a.pdf', 'b.md'])
    >>> closing_list("Sources: two people who were there.", {"a.pdf"}.__contains__)
    """
    for heading in reversed(list(_LIST_HEADING.finditer(text))):
        if (
            found := _listed(heading.start(), [heading["first"], *text[heading.end() :].split("\n")], knows)
        ) is not None:
            return found
    for note in _NOTE.finditer(text):
        if (found := _listed(note.start(), text[note.start() :].split("\n"), knows)) is not None:
            return found
    return None


def _listed(start: int, lines: list[str], knows: KnowsName) -> ClosingList | None:
    references: list[Reference] = []
    numbered: dict[int, Reference] = {}
    for line in filter(lambda line: any(map(str.isalnum, line)), lines):
        item = _item(line, knows)
        if not item:
            return None
        references += item
        mark = _ITEM_MARK.match(line)
        if mark and mark["number"] and len(item) == 1:
            numbered[int(mark["number"])] = item[0]
    return ClosingList(start, tuple(references), numbered)


def _item(line: str, knows: KnowsName) -> tuple[Reference, ...]:
    """The references of a line of a list of sources; () if it says something else."""
    bare = _LINK.sub(r"\1", _ITEM_MARK.sub("", line)).strip().rstrip(".")
    if _NUMBERS_ALONE.match(bare):
        return tuple(Reference(bare, number=number) for number in expand(bare))
    mentions = find_mentions(bare, knows)
    if mentions and not any(map(str.isalpha, _outside(bare, mentions))):
        return tuple(reference for mention in mentions for reference in mention.references)
    references = read_references(bare, knows)
    if all(knows(reference.name) or FILE_NAME.search(reference.name) for reference in references):
        return references
    for remark in _REMARK.finditer(bare):
        references = read_references(bare[: remark.start()], knows)
        if references and all(knows(reference.name) for reference in references):
            return references
    return ()


def _outside(text: str, mentions: list[Mention]) -> str:
    for mention in reversed(mentions):
        text = text[: mention.start] + text[mention.end :]
    return text


def _number_mention(text: str, match: re.Match[str]) -> Mention | None:
    if _INDEX.search(text[max(0, match.start() - 1) : match.end()]):
        return None
    numbers = expand(match["numbers"] or match["named"])
    return Mention(match.start(), match.end(), tuple(Reference(match.group(), number=number) for number in numbers))


def _line_end_mention(match: re.Match[str], knows: KnowsName) -> Mention | None:
    body = match["body"].rstrip(" .*_")
    references = read_references(body, knows)
    if references and all(knows(reference.name) or _is_placed(reference, knows) for reference in references):
        return Mention(match.start(), match.start("body") + len(body), references)
    return None


def _bare_mention(text: str, opening: re.Match[str], knows: KnowsName) -> Mention | None:
    """The mention that opens here if all in the bracket reads as names with their places, known or not."""
    ends, balanced = _ends(text, opening)
    if balanced is None:
        return None
    for end in ends[: min(ends.index(balanced) + 1, _DEEPEST)]:
        references = read_references(text[opening.end() : end], knows)
        if references and all(knows(reference.name) and _is_placed(reference, knows) for reference in references):
            return Mention(opening.start(), end + 1, references)
    references = read_references(text[opening.end() : balanced], knows)
    is_round = opening.group() in _ROUND
    if references and all(
        _is_placed(reference, knows) or (not is_round and _is_meant(reference)) for reference in references
    ):
        return Mention(opening.start(), balanced + 1, references)
    return None


def _is_placed(reference: Reference, knows: KnowsName) -> bool:
    """Whether a name that nothing calls a source is one: known with a page or a section, or a file's with a page."""
    is_file = bool(FILE_NAME.search(reference.name))
    if knows(reference.name):
        return is_file or bool(reference.pages or reference.section)
    return is_file and bool(reference.pages)


def _is_meant(reference: Reference) -> bool:
    """Whether what stands in square brackets is meant as a citation, though no known name is in it: a page of anything,
    a file, a number with a page."""
    return bool(reference.pages) or bool(FILE_NAME.search(reference.name))


def _ends(text: str, opening: re.Match[str]) -> tuple[list[int], int | None]:
    """All places where the bracket may close on its line, and where it does by the count of brackets."""
    bracket = opening.group()[0]
    close = _CLOSING[bracket]
    depth, ends, balanced = 1, list[int](), None
    for index in range(opening.end(), min(len(text), opening.end() + _LONGEST)):
        if text[index] == "\n":
            break
        depth += (text[index] == bracket) - (text[index] == close)
        if text[index] == close:
            ends.append(index)
            if depth == 0 and balanced is None:
                balanced = index
    return ends, balanced


def _source_mention(text: str, opening: re.Match[str], knows: KnowsName) -> Mention:
    """The mention that opens here: to the first bracket that gives known names, else balanced."""
    ends, balanced = _ends(text, opening)
    for end in ends:
        references = read_references(text[opening.end() : end], knows)
        if references and all(reference.number or knows(reference.name) for reference in references):
            return Mention(opening.start(), end + 1, references)
    if not ends:  # cut off by the end of the answer, or never closed: only then the opening alone is taken
        rest = text[opening.end() :]
        end = len(text) if "\n" not in rest and len(rest) < _LONGEST else opening.end()
        return Mention(opening.start(), end, ())
    end = balanced if balanced is not None else ends[0]
    return Mention(opening.start(), end + 1, read_references(text[opening.end() : end], knows))


def _with_surroundings(text: str, mention: Mention) -> Mention:
    """The mention with the link target behind it and the bold or code marks around it."""
    start, end = mention.start, mention.end
    if text[end - 1] == "]" and (link := _LINK_TARGET.match(text, end)):
        end = link.end()
    before = re.search(r"(\*+|_+|`+)$", text[max(0, start - 3) : start])
    if before and text.startswith(before[1], end):
        start, end = start - len(before[1]), end + len(before[1])
    return replace(mention, start=start, end=end)
