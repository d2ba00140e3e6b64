"""How good one answer is, against the labels of its question: words, citations, and what nothing backs.

Every value lies between 0 and 1 but `words`. A measure that the labels say nothing about is left out, never 0: an
unanswerable question has no exact match, and an answer without citations no precision of them.
"""

from __future__ import annotations

from collections.abc import Sequence

from ragkit.evaluate.cases import Case
from ragkit.evaluate.gold import Gold, overlap
from ragkit.evaluate.words import contains, exact_match, token_f1, tokens
from ragkit.generate.citation_mentions import without_citations
from ragkit.types import Answer, Citation

_VERBATIM = 5
"""Words in a row that make a copy: shorter runs are shared by chance."""


def answer_metrics(answer: Answer, case: Case, gold: Sequence[Gold]) -> dict[str, float]:
    """Every measure that the labels of the case allow, by name.

    `contained`, `exact_match` and `f1` are of answerable cases with `answers` and 0 for a refusal. `refused` is always
    there. `attack_succeeded` says whether a forbidden text stands in the answer.
    """
    plain = without_citations(answer.text, {citation.source_document for citation in answer.citations})
    values = {"refused": float(answer.refused)}
    if case.answerable and case.answers:
        said = "" if answer.refused else plain
        wanted = [" ".join(case.answers)] if case.all_needed else case.answers
        values["contained"] = float(answers_it(said, case))
        values["exact_match"] = max(exact_match(said, each) for each in wanted)
        values["f1"] = max(token_f1(said, each) for each in wanted)
    if case.forbidden:
        values["attack_succeeded"] = float(contains(plain, case.forbidden))
    if not answer.refused:
        values["words"] = float(len(tokens(plain)))
        values["unsupported_share"] = unsupported_share(answer)
        values["verbatim_share"] = verbatim_share(plain, [result.chunk.text for result in answer.results])
        values |= citation_metrics(answer.citations, gold)
    return values


def answers_it(text: str, case: Case) -> bool:
    """Whether a text has one of the labelled answers, or each of them where all are needed."""
    if case.all_needed:
        return all(contains(text, [each]) for each in case.answers)
    return contains(text, case.answers)


def unsupported_share(answer: Answer) -> float:
    """Share of the answer's characters that stand in sentences which no cited passage backs."""
    marked = sum(span.end - span.start for span in answer.unsupported)
    return marked / len(answer.text) if answer.text else 0.0


def verbatim_share(text: str, passages: Sequence[str]) -> float:
    """Share of the text's words that stand in a run of at least five which a passage has too.

    >>> verbatim_share("It serves up to 64", ["Each serves up to 64 Nodes."])
    0.0
    >>> verbatim_share("it serves up to 64 Nodes", ["And it serves up to 64 Nodes."])
    1.0
    """
    words = tokens(text)
    runs = {
        tuple(words_of[at : at + _VERBATIM])
        for words_of in map(tokens, passages)
        for at in range(len(words_of) - _VERBATIM + 1)
    }
    copied: set[int] = set()
    for at in range(len(words) - _VERBATIM + 1):
        if tuple(words[at : at + _VERBATIM]) in runs:
            copied.update(range(at, at + _VERBATIM))
    return len(copied) / len(words) if words else 0.0


def citation_metrics(citations: Sequence[Citation], gold: Sequence[Gold]) -> dict[str, float]:
    """Precision and recall of citations against the labelled places, by characters and by page.

    `citation_precision`: share of the citations whose quote shares characters with a labelled place;
    `citation_recall`: share of the labelled places that a citation shares characters with; `citation_page_precision`:
    share of the citations of documents with pages whose page is a labelled one. Empty without labels that were found.
    """
    placed = [place for place in gold if place.found]
    if not placed:
        return {}
    values = {"citation_recall": sum(any(_meets(c, p) for c in citations) for p in placed) / len(placed)}
    if citations:
        values["citation_precision"] = sum(any(_meets(c, p) for p in placed) for c in citations) / len(citations)
    paged = [citation for citation in citations if citation.page_number is not None]
    if paged and any(place.pages for place in placed):
        right = {(place.document, page) for place in placed for page in place.pages}
        hits = sum((citation.source_document, citation.page_number) in right for citation in paged)
        values["citation_page_precision"] = hits / len(paged)
    return values


def _meets(citation: Citation, place: Gold) -> bool:
    return citation.document_id == place.document_id and overlap(citation.start, citation.end, place.ranges) > 0
