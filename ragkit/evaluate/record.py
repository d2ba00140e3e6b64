"""What is kept of one question of a run: everything that reports, comparisons and judges read, and nothing else.

Plain data that is written as JSON and read back equal, so that a report of a finished run needs no system.
"""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field

from ragkit.config.part import Part
from ragkit.evaluate.cases import Case

Reached = Literal["nowhere", "parsed", "chunked", "retrieved", "fused", "reranked", "results", "prompt"]
"""How far a labelled place came: its document's text has it, a chunk holds it whole, a retriever found such a chunk,
fusion kept it, reranking (if any) kept it, it was among the results, it stood in the prompt."""

Outcome = Literal[
    "right",
    "refused rightly",
    "not parsed",
    "cut by chunking",
    "not retrieved",
    "lost in fusion",
    "lost in reranking",
    "lost in diversifying",
    "dropped by packing",
    "in the prompt yet wrong",
    "refused though there",
    "right but wrongly cited",
    "answered without evidence",
    "not in the prompt",
    "not judged",
    "failed",
]
"""Where the answer was lost, if it was."""

GOOD: frozenset[Outcome] = frozenset({"right", "refused rightly"})
"""What is to be wished for; everything else but "not judged" is a question that went wrong."""


def went_wrong(outcome: Outcome) -> bool:
    return outcome not in GOOD and outcome != "not judged"


class Row(Part):
    """Base of what is kept: JSON lists read back as tuples."""

    model_config = ConfigDict(strict=False)


class PlaceRow(Row):
    """A labelled place: its document, whether the text has it, how far it came, its rank at each stage."""

    document: str
    pages: tuple[int, ...] = ()
    reached: Reached
    ranks: dict[str, int]


class PassageRow(Row):
    """A retrieved passage with its rank at each stage; `labelled` if it holds a labelled place."""

    chunk_id: str
    document: str
    page: int | None
    section: str | None
    text: str
    score: float
    ranks: dict[str, int]
    in_prompt: bool
    labelled: bool


class ExcerptRow(Row):
    """Characters of a passage that stood in the prompt."""

    chunk_id: str
    start: int
    end: int


class CitationRow(Row):
    """A citation, and whether its quote stands at its characters of the source, on its page."""

    document: str
    page: int | None
    start: int
    end: int
    quote: str
    support: float
    resolves: bool


class CostRow(Row):
    """One cost line of an answer in integer nano-dollars; None has no known price."""

    stage: str
    nano_usd: int | None


class Judgement(Row):
    """What a judge said of an answer: a score from 0 to 1, or why there is none."""

    judge: str
    score: float | None
    reason: str = ""


class Record(Row):
    """One question, what the system did with it, and what that is worth.

    `metrics` are by name; those of stages are "fused.chunk.ndcg@10". `error` is set when the system raised one, and
    then there is no answer. `degraded` says that what was to answer did not, and something stood in for it: sentences
    of the documents, for a language model that could not be reached or was over budget.
    """

    case: Case
    text: str = ""
    refused: bool = False
    reason: str | None = None
    confidence: float | None = None
    model: str = ""
    citations: tuple[CitationRow, ...] = ()
    unsupported: tuple[tuple[int, int], ...] = ()
    removed_citations: int = 0
    notes: tuple[str, ...] = ()
    places: tuple[PlaceRow, ...] = ()
    passages: tuple[PassageRow, ...] = ()
    prompt: tuple[ExcerptRow, ...] = ()
    metrics: dict[str, float] = Field(default_factory=dict[str, float])
    judgements: tuple[Judgement, ...] = ()
    outcome: Outcome = "not judged"
    input_tokens: int = 0
    output_tokens: int = 0
    cost: tuple[CostRow, ...] = ()
    cost_usd: float | None = None
    timings_ms: dict[str, float] = Field(default_factory=dict[str, float])
    error: str | None = None
    degraded: bool = False

    @property
    def answered(self) -> bool:
        """Whether what was to answer did, if only by a refusal."""
        return self.error is None and not self.degraded

    @property
    def cluster(self) -> str:
        """What questions that succeed and fail together share: their first document, by its name in the index."""
        return self.places[0].document if self.places else self.case.cluster
