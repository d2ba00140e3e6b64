"""What a model reads of a chunk that was found: more of the document around it, where `generation.expand` says so.

`window` adds the chunks beside it, `parent` all through which its section runs. A passage grows chunk by chunk, those
behind and before it in turn, as far as its share of the prompt goes (`context_tokens / context_chunks`). Passages of a
document that meet become one, in the place of the best. A widened passage is a chunk like any other: its text is the
document's own from `start` to `end`, and it has the id of the best hit in it.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from ragkit.config.schema import Filter, Generation
from ragkit.store import StoreReader
from ragkit.store.filters import fields_of, matches
from ragkit.types import Chunk, Document, MetadataValue, ScoredChunk

DocumentOf = Callable[[str], Document | None]
"""A document of the index by its id."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What goes to the generator: passages, best first, and by their ids the chunks of the index in each."""

    passages: list[ScoredChunk]
    parts: Mapping[str, tuple[Chunk, ...]]

    def chunk_ids(self, used: Sequence[Chunk]) -> tuple[str, ...]:
        """The chunks of the index that stand, at least with their beginning, in the passages of a prompt."""
        ids = [
            part.id
            for passage in used
            for part in self._parts_of(passage)
            if part.start < passage.end and passage.start < part.end
        ]
        return tuple(dict.fromkeys(ids))

    def chunk_id_at(self, passage_id: str, start: int, end: int) -> str:
        """The chunk of the index that has these characters of a passage; the first in which they begin, if none has."""
        parts = self.parts.get(passage_id, ())
        whole = [part.id for part in parts if part.start <= start and end <= part.end]
        begun = [part.id for part in parts if part.start <= start < part.end]
        return next(iter([*whole, *begun]), passage_id)

    def _parts_of(self, passage: Chunk) -> tuple[Chunk, ...]:
        return self.parts.get(passage.id, (passage,))


@dataclass(slots=True)
class _Run:
    """Chunks `first` to `last` (indices in their document) around hits, the best of which has this `rank`."""

    rank: int
    first: int
    last: int


def expand(
    results: Sequence[ScoredChunk],
    generation: Generation,
    store: StoreReader,
    document_of: DocumentOf,
    conditions: Sequence[Filter] = (),
) -> Evidence:
    """The results as the generator is to read them; unchanged with `expand: none`.

    What is added meets the `conditions` that the results meet: a passage ends before a chunk that does not. A chunk
    whose document is not there as it was indexed, which a server's index may change, stays as it is.
    """
    if generation.expand == "none":
        return Evidence(list(results), {})
    runs: dict[str, list[_Run]] = {}
    chunks: dict[str, list[Chunk]] = {}
    documents = {name: document_of(name) for name in dict.fromkeys(result.chunk.document_id for result in results)}
    for rank, result in enumerate(results):
        document = documents[result.chunk.document_id]
        if document is None:
            continue
        beside = chunks.setdefault(document.id, [])
        if not beside:
            beside += store.chunks_of(document.id)
        at = next((index for index, chunk in enumerate(beside) if chunk.id == result.chunk.id), None)
        if at is not None and all(document.text[chunk.start : chunk.end] == chunk.text for chunk in beside):
            first, last = _range(at, beside, document, generation)
            first, last = _allowed(at, first, last, beside, conditions)
            run = _Run(rank, *_grown(at, first, last, beside, generation.context_tokens // generation.context_chunks))
            runs[document.id] = _merged([*runs.get(document.id, ()), run])
    return _evidence(results, runs, chunks, documents)


def _range(at: int, chunks: Sequence[Chunk], document: Document, generation: Generation) -> tuple[int, int]:
    """The first and the last chunk that may be added to the one at `at`."""
    if generation.expand == "window":
        return max(0, at - generation.expand_by), min(len(chunks) - 1, at + generation.expand_by)
    begin, end = section_range(document, chunks[at].start, chunks[at].end)
    first = last = at
    while first > 0 and chunks[first - 1].end > begin:
        first -= 1
    while last + 1 < len(chunks) and chunks[last + 1].start < end:
        last += 1
    return first, last


def _allowed(at: int, first: int, last: int, chunks: Sequence[Chunk], conditions: Sequence[Filter]) -> tuple[int, int]:
    """The part of `first` to `last` around the chunk at `at` whose chunks all meet the conditions."""
    strays = [
        index
        for index in range(first, last + 1)
        if index != at and not all(matches(condition, fields_of(chunks[index])) for condition in conditions)
    ]
    before, behind = [index for index in strays if index < at], [index for index in strays if index > at]
    return max([first, *(index + 1 for index in before)]), min([last, *(index - 1 for index in behind)])


def section_range(document: Document, start: int, end: int) -> tuple[int, int]:
    """From where the section that holds `start` begins to where the one that holds the last character ends.

    >>> from ragkit.types import Section
    >>> text = "One.\\n\\nTwo.\\n\\nThree."
    >>> sections = (Section(("A",), 0), Section(("B",), 6), Section(("C",), 12))
    >>> document = Document("d", text, "d.md", "text/plain", "D", "", sections=sections)
    >>> section_range(document, 6, 10), section_range(document, 6, 18)
    ((6, 12), (6, 18))
    """
    offsets = [section.offset for section in document.sections]
    before, behind = bisect_right(offsets, start), bisect_left(offsets, end)
    return offsets[before - 1] if before else 0, offsets[behind] if behind < len(offsets) else len(document.text)


def _grown(at: int, first: int, last: int, chunks: Sequence[Chunk], budget: int) -> tuple[int, int]:
    """How far the chunk at `at` grows within `first` to `last`: a side ends where its next chunk does not fit."""
    low = high = at
    tokens = chunks[at].token_count
    behind = before = True
    while behind or before:
        if behind:
            behind = high < last and tokens + chunks[high + 1].token_count <= budget
            high += behind
            tokens += chunks[high].token_count if behind else 0
        if before:
            before = low > first and tokens + chunks[low - 1].token_count <= budget
            low -= before
            tokens += chunks[low].token_count if before else 0
    return low, high


def _merged(runs: Sequence[_Run]) -> list[_Run]:
    """The runs with those that meet as one."""
    whole: list[_Run] = []
    for run in runs:
        meeting = [other for other in whole if other.first <= run.last + 1 and run.first <= other.last + 1]
        together = [*meeting, run]
        joined = _Run(
            rank=min(each.rank for each in together),
            first=min(each.first for each in together),
            last=max(each.last for each in together),
        )
        whole = [other for other in whole if other not in meeting]
        whole.append(joined)
    return whole


def _evidence(
    results: Sequence[ScoredChunk],
    runs: Mapping[str, list[_Run]],
    chunks: Mapping[str, list[Chunk]],
    documents: Mapping[str, Document | None],
) -> Evidence:
    passages: list[ScoredChunk] = []
    parts: dict[str, tuple[Chunk, ...]] = {}
    inside = {chunk.id for name, of in runs.items() for run in of for chunk in chunks[name][run.first : run.last + 1]}
    heads = {results[run.rank].chunk.id: run for of in runs.values() for run in of}
    for result in results:
        run, document = heads.get(result.chunk.id), documents[result.chunk.document_id]
        if run is not None and document is not None:
            parts[result.chunk.id] = tuple(chunks[document.id][run.first : run.last + 1])
            passages.append(replace(result, chunk=_passage(result.chunk, parts[result.chunk.id], document)))
        elif result.chunk.id not in inside:
            passages.append(result)
    return Evidence(passages, parts)


def _passage(hit: Chunk, parts: Sequence[Chunk], document: Document) -> Chunk:
    """The chunks as one, with the place, heading and page of where it begins and the id of the hit."""
    if len(parts) == 1:
        return hit
    start, end = parts[0].start, max(part.end for part in parts)
    first_page, last_page = bisect_right(document.pages, start), bisect_left(document.pages, end)
    metadata: dict[str, MetadataValue] = {key: value for key, value in parts[0].metadata.items() if key != "page_end"}
    if last_page > first_page:
        metadata["page_end"] = last_page
    return Chunk(
        id=hit.id,
        document_id=hit.document_id,
        text=document.text[start:end],
        start=start,
        end=end,
        token_count=sum(part.token_count for part in parts),
        metadata=metadata,
        header=parts[0].header,
        page_starts=document.pages[first_page:last_page],
    )
