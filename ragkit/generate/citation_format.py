"""One citation in words: reading what stands in its brackets as names, pages and sections, and writing it in one form.

Every form that models were seen to use is read: `a.pdf, page 3`, `a.pdf p. 3`, `pages 3-4`, `page 3 of a.pdf`,
`a.pdf:3`, `a.md, section Setup > Network`, several with `;` between them, numbers of blocks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

KnowsName = Callable[[str], bool]
"""Whether a document of this name is in the context."""

FILE_NAME = re.compile(
    r"^(?:(?!\.\s)[^\[\]{}:;\n])*\w\.(?:pdf|docx?|pptx?|xlsx?|html?|md|rst|txt|epub|eml|csv|jsonl?|odt|rtf|tex)$",
    re.IGNORECASE,
)
"""A name that can only be a file's: no sentence before it, no bracket in it."""

_PAGE_WORD = r"(?:pages?|pgs?\.?|pp?\.?|seiten?|s\.|página|páginas|pág\.?)"
_PAGE_LIST = r"\d{1,6}(?:\s*(?:,|-|–|—|and|&|to)\s*\d{1,6})*"
_PAGE = re.compile(
    rf"(?:^|[\s,;:(])\(?{_PAGE_WORD}\s*:?\s*(?P<pages>{_PAGE_LIST}|x|n/?a|none|unknown|\?)\)?$", re.IGNORECASE
)
_PAGE_OF = re.compile(rf"^{_PAGE_WORD}\s*(?P<pages>{_PAGE_LIST})\s+(?:of|in|from)\s+(?P<name>.+)$", re.IGNORECASE)
_BARE_PAGE = re.compile(rf"(?<=\w)\s*[:,]\s*(?P<pages>{_PAGE_LIST})$")
_WITHIN_PAGE = re.compile(r"\s*[,;]?\s*(?:paragraphs?|para\.?|lines?|sentences?|¶)\s*[\d,\s-]+$", re.IGNORECASE)
_SECTION = re.compile(r"(?:^|[\s,;:(])\(?(?:section\b|sect?\.|chapter\b|heading\b|§)\s*:?\s*", re.IGNORECASE)
_SEMICOLON = re.compile(";")
_ANY_SEPARATOR = re.compile(r"(?<=\d)\s*,\s*(?=\D)|;|\s+and\s+(?!\d)")
_NUMBER_PREFIX = re.compile(r"^\[?\d{1,3}\]?[\s.:]+(?=document\b)", re.IGNORECASE)
_LABEL = re.compile(r"^(?:sources?|documents?|document_name|file)\s*[:：]\s*", re.IGNORECASE)
_BLOCK = re.compile(
    r"^(?:(?:block|passage|document|doc\.?|source)\s*)?(?:#?(?P<number>\d{1,3})|\[(?P<bracketed>\d{1,3})\])$",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Reference:
    """One place that a citation names. `number` is a block number of the prompt, counted from 1."""

    text: str
    name: str = ""
    pages: tuple[int, ...] = ()
    section: str | None = None
    number: int | None = None


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
    for comma in re.finditer(",", body):  # "a.md, Setup": a heading that nothing calls one
        if knows(name := _bare(body[: comma.start()])):
            return (Reference(body, name, (), _bare(body[comma.end() :])),)
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
    if reversed_order := _PAGE_OF.match(bare):
        yield Reference(text, _bare(reversed_order["name"]), expand(reversed_order["pages"]))
    for head, pages in _cut_page(bare):
        yield Reference(text, _bare(head), pages)
        for match in _SECTION.finditer(head):
            section = _bare(head[match.end() :])
            for name, earlier_pages in _cut_page(_bare(head[: match.start()])):
                yield Reference(text, _bare(name), pages or earlier_pages, section)


def _cut_page(text: str) -> list[tuple[str, tuple[int, ...]]]:
    ways: list[tuple[str, tuple[int, ...]]] = [(text, ())]
    shorter = _WITHIN_PAGE.sub("", text)
    if match := _PAGE.search(shorter):
        ways.append((shorter[: match.start()], expand(match["pages"])))
    elif (match := _BARE_PAGE.search(text)) and FILE_NAME.search(text[: match.start()]):
        ways.append((text[: match.start()], expand(match["pages"])))
    return ways


def _bare(text: str) -> str:
    return text.strip(" \t,;:(*_`\"'")


def expand(numbers: str) -> tuple[int, ...]:
    """The numbers of a list with ranges, each once, in order; of a range of over 50 only the ends.

    >>> expand("1, 3-5 and 4"), expand("x")
    ((1, 3, 4, 5), ())
    """
    found: list[int] = []
    for first, last in re.findall(r"(\d+)(?:\s*(?:-|–|—|to)\s*(\d+))?", numbers):
        low, high = int(first), int(last or first)
        found += range(low, high + 1) if low <= high <= low + 50 else (low, high)
    return tuple(dict.fromkeys(found))
