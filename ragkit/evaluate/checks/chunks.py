"""Check 1: chunks keep their meaning.

Reads the index as it is: every border of a chunk is compared with the sentences, tables and code blocks of its
document, its heading with the document's, and the likeness of neighbouring sentences within chunks with that across
borders.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

from ragkit.embed.tokens import TokenCounter
from ragkit.evaluate.checks import Check, Measured, part_of
from ragkit.evaluate.record import Record
from ragkit.evaluate.suite import Thresholds
from ragkit.evaluate.summary import figure_of
from ragkit.ingest.headings import section_at
from ragkit.ingest.sentences import Unit, split_units
from ragkit.ingest.settings import as_indexed, token_counter_of
from ragkit.system import Ragkit
from ragkit.types import Chunk, Document

_DOCUMENTS = 500
"""Most documents that are looked at, drawn by the seed: a share over thousands of chunks is exact enough."""
_PAIRS = 400
"""Pairs of neighbouring sentences, of each kind, whose likeness is compared."""
_EVIDENCE = 50


def check_chunks(rag: Ragkit, records: Sequence[Record], thresholds: Thresholds, seed: int = 0) -> Check:
    """Share of chunks that were damaged, share of labelled places that were cut, and the coherence of chunks.

    Damage is a border inside a sentence, table or code block that would have fitted into a chunk, or metadata that lack
    the heading which the chunk stands under. Coherence is for information: a good cut has likenesses that differ.
    """
    config = as_indexed(rag.config)
    chunking = config.ingestion.chunking
    tokens = token_counter_of(config)
    chooser = random.Random(seed)  # noqa: S311 - draws a sample
    damaged: list[tuple[float, str]] = []
    evidence: list[dict[str, Any]] = []
    within: list[tuple[str, str]] = []
    across: list[tuple[str, str]] = []
    for document, chunks in _sample(rag, chooser):
        units = split_units(document.text, chunking.language)
        wholes = _wholes(document.text, units, tokens, chunking.chunk_size)
        for chunk in chunks:
            found = damage(chunk, document, wholes)
            damaged.append((float(bool(found)), document.source))
            if found:
                evidence.append(
                    {"document": document.source, "start": chunk.start, "damage": found, "text": chunk.text}
                )
        inside, outside = _neighbours(document.text, units, chunks)
        within += inside
        across += outside
    cut = [
        (float(place.reached == "parsed"), record.cluster)
        for record in records
        for place in record.places
        if place.reached != "nowhere"
    ]
    shares = figure_of("damaged chunks", damaged, seed) if damaged else None
    cuts = figure_of("cut places", cut, seed) if cut else None
    parts = (
        part_of("damaged chunks", shares, at_most=thresholds.max_damaged_chunks),
        part_of("labelled places cut in two", cuts, at_most=thresholds.max_cut_places),
        *_coherence(rag, chooser, within, across, seed),
    )
    return Check(1, "chunks keep their meaning", parts, evidence=tuple(evidence[:_EVIDENCE]))


def damage(chunk: Chunk, document: Document, wholes: Sequence[tuple[int, int, str]]) -> list[str]:
    """What is wrong with a chunk, in words; `wholes` are ranges (start, end, kind) that may not be cut, in order."""
    found: list[str] = []
    starts = [start for start, _, _ in wholes]
    for edge, what in ((chunk.start, "begins"), (chunk.end, "ends")):
        # Of the ranges that begin before the edge only the nearest few can reach over it.
        for start, end, kind in wholes[max(0, bisect_right(starts, edge) - 3) : bisect_right(starts, edge)]:
            if start < edge < end:
                found.append(f"{what} inside a {kind}")
    section = section_at(document.sections, chunk.start)
    if section is not None and section.path and not (chunk.section_heading or "").endswith(section.path[-1]):
        found.append("lacks its heading")
    return found


def _wholes(text: str, units: Sequence[Unit], tokens: TokenCounter, budget: int) -> list[tuple[int, int, str]]:
    """Sentences, tables and code blocks that fit a chunk."""
    found = [(unit.start, unit.end, unit.kind) for unit in units if unit.kind in ("sentence", "heading")]
    blocks: dict[int, tuple[int, int, str]] = {}
    for unit in units:
        if unit.kind in ("table", "code"):
            start = blocks[unit.block][0] if unit.block in blocks else unit.start
            blocks[unit.block] = (start, unit.end, f"{unit.kind} block" if unit.kind == "code" else unit.kind)
    wholes = [*found, *blocks.values()]
    # A token is at least one byte, so what is short need not be counted.
    return sorted(
        (start, end, kind)
        for start, end, kind in wholes
        if end - start <= budget or tokens.count(text[start:end]) <= budget
    )


def _sample(rag: Ragkit, chooser: random.Random) -> Iterator[tuple[Document, list[Chunk]]]:
    snapshot = rag.snapshot()
    ids = [entry.id for entry in snapshot.manifest.entries() if entry.chunks]
    for identity in chooser.sample(ids, min(_DOCUMENTS, len(ids))):
        document = snapshot.manifest.document(identity)
        if document is not None:
            yield document, snapshot.store.chunks_of(identity)


def _neighbours(
    text: str, units: Sequence[Unit], chunks: Sequence[Chunk]
) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Pairs of neighbouring sentences that share a chunk, and pairs that none shares."""
    inside: list[tuple[str, str]] = []
    outside: list[tuple[str, str]] = []
    sentences = [unit for unit in units if unit.kind == "sentence"]
    for left, right in pairwise(sentences):
        together = any(chunk.start <= left.start and right.end <= chunk.end for chunk in chunks)
        pair = (text[left.start : left.end], text[right.start : right.end])
        (inside if together else outside).append(pair)
    return inside, outside


def _coherence(
    rag: Ragkit,
    chooser: random.Random,
    within: Sequence[tuple[str, str]],
    across: Sequence[tuple[str, str]],
    seed: int,
) -> list[Measured]:
    """Mean likeness of neighbouring sentences in one chunk and of those that a border parts."""
    measured: list[Measured] = []
    for name, pairs in (("likeness within chunks", within), ("likeness across borders", across)):
        drawn = chooser.sample(list(pairs), min(_PAIRS, len(pairs)))
        if not drawn:
            continue
        left, right = (rag.embedder.embed_questions([pair[side] for pair in drawn]) for side in (0, 1))
        values = (left * right).sum(axis=1).tolist()
        figure = figure_of(name, [(float(value), str(number)) for number, value in enumerate(values)], seed)
        measured.append(Measured(name, figure.mean, figure.low, figure.high, len(values), "for information", "pass"))
    return measured
