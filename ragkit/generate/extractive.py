"""The generator without a language model: the sentences of the evidence that answer, word for word.

Each sentence of the best chunks gets a score from six views: its likeness to the question (embedding), the share of
the question's terms in it, its headings and the name of its document (weighted by how rare they are in the evidence),
the rank of its chunk, whether it holds a figure if the question asks for one, the share of the question's names in its
chunk or the name of its document, and how sure the reader is that the answer stands in it.
The weights were chosen on the tuning half of XQuAD-en by scripts/tune_extractive.py, which prints both halves.
"""

from __future__ import annotations

import math
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass

from ragkit.config.schema import Generation
from ragkit.embed import Embedder
from ragkit.generate.answerability import READ, name_share
from ragkit.generate.citation_format import format_citation
from ragkit.generate.generated import Generated
from ragkit.generate.prompt import SplitSentences
from ragkit.generate.reader import Reader
from ragkit.generate.sentence_terms import ends_sentence, has_figure, states_something, term_shares
from ragkit.generate.table_rows import with_column_names
from ragkit.types import Chunk, ScoredChunk, Usage

MODEL = "extractive"
# Weights of likeness, terms, rank, figure, names and reading, and how far below the best sentence a further one may
# lie: in the same document, and in another one.
WEIGHTS = (0.38, 0.54, 0.08, 0.1, 0.2, 0.3)
_NEAR = 0.08
_NEAR_ELSEWHERE = 0.03
_LONGEST = 800
_SURE = 3.0
"""Margin of the reader that makes an answer about three times as likely as none."""
_PLANTED = re.compile(r"[\[【(［](?=\s*sources?\b)", re.IGNORECASE)
_FEWEST_WORDS = 4
_ASKS_FOR_FIGURE = re.compile(
    r"\b(?:how (?:much|many|long|far|old|large|big|high|often|late|early|soon|fast|heavy|deep|wide)"
    r"|(?:what|which) (?:share|percentage|percent|proportion|number|amount|price|date|year|day|age|size)|when)\b",
    re.IGNORECASE,
)
# Where a second question begins: after a question mark, or with "and" and a question word.
_PARTS = re.compile(
    r"(?<=\?)\s+|,?\s+(?:and|or)\s+(?=(?:what|which|who|whom|whose|when|where|why|how|is|are|does|do|did|can|must)\b)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Evidence:
    """A sentence of a chunk and the views of it, each at most 1; `start` and `end` are offsets in the chunk."""

    chunk: Chunk
    start: int
    end: int
    likeness: float
    terms: float
    rank: float
    figure: float
    names: float
    reading: float = 0.0

    @property
    def place(self) -> int:
        """Where it begins in the document."""
        return self.chunk.start + self.start

    @property
    def text(self) -> str:
        return self.chunk.text[self.start : self.end]

    @property
    def views(self) -> tuple[float, ...]:
        """In the order of `WEIGHTS`."""
        return self.likeness, self.terms, self.rank, self.figure, self.names, self.reading

    @property
    def score(self) -> float:
        """The views weighted and summed."""
        return sum(weight * view for weight, view in zip(WEIGHTS, self.views, strict=True))


class ExtractiveGenerator:
    """Answers with at most `max_sentences` sentences of the first `context_chunks` results, in reading order."""

    def __init__(
        self, config: Generation, split_sentences: SplitSentences, embedder: Embedder, reader: Reader | None = None
    ) -> None:
        self._config = config
        self._reader = reader
        self._split = split_sentences
        self._embedder = embedder

    def generate(self, question: str, results: Sequence[ScoredChunk]) -> Generated:
        """The best sentences, each followed by its citation."""
        chunks = [result.chunk for result in results[: self._config.context_chunks]]
        questions = [question, *question_parts(question)]
        rankings = rank_for_each(questions, chunks, self._embedder, self._split, self._reader)
        chosen = choose_for_parts(rankings, self._config.max_sentences)
        # The document found first comes first; within one, as it is read, whichever chunk a sentence came from.
        documents = list(dict.fromkeys(chunk.document_id for chunk in chunks))
        chosen.sort(key=lambda evidence: (documents.index(evidence.chunk.document_id), evidence.place))
        text = _joined(chosen)
        used = tuple(chunks)
        return Generated(text, Usage(), MODEL, refused=not chosen, finish_reason="stop", used=used)

    def stream(self, question: str, results: Sequence[ScoredChunk]) -> Iterator[str | Generated]:
        generated = self.generate(question, results)
        yield generated.text
        yield generated

    async def agenerate(self, question: str, results: Sequence[ScoredChunk]) -> Generated:
        import asyncio

        return await asyncio.to_thread(self.generate, question, results)

    async def astream(self, question: str, results: Sequence[ScoredChunk]) -> AsyncIterator[str | Generated]:
        generated = await self.agenerate(question, results)
        yield generated.text
        yield generated


def rank_sentences(
    question: str,
    chunks: Sequence[Chunk],
    embedder: Embedder,
    split_sentences: SplitSentences,
    reader: Reader | None = None,
) -> list[Evidence]:
    """All sentences of the chunks that can be an answer, best first; one that two chunks share counts once."""
    return rank_for_each([question], chunks, embedder, split_sentences, reader)[0]


def rank_for_each(
    questions: Sequence[str],
    chunks: Sequence[Chunk],
    embedder: Embedder,
    split_sentences: SplitSentences,
    reader: Reader | None = None,
) -> list[list[Evidence]]:
    """`rank_sentences` for several questions over the same chunks; the sentences are embedded once."""
    places: dict[tuple[str, int], tuple[int, Chunk, int, int]] = {}
    for rank, chunk in enumerate(chunks):
        for start, end in split_sentences(chunk.text):
            key = (chunk.document_id, chunk.start + start)
            if end - start <= _LONGEST and states_something(chunk, start, end):
                places.setdefault(key, (rank, chunk, start, end))
    found = list(places.values())
    if not found:
        return [[] for _ in questions]
    sentences = [(chunk, with_column_names(chunk.text, start, end)) for _, chunk, start, end in found]
    vectors = embedder.embed_passages([text for _, text in sentences])
    rankings: list[list[Evidence]] = []
    for question in questions:
        likeness = vectors @ embedder.embed_question(question)
        shares = term_shares(question, sentences)
        figure = _ASKS_FOR_FIGURE.search(question) is not None
        names = {chunk.id: name_share(question, f"{chunk.source_document} {chunk.indexed_text}") for chunk in chunks}
        marked = _marked(question, chunks, reader)
        ranked = [
            Evidence(
                chunk,
                start,
                end,
                float(likeness[index]),
                shares[index],
                1 / (1 + rank),
                float(figure and has_figure(chunk.text[start:end])),
                names[chunk.id],
                _reading(marked, chunk, start, end),
            )
            for index, (rank, chunk, start, end) in enumerate(found)
        ]
        rankings.append(sorted(ranked, key=lambda evidence: (-evidence.score, evidence.chunk.id, evidence.start)))
    return rankings


def _marked(question: str, chunks: Sequence[Chunk], reader: Reader | None) -> list[tuple[str, int, float]]:
    """Where the reader sees the answer: document, its first character there, and how sure it is."""
    if reader is None:
        return []
    readings = reader.read(question, [chunk.indexed_text for chunk in chunks[:READ]])
    found: list[tuple[str, int, float]] = []
    for chunk, reading in zip(chunks, readings, strict=False):
        first = chunk.start - (len(chunk.indexed_text) - len(chunk.text))
        sure = 1 / (1 + math.exp(-max(-50.0, reading.margin) / _SURE))
        found.append((chunk.document_id, first + reading.start, sure))
    return found


def _reading(marked: Sequence[tuple[str, int, float]], chunk: Chunk, start: int, end: int) -> float:
    """How sure the reader is of an answer that begins in a sentence."""
    first, last = chunk.start + start, chunk.start + end
    inside = (sure for document, at, sure in marked if document == chunk.document_id and first <= at < last)
    return max(inside, default=0.0)


def question_parts(question: str) -> list[str]:
    """The questions of a question that asks several; none if it asks one.

    >>> question_parts("How long is an RMA number valid, and who pays for the transport?")
    ['How long is an RMA number valid', 'who pays for the transport?']
    >>> question_parts("What is the range of the hub and the probe?")
    []
    """
    parts = [part.strip(" ,;") for part in _PARTS.split(question)]
    parts = [part for part in parts if len(part.split()) >= _FEWEST_WORDS - 1]
    return parts if len(parts) > 1 else []


def choose(ranked: Sequence[Evidence], most: int) -> list[Evidence]:
    """The best sentence and those nearly as good, at most `most`."""
    return [evidence for evidence in ranked[:most] if evidence.score >= ranked[0].score - _leeway(ranked[0], evidence)]


def choose_for_parts(rankings: Sequence[Sequence[Evidence]], most: int) -> list[Evidence]:
    """`choose` for a question of several parts: `rankings` are of the whole question and of each part.

    The best sentence of a part joins in if it has more of the part's words than any sentence chosen before.
    """
    whole, *parts = rankings
    chosen = choose(whole, max(1, most - len(parts) + 1) if parts else most)
    for ranked in parts:
        covered = max((e.terms for e in ranked if any(_same(e, other) for other in chosen)), default=0.0)
        best = next(iter(ranked), None)
        if best is not None and len(chosen) < most and best.terms > covered:
            chosen.append(best)
    return chosen


def _same(one: Evidence, other: Evidence) -> bool:
    return (one.chunk.id, one.start) == (other.chunk.id, other.start)


def _leeway(best: Evidence, other: Evidence) -> float:
    return _NEAR if other.chunk.document_id == best.chunk.document_id else _NEAR_ELSEWHERE


def _citation(evidence: Evidence) -> str:
    chunk = evidence.chunk
    page = chunk.page_at(evidence.place)
    return format_citation(chunk.source_document, page, chunk.section_heading)


def _joined(chosen: Sequence[Evidence]) -> str:
    """The sentences, each with its citation; a row, an item or a heading, without a full stop, on a line alone."""
    text = ""
    for before, evidence in zip([None, *chosen], chosen, strict=False):
        if before is not None:
            text += " " if ends_sentence(before.text) and ends_sentence(evidence.text) else "\n"
        text += f"{_one_line(evidence.text)} {_citation(evidence)}"
    return text


def _one_line(text: str) -> str:
    """The sentence for display. A document's own "[Source: ...]" must not pass for a citation of ours."""
    return _PLANTED.sub("‹", " ".join(text.split()))
