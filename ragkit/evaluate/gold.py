"""Where the labelled evidence of a question stands in this index: which characters, and which chunks hold them.

Labels name documents, pages and quotes, never chunks: chunks change with the config, and a set of questions must
outlive that.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from ragkit.evaluate.cases import Case, Evidence
from ragkit.evaluate.words import contains
from ragkit.generate.support import CJK
from ragkit.store import StoreReader
from ragkit.store.manifest import Manifest
from ragkit.types import Chunk, Document

Range = tuple[int, int]

_HOLDS = 0.5
"""Share of the shorter of evidence and chunk that must lie in both for the chunk to hold the evidence."""
_MARKS = frozenset("*_`|#>~\\")
_SAME = str.maketrans("‘’‚“”„–—‑−\u00ad", "'''\"\"\"----\u0000")
_DOCUMENTS_KEPT = 16
_UNPARTED = re.compile(rf"[{CJK}]")


@dataclass(frozen=True, slots=True)
class Gold:
    """One piece of evidence as the index has it.

    `document` is the name in the index, or the labelled one when the index has no such document (`document_id` None).
    `ranges` are the characters where it stands (several when the quote occurs more than once, any will do), empty when
    the document's text does not hold it. `pages` are those of the ranges, or the labelled ones. `chunks` are the ids
    of the chunks that hold it, and `whole` says whether one of them holds all of it, or at least an answer.
    """

    document: str
    document_id: str | None
    ranges: tuple[Range, ...] = ()
    pages: tuple[int, ...] = ()
    chunks: frozenset[str] = frozenset()
    whole: bool = False
    grade: int = 1

    @property
    def found(self) -> bool:
        return bool(self.ranges)


class GoldFinder:
    """Looks labels up in one opened index; keeps the documents that it read last."""

    def __init__(self, manifest: Manifest, store: StoreReader) -> None:
        self._manifest = manifest
        self._names = {entry.name: entry.id for entry in manifest.entries()}
        self._chunks_of = lru_cache(_DOCUMENTS_KEPT)(store.chunks_of)
        self._document = lru_cache(_DOCUMENTS_KEPT)(manifest.document)
        self._names_of = lru_cache(None)(self._resolved)

    def find(self, case: Case) -> tuple[Gold, ...]:
        """Each piece of the case's evidence, in its order, but for what is graded 0: not relevant."""
        return tuple(self._find(evidence, case.answers) for evidence in case.evidence if evidence.grade > 0)

    def _find(self, evidence: Evidence, answers: Sequence[str]) -> Gold:
        documents = [self._document(self._names[name]) for name in self._names_of(evidence.document)]
        placed = [(document, ranges_of(evidence, document)) for document in documents if document is not None]
        # Of the rows of a file the one that has the quote is meant.
        document, ranges = next((each for each in placed if each[1]), placed[0] if placed else (None, ()))
        if document is None:
            return Gold(evidence.document, None, pages=evidence.pages, grade=evidence.grade)
        holding = [chunk for chunk in self._chunks_of(document.id) if holds(chunk, ranges)]
        # Of a whole document or page no chunk can be expected to hold all.
        wide = not evidence.quote and evidence.start is None
        return Gold(
            document=document.source,
            document_id=document.id,
            ranges=ranges,
            pages=pages_of(document.pages, ranges) or evidence.pages,
            chunks=frozenset(chunk.id for chunk in holding),
            whole=wide or any(_has_all(chunk, ranges) or contains(chunk.text, answers) for chunk in holding),
            grade=evidence.grade,
        )

    def _resolved(self, document: str) -> list[str]:
        """The names in the index: the labelled one, the only one that ends with it, or the rows of that file."""
        if document in self._names:
            return [document]
        ending = [name for name in self._names if name.endswith(f"/{document}") or document.endswith(f"/{name}")]
        if len(ending) == 1:
            return ending
        return [name for name in self._names if name.startswith(f"{document}#") or f"/{document}#" in name]


def ranges_of(evidence: Evidence, document: Document) -> tuple[Range, ...]:
    """The characters of a document that a piece of evidence means; empty when they are not there."""
    length = len(document.text)
    if evidence.start is not None and evidence.end is not None:
        return ((evidence.start, evidence.end),) if evidence.end <= length else ()
    if evidence.quote:
        found = find_quote(document.text, evidence.quote)
        on_page = [each for each in found if page_at(document.pages, each[0]) in evidence.pages]
        return tuple(on_page or found)
    if evidence.pages and document.pages:
        ends = [*document.pages[1:], length]
        pages = [page for page in evidence.pages if page <= len(document.pages)]
        return tuple((document.pages[page - 1], ends[page - 1]) for page in pages)
    return ((0, length),) if length else ()


def find_quote(text: str, quote: str) -> list[Range]:
    """Where a quote stands in a text, white space, case, Markdown's marks and the shape of dashes aside.

    Numbers are whole: "8 hours" does not stand in "18 hours", nor "5 °C" in "-5 °C". A place that cuts a word counts
    only where no other is: "1960" may be labelled in "the 1960s".

    >>> find_quote("| Canada | 2.4% |\\n| **Mexico** | 8.3% |", "mexico 8.3%")
    [(22, 37)]
    >>> find_quote("It lasts 18 hours and charges in 8 hours.", "8 hours")
    [(33, 40)]
    """
    letters, offsets = _bare(text)
    wanted, _ = _bare(quote)
    found: list[Range] = []
    cut: list[Range] = []
    at = letters.find(wanted) if wanted else -1
    while at >= 0:
        start, end = offsets[at], offsets[at + len(wanted) - 1] + 1
        if _cuts_a_number(text, start, end):
            at = letters.find(wanted, at + 1)
            continue
        (cut if _cuts_a_word(text, start, end) else found).append((start, end))
        at = letters.find(wanted, at + len(wanted))
    return found or cut


def _cuts_a_number(text: str, start: int, end: int) -> bool:
    """Whether one end lies within a number, or leaves its sign out."""
    first, last = text[start], text[end - 1]
    if first.isdigit() and re.search(r"(?:\d[.,]?|(?<!\w)[-\u2212\u2013])$", text[max(0, start - 2) : start]):
        return True
    return last.isdigit() and re.match(r"[.,]?\d", text[end : end + 2]) is not None


def _cuts_a_word(text: str, start: int, end: int) -> bool:
    """Whether one end lies within a word of a script that parts words."""
    ends = (text[max(0, start - 1) : start + 1], text[end - 1 : end + 1])
    return any(len(pair) == 2 and pair.isalnum() and not _UNPARTED.search(pair) for pair in ends)


@lru_cache(_DOCUMENTS_KEPT)
def _bare(text: str) -> tuple[str, list[int]]:
    """The characters that count, and the offset of each in the text."""
    kept: list[str] = []
    offsets: list[int] = []
    for offset, sign in enumerate(text.translate(_SAME)):
        if sign.isspace() or sign in _MARKS or sign == "\u0000":
            continue
        for letter in sign.casefold():  # one sign may become two letters
            kept.append(letter)
            offsets.append(offset)
    return "".join(kept), offsets


def holds(chunk: Chunk, ranges: Sequence[Range]) -> bool:
    """Whether the chunk holds at least half of one of the ranges, or lies in it with at least half of itself."""
    for start, end in ranges:
        shared = min(end, chunk.end) - max(start, chunk.start)
        if shared > 0 and shared >= _HOLDS * min(end - start, chunk.end - chunk.start):
            return True
    return False


def overlap(start: int, end: int, ranges: Sequence[Range]) -> int:
    """Characters of `start:end` that lie in one of the ranges, which do not overlap one another."""
    return sum(max(0, min(end, stop) - max(start, begin)) for begin, stop in ranges)


def pages_of(pages: Sequence[int], ranges: Sequence[Range]) -> tuple[int, ...]:
    """The pages that the ranges begin on, each once; empty in a document without pages."""
    return tuple(sorted({bisect_right(pages, start) for start, _ in ranges})) if pages else ()


def page_at(pages: Sequence[int], offset: int) -> int | None:
    """The page (from 1) of a character, None in a document without pages."""
    return bisect_right(pages, offset) if pages else None


def _has_all(chunk: Chunk, ranges: Sequence[Range]) -> bool:
    return any(chunk.start <= start and end <= chunk.end for start, end in ranges)
