"""The plain data that the stages hand to one another. Frozen, slotted, no behaviour beyond reading.

Offsets are always character offsets (Python `str` indices, not bytes) into `Document.text`, half open.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Scalar = str | int | float | bool
MetadataValue = Scalar | list[Scalar]
Metadata = Mapping[str, MetadataValue]

Stage = Literal["sparse", "splade", "dense", "fused", "reranked", "diversified"]
RETRIEVERS: frozenset[Stage] = frozenset({"sparse", "splade", "dense"})
"""The stages that search; the others put in order what these found."""
RefusalReason = Literal["nothing_retrieved", "evidence_too_weak", "model_refused"]

REFUSAL_TEXT = "I don't have enough information."


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and where the text under it begins: `path` is the trail of headings, outermost first."""

    path: tuple[str, ...]
    offset: int


@dataclass(frozen=True, slots=True)
class Document:
    """One parsed source.

    `id` is stable over edits (it names the source); `content_hash` changes with the text. `pages` holds the
    offset at which each page begins and is empty for formats without pages. `sections` is sorted by offset.
    """

    id: str
    text: str
    source: str
    media_type: str
    title: str
    content_hash: str
    pages: tuple[int, ...] = ()
    sections: tuple[Section, ...] = ()
    date_created: str | None = None
    metadata: Metadata = field(default_factory=dict[str, MetadataValue])


@dataclass(frozen=True, slots=True)
class Chunk:
    """A passage of a document: `document.text[start:end] == text`, without exception.

    `metadata` always has `source_document`, and where known `page_number` (1-based, where the chunk begins),
    `section_heading` (trail joined by " > "), `title`, `date_created` (ISO 8601), plus the source's own fields.
    `header` is put before the text for embedding and BM25 and is never shown. `page_starts` are the offsets at which
    further pages begin inside the chunk; its metadata then has `page_end` too.
    """

    id: str
    document_id: str
    text: str
    start: int
    end: int
    token_count: int
    metadata: Metadata
    header: str = ""
    page_starts: tuple[int, ...] = ()

    def page_at(self, offset: int) -> int | None:
        """The page that holds the character at `offset` (in the document, within this chunk)."""
        first = self.page_number
        return None if first is None else first + bisect_right(self.page_starts, offset)

    @property
    def source_document(self) -> str:
        return str(self.metadata["source_document"])

    @property
    def page_number(self) -> int | None:
        page = self.metadata.get("page_number")
        return page if isinstance(page, int) else None

    @property
    def section_heading(self) -> str | None:
        heading = self.metadata.get("section_heading")
        return heading if isinstance(heading, str) else None

    @property
    def indexed_text(self) -> str:
        """What the embedding model and BM25 read: header and text."""
        return f"{self.header}\n{self.text}" if self.header else self.text


@dataclass(frozen=True, slots=True)
class StageScore:
    """Where a chunk stood at one stage: `rank` counts from 1, `score` in that stage's own scale."""

    rank: int
    score: float


@dataclass(frozen=True, slots=True)
class ScoredChunk:
    """A chunk in a result list. `score` is that of the last stage that ran; higher is better."""

    chunk: Chunk
    score: float
    stages: Mapping[Stage, StageScore]


@dataclass(frozen=True, slots=True)
class Citation:
    """A place in a source that backs a piece of an answer.

    `source text[start:end] == quote`. `support` (0 to 1) says how much of the citing sentence the quote backs;
    `answer_start:answer_end` is that sentence in the answer. `attached` says that the model gave no citation that backs
    the sentence, and ragkit found this one.
    """

    chunk_id: str
    document_id: str
    source_document: str
    page_number: int | None
    section_heading: str | None
    start: int
    end: int
    quote: str
    support: float
    answer_start: int
    answer_end: int
    attached: bool = False


@dataclass(frozen=True, slots=True)
class RemovedCitation:
    """A citation in the model's text that named no document of its context, and was taken out."""

    text: str
    reason: str


@dataclass(frozen=True, slots=True)
class Span:
    """A half-open range of characters of the answer's text."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one answer; `cached_tokens` is the part of `input_tokens` that a prompt cache served."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cached_tokens + other.cached_tokens,
        )


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try of an endpoint of `routing`.

    `outcome` is "answered", or why this is not the answer, such as "HTTP 429" or "timed out". `usage` are its tokens:
    none where the endpoint refused, None where it may have counted some and did not say so.
    """

    endpoint: str
    model: str
    outcome: str
    seconds: float
    usage: Usage | None


@dataclass(frozen=True, slots=True)
class CostLine:
    """Money for one stage in integer nano-dollars; `None` when no price is known (never counted as zero).

    `model` and `usage` are of a model behind an API, `endpoint` is its name in `routing`. `saved_nano_usd` is what
    would have been paid beside `nano_usd` without a cache, or with the dearest endpoint alone: less than 0 where more
    was paid, 0 where it is not known.
    """

    stage: str
    nano_usd: int | None
    detail: str = ""
    model: str = ""
    usage: Usage = Usage()
    endpoint: str = ""
    saved_nano_usd: int = 0


@dataclass(frozen=True, slots=True)
class Cached:
    """Where an answer comes from that was given before.

    `question` is the one that it was made for, `similarity` the cosine of the two questions (1.0 for the same words),
    `at` when it was made (seconds since 1970); `nano_usd` and `usage` are what making it took, which was saved;
    `nano_usd` is None if its cost is not known.
    """

    question: str
    similarity: float
    at: float
    nano_usd: int | None
    usage: Usage


@dataclass(frozen=True, slots=True)
class Excerpt:
    """Characters of a document that stood in a prompt: of the passage of this id, all or a part."""

    chunk_id: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What `ask` returns. When `refused`, `text` is exactly `REFUSAL_TEXT` and `reason` says why.

    `unsupported` marks the sentences of `text` that no cited passage backs. `notes` say what did not go as asked,
    such as passages that did not fit the prompt. `results` is the evidence that was retrieved, best first,
    including what was not put into the prompt; `context` are the ids of the chunks that were, in the order of the
    prompt, those that widened a passage (`generation.expand`) with them, and `prompt` what of them stood there.
    `ranked` has for each stage that ran the ids of all chunks that it ranked, best first. `attempts` are the tries
    of the endpoints of `routing`, in the order in which they ended; `degraded` says that none of them could give
    the answer that was asked for, and this one stands in for it. `timings_ms` has one entry per stage and "total".
    `cache` is "off", "miss", or the tier that this answer is from, "exact" or "semantic"; then `cached` says more,
    `usage` and `cost` are those of the look-up, and `results` those of a search without reranker.
    """

    text: str
    refused: bool
    citations: tuple[Citation, ...]
    results: tuple[ScoredChunk, ...]
    model: str
    config_hash: str
    trace_id: str
    timings_ms: Mapping[str, float]
    reason: RefusalReason | None = None
    confidence: float | None = None
    removed_citations: tuple[RemovedCitation, ...] = ()
    unsupported: tuple[Span, ...] = ()
    notes: tuple[str, ...] = ()
    usage: Usage = Usage()
    cost: tuple[CostLine, ...] = ()
    cache: str = "off"
    context: tuple[str, ...] = ()
    prompt: tuple[Excerpt, ...] = ()
    ranked: Mapping[Stage, tuple[str, ...]] = field(default_factory=dict[Stage, tuple[str, ...]])
    attempts: tuple[Attempt, ...] = ()
    degraded: bool = False
    cached: Cached | None = None

    @property
    def cost_usd(self) -> float | None:
        """Sum of the cost lines in dollars, or None if one of them has no price."""
        lines = [line.nano_usd for line in self.cost]
        known = [nano for nano in lines if nano is not None]
        return sum(known) / 1e9 if len(known) == len(lines) else None
