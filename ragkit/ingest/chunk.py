"""Cut a document into chunks: whole sentences, within the token budget, at the best places.

All three strategies pack the same pieces (sentences, list items, table rows, lines of code) and differ in where a
chunk may end: `fixed_size` wherever the budget is full, `recursive` at headings, else paragraphs, else sentences,
`semantic` at headings, else where the topic turns, else as `recursive`.
"""

from __future__ import annotations

import hashlib
import math
import uuid
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ragkit.config.schema import Chunking
from ragkit.embed.tokens import TokenCounter, tokens_between
from ragkit.ingest.headings import section_at
from ragkit.ingest.sentences import split_units
from ragkit.ingest.topics import SentenceEncoder, gap_depths, topic_breaks
from ragkit.types import Chunk, Document, MetadataValue

# How good a place before a piece is to end a chunk.
_AFTER_HEADING = -1.0
_IN_BLOCK_OF_LINES = 0.25
_BEFORE_TABLE = 0.5
_SENTENCE = 1.0
_PARAGRAPH = 2.0
_TOPIC = 3.0
_SECTION = 5.0

# Shares of chunk_size that a chunk must have before it ends at a heading or at a topic break.
_LEAST_SECTION = 0.12
_LEAST_TOPIC = 0.5

_LONGEST_PIECE = 24
"""Characters per token of budget beyond which a piece is cut even if it counts as few tokens."""


@dataclass(frozen=True, slots=True)
class _Piece:
    start: int
    end: int
    tokens: int
    section: int
    block: int
    lines: bool


def chunk_document(
    document: Document, chunking: Chunking, tokens: TokenCounter, encoder: SentenceEncoder | None = None
) -> list[Chunk]:
    """The chunks of a document in reading order.

    `tokens` is the embedding model's tokenizer; `encoder` gives sentence vectors and is needed by `semantic`.
    Every chunk satisfies `document.text[c.start:c.end] == c.text`; text between chunks is white space only; no chunk
    has more than `chunk_size` tokens; none starts or ends inside a sentence that fits the budget.
    """
    pieces = _pieces(document, chunking, tokens)
    if not pieces:
        return []
    strengths, smallest = _break_strengths(document, pieces, chunking, encoder)
    spans = _pack(document.text, pieces, strengths, smallest, chunking, tokens)
    return [_chunk(document, start, end, count, chunking, tokens) for start, end, count in spans]


def _pieces(document: Document, chunking: Chunking, tokens: TokenCounter) -> list[_Piece]:
    text = document.text
    starts = tokens.starts(text)
    offsets = [section.offset for section in document.sections]
    pieces: list[_Piece] = []
    for unit in split_units(text, chunking.language):
        # A heading begins a piece of its own even where the splitter ran it into the line before.
        inner = offsets[bisect_right(offsets, unit.start) : bisect_left(offsets, unit.end)]
        for left, right in pairwise([unit.start, *inner, unit.end]):
            begin, end = _strip(text, left, right)
            if begin == end:
                continue
            for part_start, part_end in _parts(text, begin, end, starts, chunking.chunk_size):
                pieces.append(
                    _Piece(
                        part_start,
                        part_end,
                        tokens_between(starts, part_start, part_end),
                        bisect_right(offsets, part_start),
                        unit.block,
                        unit.kind in ("table", "code"),
                    )
                )
    return pieces


def _strip(text: str, start: int, end: int) -> tuple[int, int]:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end


def _parts(text: str, start: int, end: int, starts: Sequence[int], budget: int) -> list[tuple[int, int]]:
    """One span, or several if a single sentence exceeds the budget: cut at token starts, at blanks if there are any."""
    longest = budget * _LONGEST_PIECE
    parts: list[tuple[int, int]] = []
    while tokens_between(starts, start, end) > budget or end - start > longest:
        first = bisect_left(starts, start)
        limit = min(starts[first + budget] if first + budget < len(starts) else end, start + longest, end)
        blank = max((index for index in range(limit, start, -1) if text[index - 1].isspace()), default=limit)
        cut = blank if blank > start + (limit - start) // 2 else limit
        left, right = _strip(text, start, cut)
        if left < right:
            parts.append((left, right))
        start, _ = _strip(text, cut, end)
    if start < end:
        parts.append((start, end))
    return parts


def _break_strengths(
    document: Document, pieces: list[_Piece], chunking: Chunking, encoder: SentenceEncoder | None
) -> tuple[list[float], list[float]]:
    """For each piece how good it is to begin a chunk with it, and from which size on a chunk ends before it."""
    offsets = {section.offset for section in document.sections}
    strengths = [_SECTION]
    smallest = [math.inf]
    for before, piece in pairwise(pieces):
        new_section = piece.section != before.section
        after_heading = before.start in offsets and chunking.strategy != "fixed_size"
        if chunking.strategy == "fixed_size":
            strengths.append(_SENTENCE)
        elif after_heading:
            strengths.append(_AFTER_HEADING)
        elif new_section:
            strengths.append(_SECTION)
        elif piece.block == before.block:
            strengths.append(_IN_BLOCK_OF_LINES if piece.lines else _SENTENCE)
        else:
            strengths.append(_BEFORE_TABLE if piece.lines else _PARAGRAPH)
        structured = new_section and not after_heading and chunking.strategy != "fixed_size"
        smallest.append(chunking.chunk_size * _LEAST_SECTION if structured else math.inf)
    whole = _sections_that_fit(pieces, chunking.chunk_size)
    if chunking.strategy == "semantic" and encoder is not None and not all(whole):
        depths = gap_depths(encoder.encode([document.text[p.start : p.end] for p in pieces]), chunking.window)
        for index in np.flatnonzero(topic_breaks(depths, chunking.breakpoint_percentile)).tolist():
            if strengths[index] >= _SENTENCE and not whole[index]:
                strengths[index] = max(strengths[index], _TOPIC + float(depths[index]) / 4)
                smallest[index] = min(smallest[index], chunking.chunk_size * _LEAST_TOPIC)
    return strengths, smallest


def _sections_that_fit(pieces: list[_Piece], budget: int) -> list[bool]:
    """For each piece whether its whole section fits one chunk, so that there is no reason to look for topics in it."""
    sizes: dict[int, int] = {}
    for piece in pieces:
        sizes[piece.section] = sizes.get(piece.section, 0) + piece.tokens
    return [sizes[piece.section] <= budget for piece in pieces]


def _pack(
    text: str,
    pieces: list[_Piece],
    strengths: list[float],
    smallest: list[float],
    chunking: Chunking,
    tokens: TokenCounter,
) -> list[tuple[int, int, int]]:
    """Spans (start, end, tokens) of the chunks: greedy from the left, ending at the best break of the second half."""
    budget = chunking.chunk_size
    spans: list[tuple[int, int, int]] = []
    first = fresh = 0
    while fresh < len(pieces):
        last, size = first, 0
        while last < len(pieces) and (size + pieces[last].tokens <= budget or last == first):
            size += pieces[last].tokens
            last += 1
            if last < len(pieces) and last > fresh and size >= smallest[last]:
                break
        else:
            if last < len(pieces):
                last = _best_end(pieces, strengths, first, fresh, last, budget)
        # Slices of a byte-pair tokenizer can count one more than the whole: the exact count decides.
        count = tokens.count(text[pieces[first].start : pieces[last - 1].end])
        while count > budget and last - 1 > max(first, fresh):
            last -= 1
            count = tokens.count(text[pieces[first].start : pieces[last - 1].end])
        if count > budget and first < fresh:
            first = fresh
            continue
        if (earlier := _before_heading(strengths, fresh, last)) < last:
            last = earlier
            count = tokens.count(text[pieces[first].start : pieces[last - 1].end])
        if count <= budget:
            spans.append((pieces[first].start, pieces[last - 1].end, count))
        else:
            spans.extend(_halves(text, pieces[first].start, pieces[first].end, budget, tokens))
        first, fresh = _overlap_start(text, pieces, first, last, chunking, tokens), last
    return spans


def _before_heading(strengths: list[float], fresh: int, last: int) -> int:
    """An earlier end for a chunk that would end with a heading, if there is one that leaves it a fresh piece."""
    end = last
    while end < len(strengths) and strengths[end] == _AFTER_HEADING:
        end -= 1
    return end if end > fresh else last


def _halves(text: str, start: int, end: int, budget: int, tokens: TokenCounter) -> list[tuple[int, int, int]]:
    """Cut in two, at a blank near the middle if there is one, until every part counts within the budget.

    For what a tokenizer counts otherwise alone than in its context: parts of a word too long for its vocabulary.
    """
    start, end = _strip(text, start, end)
    count = tokens.count(text[start:end])
    if count <= budget or end - start < 2:
        return [(start, end, count)] if start < end else []
    middle = (start + end) // 2
    near = range(middle, start + (middle - start) // 2, -1)
    cut = next((index for index in near if text[index - 1].isspace()), middle)
    return _halves(text, start, cut, budget, tokens) + _halves(text, cut, end, budget, tokens)


def _best_end(pieces: list[_Piece], strengths: list[float], first: int, fresh: int, last: int, budget: int) -> int:
    """The strongest break between half the budget and `last`; of equals the latest."""
    best, size = last, 0
    strength = -2.0
    for index in range(first, last):
        size += pieces[index].tokens
        end = index + 1
        if end > fresh and size * 2 >= budget and end < len(pieces) and strengths[end] >= strength:
            best, strength = end, strengths[end]
    return best


def _overlap_start(
    text: str, pieces: list[_Piece], first: int, last: int, chunking: Chunking, tokens: TokenCounter
) -> int:
    """Where the next chunk begins: as many whole pieces back as the overlap allows, within the section."""
    if last >= len(pieces):
        return last
    start, size = last, 0
    room = min(chunking.overlap, chunking.chunk_size - pieces[last].tokens)
    while (
        start - 1 > first
        and size + pieces[start - 1].tokens <= room
        and (chunking.strategy == "fixed_size" or pieces[start - 1].section == pieces[last].section)
    ):
        start -= 1
        size += pieces[start].tokens
    while start < last and tokens.count(text[pieces[start].start : pieces[last - 1].end]) > chunking.overlap:
        start += 1
    return start


def _chunk(document: Document, start: int, end: int, count: int, chunking: Chunking, tokens: TokenCounter) -> Chunk:
    section = section_at(document.sections, start)
    metadata: dict[str, MetadataValue] = {**document.metadata}
    metadata |= {"source_document": document.source, "title": document.title}
    first_page = bisect_right(document.pages, start)
    last_page = bisect_left(document.pages, end)
    if document.pages:
        metadata["page_number"] = first_page
    if last_page > first_page:
        metadata["page_end"] = last_page
    if section:
        metadata["section_heading"] = " > ".join(section.path)
    if document.date_created:
        metadata["date_created"] = document.date_created
    text = document.text[start:end]
    header = (
        contextual_header(document.title, section.path if section else (), chunking.header_tokens, tokens)
        if chunking.contextual_header
        else ""
    )
    if header and text.casefold().startswith(header.casefold()):
        header = ""
    return Chunk(
        id=_chunk_id(document.id, start, text, header),
        document_id=document.id,
        text=text,
        start=start,
        end=end,
        token_count=count,
        metadata=metadata,
        header=header,
        page_starts=document.pages[first_page:last_page],
    )


def contextual_header(title: str, path: Sequence[str], budget: int, tokens: TokenCounter) -> str:
    """Title and heading trail in at most `budget` tokens; the outer headings are dropped first.

    The idea is that of Anthropic's "Contextual Retrieval" (2024) without the language model.
    """
    # Hardly a word is less than a token, so no more than `budget` words fit; what a parser takes for a heading may be
    # a page long.
    trail = [" ".join(part.split(maxsplit=budget)[:budget]) for part in (title, *path)]
    trail = [part for part in trail if part]
    if len(trail) > 1 and trail[0].casefold() == trail[1].casefold():
        trail = trail[1:]
    while len(trail) > 2 and tokens.count(" > ".join(trail)) > budget:
        del trail[1]
    header = " > ".join(trail)
    words = header.split()
    while words and tokens.count(header) > budget:
        words.pop()
        header = " ".join(words)
    return header


def _chunk_id(document_id: str, start: int, text: str, header: str) -> str:
    """Deterministic, and different for any change of place, text or header. A UUID because stores ask for one."""
    digest = hashlib.sha256("\x00".join((document_id, str(start), text, header)).encode("utf-8", "surrogatepass"))
    return str(uuid.UUID(bytes=digest.digest()[:16]))
