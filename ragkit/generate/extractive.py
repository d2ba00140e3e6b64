"""The generator without a language model: the sentences of the evidence that answer, word for word.

Each sentence of the best chunks gets a score from three views: its likeness to the question (embedding), the share of
the question's terms in it and its headings (weighted by how rare they are in the evidence), and the rank of its chunk.
The weights were chosen on the tuning half of XQuAD-en by scripts/tune_extractive.py, which prints both halves.
"""

from __future__ import annotations

import math
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass

from ragkit.config.schema import Bm25, Generation
from ragkit.embed import Embedder
from ragkit.generate.citation_format import format_citation
from ragkit.generate.generated import Generated
from ragkit.generate.prompt import SplitSentences
from ragkit.store.bm25 import Bm25Encoder
from ragkit.types import Chunk, ScoredChunk, Usage

MODEL = "extractive"
# Weights of likeness, terms and rank, and how far below the best sentence a further one may lie: in the same document,
# and in another one.
WEIGHTS = (0.38, 0.54, 0.08)
_NEAR = 0.08
_NEAR_ELSEWHERE = 0.03
_LONGEST = 800
_PLANTED = re.compile(r"[\[【(［](?=\s*sources?\b)", re.IGNORECASE)
_FEWEST_WORDS = 4


@dataclass(frozen=True, slots=True)
class Evidence:
    """A sentence of a chunk and the three views of it, each at most 1; `start` and `end` are offsets in the chunk."""

    chunk: Chunk
    start: int
    end: int
    likeness: float
    terms: float
    rank: float

    @property
    def text(self) -> str:
        return self.chunk.text[self.start : self.end]

    @property
    def score(self) -> float:
        """The views weighted and summed."""
        likeness, terms, rank = WEIGHTS
        return likeness * self.likeness + terms * self.terms + rank * self.rank


class ExtractiveGenerator:
    """Answers with at most `max_sentences` sentences of the first `context_chunks` results, in reading order."""

    def __init__(self, config: Generation, split_sentences: SplitSentences, embedder: Embedder) -> None:
        self._config = config
        self._split = split_sentences
        self._embedder = embedder

    def generate(self, question: str, results: Sequence[ScoredChunk]) -> Generated:
        """The best sentences, each followed by its citation."""
        chunks = [result.chunk for result in results[: self._config.context_chunks]]
        chosen = choose(rank_sentences(question, chunks, self._embedder, self._split), self._config.max_sentences)
        places = {chunk.id: place for place, chunk in enumerate(chunks)}
        chosen.sort(key=lambda evidence: (places[evidence.chunk.id], evidence.start))
        text = " ".join(f"{_one_line(evidence.text)} {_citation(evidence)}" for evidence in chosen)
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
    question: str, chunks: Sequence[Chunk], embedder: Embedder, split_sentences: SplitSentences
) -> list[Evidence]:
    """All sentences of the chunks that can be an answer, best first; one that two chunks share counts once."""
    places: dict[tuple[str, int], tuple[int, Chunk, int, int]] = {}
    for rank, chunk in enumerate(chunks):
        for start, end in split_sentences(chunk.text):
            key = (chunk.document_id, chunk.start + start)
            if end - start <= _LONGEST and _states_something(chunk, start, end):
                places.setdefault(key, (rank, chunk, start, end))
    found = list(places.values())
    if not found:
        return []
    texts = [chunk.text[start:end] for _, chunk, start, end in found]
    likeness = embedder.embed_passages(texts) @ embedder.embed_question(question)
    shares = _term_shares(question, [(chunk, text) for (_, chunk, _, _), text in zip(found, texts, strict=True)])
    ranked = [
        Evidence(chunk, start, end, float(likeness[index]), shares[index], 1 / (1 + rank))
        for index, (rank, chunk, start, end) in enumerate(found)
    ]
    return sorted(ranked, key=lambda evidence: (-evidence.score, evidence.chunk.id, evidence.start))


def choose(ranked: Sequence[Evidence], most: int) -> list[Evidence]:
    """The best sentence and those nearly as good, at most `most`."""
    return [evidence for evidence in ranked[:most] if evidence.score >= ranked[0].score - _leeway(ranked[0], evidence)]


def _leeway(best: Evidence, other: Evidence) -> float:
    return _NEAR if other.chunk.document_id == best.chunk.document_id else _NEAR_ELSEWHERE


def _term_shares(question: str, sentences: Sequence[tuple[Chunk, str]]) -> list[float]:
    """For each sentence the share of the question's terms that it or its headings have, by rarity; 0 to 1."""
    bm25 = Bm25Encoder(Bm25())
    asked = bm25.terms(question).keys()
    headings: dict[str, set[int]] = {}
    terms: list[set[int]] = []
    for chunk, text in sentences:
        heading = headings.setdefault(chunk.id, set(bm25.terms(f"{chunk.section_heading or ''} {chunk.header}")))
        terms.append(set(bm25.terms(text)) | heading)
    weights = {term: math.log(1 + len(terms) / (1 + sum(1 for present in terms if term in present))) for term in asked}
    total = sum(weights.values()) or 1.0
    return [sum(weights[term] for term in asked & present) / total for present in terms]


def _states_something(chunk: Chunk, start: int, end: int) -> bool:
    """Whether a sentence can be an answer: headings, table rules and names alone on a line cannot."""
    text = chunk.text[start:end].strip()
    trail = (chunk.section_heading or "").split(" > ")
    if text.startswith("#") or text.lstrip("# ").rstrip("=-~ \n") in trail or set(text) <= set("|-: "):
        return False
    ends = text.endswith((".", "!", "?"))
    return ends or len(text.split()) >= _FEWEST_WORDS or any(character.isdigit() for character in text)


def _citation(evidence: Evidence) -> str:
    chunk = evidence.chunk
    page = chunk.page_at(chunk.start + evidence.start)
    return format_citation(chunk.source_document, page, chunk.section_heading)


def _one_line(text: str) -> str:
    """The sentence for display. A document's own "[Source: ...]" must not pass for a citation of ours."""
    return _PLANTED.sub("‹", " ".join(text.split()))
