"""Ask one question and write down what came of it: answer, labelled places, every measure, where it was lost."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import asdict
from functools import lru_cache

from ragkit.config.schema import Filter
from ragkit.errors import RagkitError
from ragkit.evaluate.answer_metrics import answer_metrics
from ragkit.evaluate.attribution import outcome, reached
from ragkit.evaluate.cases import Case
from ragkit.evaluate.gold import Gold, GoldFinder
from ragkit.evaluate.record import CitationRow, CostRow, ExcerptRow, PassageRow, PlaceRow, Record
from ragkit.evaluate.stage_metrics import Places, ranks_of, stage_metrics
from ragkit.evaluate.words import contains
from ragkit.retrieve.lists import kept_by_fusion
from ragkit.store.filters import parse_filter
from ragkit.system import Ragkit
from ragkit.types import Answer, Citation, Document, ScoredChunk

_PASSAGES_KEPT = 10
"""Best results that are kept whether they stood in the prompt or not."""


def conditions_of(case: Case) -> list[Filter]:
    """The filters under which a question is asked: its own, and that of its tenant (the field "tenant")."""
    own = [parse_filter(each) for each in case.filters]
    return [*own, Filter(field="tenant", eq=case.tenant)] if case.tenant else own


class Examiner:
    """One system under examination; the index must not change meanwhile."""

    def __init__(self, rag: Ragkit) -> None:
        snapshot = rag.snapshot()
        self._rag = rag
        # A document is often cited, and each time it would be unpacked anew.
        self._document = lru_cache(16)(rag.document)
        self._finder = GoldFinder(snapshot.manifest, snapshot.store)
        self._store = snapshot.store
        self._places = Places(snapshot.store)

    def examine(self, case: Case) -> Record:
        """The record of one question. What the system raises is recorded, not raised."""
        try:
            answer = self._rag.ask(case.question, filters=conditions_of(case))
        except RagkitError as error:
            return Record(case=case, error=str(error), outcome="failed")
        gold = self._finder.find(case)
        metrics = stage_metrics(answer.ranked, gold, self._places) | answer_metrics(answer, case, gold)
        places = self._place_rows(answer, gold)
        passages = self._passage_rows(answer, gold)
        return Record(
            case=case,
            text=answer.text,
            refused=answer.refused,
            reason=answer.reason,
            confidence=answer.confidence,
            model=answer.model,
            citations=tuple(self._citation_row(citation) for citation in answer.citations),
            unsupported=tuple((span.start, span.end) for span in answer.unsupported),
            removed_citations=len(answer.removed_citations),
            notes=answer.notes,
            places=places,
            passages=passages,
            prompt=tuple(ExcerptRow(**asdict(each)) for each in answer.prompt),
            metrics=metrics,
            outcome=outcome(
                case,
                [place.reached for place in places],
                refused=answer.refused,
                right=bool(metrics["contained"]) if "contained" in metrics else None,
                rightly_cited=_rightly_cited(answer, case, metrics),
                in_prompt=any(each.in_prompt and contains(each.text, case.answers) for each in passages),
            ),
            input_tokens=answer.usage.input_tokens,
            output_tokens=answer.usage.output_tokens,
            cost=tuple(CostRow(stage=line.stage, nano_usd=line.nano_usd) for line in answer.cost),
            cost_usd=answer.cost_usd,
            timings_ms=dict(answer.timings_ms),
            degraded=answer.degraded or self._over_budget(answer),
        )

    def _over_budget(self, answer: Answer) -> bool:
        """Whether there are endpoints, an answer was written, and none of them was asked for it."""
        return bool(self._rag.config.routing.endpoints) and "generate" in answer.timings_ms and not answer.attempts

    def _place_rows(self, answer: Answer, gold: Sequence[Gold]) -> tuple[PlaceRow, ...]:
        retrieval = self._rag.config.retrieval
        reranks = "reranked" in answer.ranked
        fused_kept = kept_by_fusion(retrieval, reranks=reranks)
        kept = frozenset(result.chunk.id for result in answer.results)
        rows: list[PlaceRow] = []
        for place in gold:
            ranks = ranks_of(answer.ranked, place)
            how_far = reached(place, ranks, fused_kept, kept, frozenset(answer.context), reranks=reranks)
            names = {str(stage): rank for stage, rank in ranks.items()}
            rows.append(PlaceRow(document=place.document, pages=place.pages, reached=how_far, ranks=names))
        return tuple(rows)

    def _passage_rows(self, answer: Answer, gold: Sequence[Gold]) -> tuple[PassageRow, ...]:
        """The best results, and all that stood in the prompt: what widened a passage stands behind, without a rank."""
        kept = [
            result for n, result in enumerate(answer.results) if n < _PASSAGES_KEPT or result.chunk.id in answer.context
        ]
        found = {result.chunk.id for result in answer.results}
        widening = [chunk_id for chunk_id in answer.context if chunk_id not in found]
        chunks = self._store.chunks(widening) if widening else {}
        beside = [ScoredChunk(chunks[chunk_id], 0.0, {}) for chunk_id in widening if chunk_id in chunks]
        return tuple(_passage_row(result, answer, gold) for result in (*kept, *beside))

    def _citation_row(self, citation: Citation) -> CitationRow:
        document = self._document(citation.source_document)
        resolves = document is not None and stands(citation, document)
        return CitationRow(
            document=citation.source_document,
            page=citation.page_number,
            start=citation.start,
            end=citation.end,
            quote=citation.quote,
            support=citation.support,
            resolves=resolves,
        )


def stands(citation: Citation, document: Document) -> bool:
    """Whether the quote stands at its characters, and these on the page that is named: of a document with pages one
    must be."""
    if document.text[citation.start : citation.end] != citation.quote:
        return False
    if not document.pages:
        return True
    if citation.page_number is None:
        return False
    first, last = bisect_right(document.pages, citation.start), bisect_left(document.pages, citation.end)
    return first <= citation.page_number <= max(first, last)


def _passage_row(result: ScoredChunk, answer: Answer, gold: Sequence[Gold]) -> PassageRow:
    chunk = result.chunk
    return PassageRow(
        chunk_id=chunk.id,
        document=chunk.source_document,
        page=chunk.page_number,
        section=chunk.section_heading,
        text=chunk.text,
        score=result.score,
        ranks={str(stage): score.rank for stage, score in result.stages.items()},
        in_prompt=chunk.id in answer.context,
        labelled=any(chunk.id in place.chunks for place in gold),
    )


def _rightly_cited(answer: Answer, case: Case, metrics: dict[str, float]) -> bool | None:
    """Whether a citation leads to a labelled place, or to another passage that has the answer: labels name one."""
    if "contained" not in metrics or answer.refused:
        return None
    if not answer.citations:
        return False
    if metrics.get("citation_recall", 0.0) > 0:
        return True
    return any(contains(citation.quote, case.answers) for citation in answer.citations)
