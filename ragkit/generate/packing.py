"""Fit the evidence into the prompt's budget: whole passages, best first, or only the sentences nearest to the question.

With `generation.packing: sentences` more passages are read and less of each: the sentences that share most of the
question's rarer terms, or stand beside one that does, as many as the budget has room for. What stands there twice, word
for word, goes in once, from the better passage. Sentences in a row are a passage of their own, the document's text from
its `start` to its `end`, so that citations stay exact. `scripts/measure_packing.py` says what of the answers stays in.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ragkit.config.schema import Generation
from ragkit.generate.prompt import Packed, SplitSentences, left_out, pack, render_blocks
from ragkit.generate.sentence_terms import term_shares
from ragkit.types import Chunk, MetadataValue, ScoredChunk

_BESIDE = 0.5
"""Part of its better neighbour's share of the question's terms that a sentence is worth more."""
_BY_RANK = 0.1
"""What a sentence loses for each unit of the logarithm of its passage's rank."""
_BLOCK = re.compile(r"(?:^[ \t]*\|.*(?:\n|\Z))+|^```.*?(?:^```.*?$|\Z)", re.MULTILINE | re.DOTALL)
"""A table or a piece of code: its lines say nothing by themselves."""


@dataclass(frozen=True, slots=True)
class _Piece:
    """A sentence: the number of its chunk, its own in there, its characters of the chunk, its share of the question's
    terms, and all that speaks for it."""

    chunk: int
    number: int
    start: int
    end: int
    share: float
    score: float


def packed_for(
    question: str,
    results: Sequence[ScoredChunk],
    config: Generation,
    budget_tokens: int,
    count: Callable[[str], int],
    split_sentences: SplitSentences,
) -> Packed:
    """What of the results goes into the prompt, by `generation.packing`; arguments and errors are those of `pack`."""
    packed = Packed((), (), 0)
    if config.packing == "sentences":
        packed = _sentences(question, results[: config.context_chunks], config, budget_tokens, count, split_sentences)
    if not packed.chunks:
        packed = pack(results, budget_tokens, config.context_chunks, count, split_sentences, config.citations)
    if config.order == "rank":
        return packed
    return replace(packed, chunks=tuple(sorted(packed.chunks, key=lambda chunk: (chunk.source_document, chunk.start))))


def _sentences(
    question: str,
    results: Sequence[ScoredChunk],
    config: Generation,
    budget: int,
    count: Callable[[str], int],
    split_sentences: SplitSentences,
) -> Packed:
    chunks = [result.chunk for result in results]

    def cost_of(runs: Sequence[Chunk]) -> int:
        return count(render_blocks(runs, config.citations))

    pieces = sorted(_pieces(question, chunks, split_sentences), key=lambda piece: -piece.score)
    if not any(piece.share for piece in pieces):  # words that nobody could part, or of another language
        return Packed((), tuple(chunks), 0)
    around = [cost_of([replace(chunk, text="")]) for chunk in chunks]
    chosen: dict[tuple[int, int], _Piece] = {}
    spent = 0
    said: set[str] = set()
    for piece in pieces:
        text = chunks[piece.chunk].text[piece.start : piece.end]
        same = " ".join(text.casefold().split())
        beside = sum((piece.chunk, piece.number + step) in chosen for step in (-1, 1))
        cost = count(text) + (1 - beside) * around[piece.chunk]
        if same not in said and spent + cost <= budget:
            chosen[piece.chunk, piece.number] = piece
            said.add(same)
            spent += cost
    while chosen:
        runs = _runs(chunks, sorted(chosen.values(), key=lambda piece: (piece.chunk, piece.number)), count)
        tokens = cost_of(runs)
        if tokens <= budget:
            read = {piece.chunk for piece in chosen.values()}
            dropped = tuple(chunk for number, chunk in enumerate(chunks) if number not in read)
            return Packed(tuple(runs), dropped, tokens, notes=left_out(len(dropped), len(chunks), budget))
        # The pieces together may take a token more than they do singly.
        least = min(chosen, key=lambda key: chosen[key].score)
        del chosen[least]
    return Packed((), tuple(chunks), 0)


def _pieces(question: str, chunks: Sequence[Chunk], split_sentences: SplitSentences) -> list[_Piece]:
    """The sentences of all chunks, each with what speaks for it."""
    places = [
        (number, place, start, end)
        for number, chunk in enumerate(chunks)
        for place, (start, end) in enumerate(_units(chunk.text, split_sentences))
    ]
    shares = term_shares(
        question, [(chunks[number], chunks[number].text[start:end]) for number, _, start, end in places]
    )
    share_at = {(number, place): share for (number, place, _, _), share in zip(places, shares, strict=True)}
    pieces: list[_Piece] = []
    for (number, place, start, end), share in zip(places, shares, strict=True):
        beside = max(share_at.get((number, place + step), 0.0) for step in (-1, 1))
        score = share + _BESIDE * beside - _BY_RANK * math.log1p(number)
        pieces.append(_Piece(number, place, start, end, share, score))
    return pieces


def _units(text: str, split_sentences: SplitSentences) -> list[tuple[int, int]]:
    """The sentences, in order; a table and a piece of code are one each."""
    units: list[tuple[int, int]] = []
    at = 0
    for block in _BLOCK.finditer(text):
        units += _within(text, at, block.start(), split_sentences)
        units.append(block.span())
        at = block.end()
    return units + _within(text, at, len(text), split_sentences)


def _within(text: str, start: int, end: int, split_sentences: SplitSentences) -> list[tuple[int, int]]:
    return [(start + first, start + last) for first, last in split_sentences(text[start:end])]


def _runs(chunks: Sequence[Chunk], pieces: Sequence[_Piece], count: Callable[[str], int]) -> list[Chunk]:
    """The chosen sentences, those in a row as one passage, in the order of the passages that they are from."""
    spans: list[tuple[int, int, int, int]] = []
    for piece in pieces:
        if spans and spans[-1][0] == piece.chunk and spans[-1][1] + 1 == piece.number:
            spans[-1] = (piece.chunk, piece.number, spans[-1][2], piece.end)
        else:
            spans.append((piece.chunk, piece.number, piece.start, piece.end))
    return [_part(chunks[number], start, end, count) for number, _, start, end in spans]


def _part(chunk: Chunk, start: int, end: int, count: Callable[[str], int]) -> Chunk:
    """Characters of a chunk as a chunk, on the page on which they begin."""
    text = chunk.text[start:end]
    first, last = chunk.start + start, chunk.start + end
    metadata: dict[str, MetadataValue] = {key: value for key, value in chunk.metadata.items() if key != "page_end"}
    starts = chunk.page_starts[bisect_right(chunk.page_starts, first) : bisect_left(chunk.page_starts, last)]
    if (page := chunk.page_at(first)) is not None:
        metadata["page_number"] = page
        if starts:
            metadata["page_end"] = page + len(starts)
    return replace(
        chunk, text=text, start=first, end=last, token_count=count(text), metadata=metadata, page_starts=starts
    )
