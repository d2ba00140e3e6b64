"""Reading citations out of any generator's text, and writing them in one form.

Every form that models were seen to use is read: `[Source: a.pdf, page 3]`, `[source: a.pdf p. 3]`, `pages
3-4`, `[Source: a.md, section Setup > Network]`, several in one bracket (`;`), block numbers (`[1]`, `[1,
2]`, `[Source: 1]`, `【1†source】`), a name alone (`[a.pdf, page 3]`, `(a.pdf, p. 3)`), in square, full-width or round
brackets, bold or not; and a list of sources at the end.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

KnowsName = Callable[[str], bool]
"""Whether a document of this name is in the context."""

_CLOSING = {"[": "]", "【": "】", "(": ")", "［": "］"}
_DEEPEST = 4  # brackets in a name
_LONGEST = 400  # characters of one bracket; beyond this, an opening bracket was never closed

_SOURCE_OPENING = re.compile(r"[\[【(［][^\S\n]*[*_]*sources?[*_]*[^\S\n]*[:：][^\S\n]*", re.IGNORECASE)
_NUMBERS = re.compile(
    r"[\[【［]\s*(?:(?:source|document|doc)\s*)?\^?"
    # Four digits up to 2199 are a year.
    r"(?P<numbers>(?:\d{1,3}(?:\s*(?:,|;|-|–|and|&)\s*\d{1,3})*|2[2-9]\d\d|[3-9]\d{3}|\d{5,9}))"
    r"\s*(?:†[^\]】］\n]{0,80})?[\]】］]",
    re.IGNORECASE,
)
_BRACKET = re.compile(r"[\[【(［]")
_FILE_NAME = re.compile(r"\w\.[A-Za-z][A-Za-z0-9]{1,4}$")
_LINK_TARGET = re.compile(r"\((?:https?:|#|/)[^)\s]*\)")  # an invented link behind the bracket
_CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`", re.DOTALL)

_PAGE_LIST = r"\d{1,6}(?:\s*(?:,|-|–|—|and|&|to)\s*\d{1,6})*"
_PAGE = re.compile(
    rf"(?:^|[\s,;:(])\(?(?:pages?|pgs?\.?|pp?\.?)\s*:?\s*(?P<pages>{_PAGE_LIST}|x|n/?a|none|unknown|\?)\)?$",
    re.IGNORECASE,
)
_SECTION = re.compile(r"(?:^|[\s,;:(])\(?(?:section\b|sect?\.|chapter\b|heading\b|§)\s*:?\s*", re.IGNORECASE)
_SEMICOLON = re.compile(";")
_ANY_SEPARATOR = re.compile(r"(?<=\d)\s*,\s*(?=\D)|;|\s+and\s+(?!\d)")
_NUMBER_PREFIX = re.compile(r"^\[?\d{1,3}\]?[\s.:]+(?=document\b)", re.IGNORECASE)
_LABEL = re.compile(r"^(?:sources?|documents?|document_name|file)\s*[:：]\s*", re.IGNORECASE)
_BLOCK = re.compile(
    r"^(?:(?:block|document|doc\.?|source)\s*)?(?:#?(?P<number>\d{1,3})|\[(?P<bracketed>\d{1,3})\])$",
    re.IGNORECASE,
)
_LIST_HEADING = re.compile(
    r"^[ \t]*[#*_>-]*[ \t]*(?:sources?|references?|citations?)[*_]*[ \t]*(?:[:：][*_]*|$)[ \t]*(?P<first>[^\n]*)",
    re.IGNORECASE | re.MULTILINE,
)
_ITEM_MARK = re.compile(r"^\s*(?:[-*•]|\d{1,3}[.)]|\[\^?\d{1,3}\][:.]?(?=\s*\w))\s*")


@dataclass(frozen=True, slots=True)
class Reference:
    """One place that a citation names. `number` is a block number of the prompt, counted from 1."""

    text: str
    name: str = ""
    pages: tuple[int, ...] = ()
    section: str | None = None
    number: int | None = None


@dataclass(frozen=True, slots=True)
class Mention:
    """A citation in a text: the characters it takes up, and the references in it."""

    start: int
    end: int
    references: tuple[Reference, ...]


def format_citation(name: str, page: int | None, section: str | None) -> str:
    """The canonical citation of a place. Brackets in a heading are left out, for they would end the citation.

    >>> format_citation("a.pdf", 3, "Setup"), format_citation("a.md", None, "Setup > Network")
    ('[Source: a.pdf, page 3]', '[Source: a.md, section Setup > Network]')
    """
    name = " ".join(name.split())
    if page is not None:
        return f"[Source: {name}, page {page}]"
    heading = " ".join(re.sub(r"[\[\]【】［］;]", " ", section or "").split())
    return f"[Source: {name}, section {heading}]" if heading else f"[Source: {name}]"


def find_mentions(text: str, knows: KnowsName) -> list[Mention]:
    """All citations of the text, in order, without overlaps.

    A `[Source:` that is never closed is one without references. Numbers in brackets inside code are left
    alone. Bold marks and link targets around a citation belong to it.

    >>> [mention] = find_mentions("It is so **[source: a.pdf p. 3]**.", {"a.pdf"}.__contains__)
    >>> mention.start, mention.references[0].pages
    (9, (3,))
    """
    found: list[Mention] = []
    for match in _SOURCE_OPENING.finditer(text):
        if not found or match.start() >= found[-1].end:
            found.append(_source_mention(text, match, knows))
    taken = bytearray(len(text))  # 1 for each character of a citation that was found, or of code

    def take(start: int, end: int) -> bool:
        is_free = not any(taken[start:end])
        if is_free:
            taken[start:end] = b"\1" * (end - start)
        return is_free

    for start, end in [(mention.start, mention.end) for mention in found] + [m.span() for m in _CODE.finditer(text)]:
        taken[start:end] = b"\1" * (end - start)
    for match in _NUMBERS.finditer(text):
        if take(*match.span()):
            references = tuple(Reference(match.group(), number=number) for number in _expand(match["numbers"]))
            found.append(Mention(match.start(), match.end(), references))
    for match in _BRACKET.finditer(text):
        if not taken[match.start()]:
            mention = _bare_mention(text, match, knows)
            if mention is not None and take(mention.start, mention.end):
                found.append(mention)
    return [_with_surroundings(text, mention) for mention in sorted(found, key=lambda mention: mention.start)]


def without_citations(text: str, documents: set[str]) -> str:
    """The text without citations of these documents; numbers in brackets, which name none, stay.

    >>> without_citations("It lasts 10 hours [Source: a.pdf, page 3]. See [1].", {"a.pdf"})
    'It lasts 10 hours. See [1].'
    """
    for mention in reversed(find_mentions(text, documents.__contains__)):
        if any(reference.name in documents for reference in mention.references):
            text = text[: mention.start].rstrip(" ") + text[mention.end :]
    return text.strip()


def closing_list(text: str, knows: KnowsName) -> tuple[int, tuple[Reference, ...]] | None:
    """Where a list of sources at the end begins, and what it lists; None without one.

    Its lines give nothing but names, pages and sections; a heading with other text below it is none.

    >>> closing_list("Ten hours.\\n\\nSources:\\n- a.pdf, page 3\\n- b.md", {"a.pdf", "b.md"}.__contains__)[0]
    12
    >>> closing_list("Sources: two people who were there.", {"a.pdf"}.__contains__)
    """
    for heading in reversed(list(_LIST_HEADING.finditer(text))):
        lines = [heading["first"], *text[heading.end() :].split("\n")]
        items = [_item(line, knows) for line in lines if line.strip(" \t*_")]
        if all(items):
            return heading.start(), tuple(reference for item in items for reference in item)
    return None


def _item(line: str, knows: KnowsName) -> tuple[Reference, ...]:
    """The references of a line of a list of sources; () if it says something else."""
    bare = _ITEM_MARK.sub("", line).strip().rstrip(".")
    mentions = find_mentions(bare, knows)
    if mentions and not any(map(str.isalpha, _outside(bare, mentions))):
        return tuple(reference for mention in mentions for reference in mention.references)
    references = read_references(bare, knows)
    return references if all(_is_placed(reference, knows) for reference in references) else ()


def _outside(text: str, mentions: list[Mention]) -> str:
    for mention in reversed(mentions):
        text = text[: mention.start] + text[mention.end :]
    return text


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
    is_round = opening.group() == "("
    if references and all(
        _is_placed(reference, knows) or (reference.name and reference.pages and not is_round)
        for reference in references
    ):
        return Mention(opening.start(), balanced + 1, references)
    return None


def _is_placed(reference: Reference, knows: KnowsName) -> bool:
    """Whether a name that nothing calls a source is one: known with a page or a section, or a file's with a page."""
    is_file = bool(_FILE_NAME.search(reference.name))
    if knows(reference.name):
        return is_file or bool(reference.pages or reference.section)
    return is_file and bool(reference.pages)


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


def read_references(body: str, knows: KnowsName) -> tuple[Reference, ...]:
    """What stands behind "Source:", as references: names may hold commas and semicolons if they are known.

    >>> known = {"a.pdf", "b, c.pdf"}.__contains__
    >>> [(r.name, r.pages) for r in read_references("a.pdf, page 3; b, c.pdf, pages 4-6", known)]
    [('a.pdf', (3,)), ('b, c.pdf', (4, 5, 6))]
    """
    body = body.strip()
    whole = _read_one(body, knows)
    if not body or whole.number or knows(whole.name):
        return (whole,) if body else ()
    for separator in (_SEMICOLON, _ANY_SEPARATOR):
        references: list[Reference] = []
        for part in filter(str.strip, separator.split(body)):
            reference = _read_one(part.strip(), knows)
            if not reference.name and reference.number is None and references:  # "a.pdf, page 3; page 5"
                reference = replace(reference, name=references[-1].name, number=references[-1].number)
            references.append(reference)
        all_known = all(reference.number or knows(reference.name) for reference in references)
        if len(references) > 1 and (all_known or separator is _SEMICOLON):
            return tuple(references)
    return (whole,)


def _read_one(text: str, knows: KnowsName) -> Reference:
    """One reference: of all ways to cut it into name, page and section, the first with a known name."""
    bare = _bare(_LABEL.sub("", _NUMBER_PREFIX.sub("", _LABEL.sub("", _bare(text)))))
    readings = list(_readings(text, bare))
    for reading in readings:
        if knows(reading.name):
            return reading
    for reading in readings:
        if block := _BLOCK.match(reading.name):
            return replace(reading, name="", number=int(block["number"] or block["bracketed"]))
    # Nobody's name: the reading with the most cut off says best what was meant.
    return min(readings, key=lambda reading: len(reading.name))


def _readings(text: str, bare: str) -> Iterator[Reference]:
    for head, pages in _cut_page(bare):
        yield Reference(text, _bare(head), pages)
        for match in _SECTION.finditer(head):
            section = _bare(head[match.end() :])
            for name, earlier_pages in _cut_page(_bare(head[: match.start()])):
                yield Reference(text, _bare(name), pages or earlier_pages, section)


def _cut_page(text: str) -> list[tuple[str, tuple[int, ...]]]:
    match = _PAGE.search(text)
    if match is None:
        return [(text, ())]
    return [(text, ()), (text[: match.start()], _expand(match["pages"]))]


def _bare(text: str) -> str:
    return text.strip(" \t,;:(*_`\"'")


def _expand(numbers: str) -> tuple[int, ...]:
    """The numbers of a list with ranges, each once, in order; of a range of over 50 only the ends.

    >>> _expand("1, 3-5 and 4"), _expand("x")
    ((1, 3, 4, 5), ())
    """
    found: list[int] = []
    for first, last in re.findall(r"(\d+)(?:\s*(?:-|–|—|to)\s*(\d+))?", numbers):
        low, high = int(first), int(last or first)
        found += range(low, high + 1) if low <= high <= low + 50 else (low, high)
    return tuple(dict.fromkeys(found))


def _with_surroundings(text: str, mention: Mention) -> Mention:
    """The mention with the link target behind it and the bold or code marks around it."""
    start, end = mention.start, mention.end
    if link := _LINK_TARGET.match(text, end):
        end = link.end()
    before = re.search(r"(\*+|_+|`+)$", text[max(0, start - 3) : start])
    if before and text.startswith(before[1], end):
        start, end = start - len(before[1]), end + len(before[1])
    return replace(mention, start=start, end=end)
