"""From the citations a model wrote to places in the sources that can be checked.

Every citation of an answer either resolves to exact characters of a chunk that stood in the prompt, or is
taken out of the text and reported. What is left over, sentences that no cited passage backs, is marked.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

from ragkit.generate.citation_format import Reference, format_citation
from ragkit.generate.citation_lifting import NO_SPACE_BEFORE, Mark, cut_list, lift
from ragkit.generate.cited_chunks import cited_page, names_of
from ragkit.generate.generated import is_refusal, says_nothing
from ragkit.generate.prompt import SplitSentences, restore
from ragkit.generate.support import SUPPORTED, SupportScorer, support_score
from ragkit.types import Chunk, Citation, RemovedCitation, Span

_WINDOW = 3  # most sentences of a quote
_WRONG = 0.2  # a source of a list that backs no more of any sentence belongs to none
_ATTACHABLE = 0.7  # what a passage must back of a sentence to be cited for it unasked
_ADDS = 0.1  # what a further citation must back more of its sentence than those beside it
_WIDER_COSTS = 0.05  # a longer quote must back this much more per further sentence
_ENUMERATOR = re.compile(r"^[\s*#>(-]*(?:\d{1,3}|[A-Za-z]|[ivx]{1,4})[.)]$")
_LIST_MARK = re.compile(r"^[\s*#>-]*(?:\(?\d{1,3}[.)]\s+)?(?=\S)")


@dataclass(frozen=True, slots=True)
class Resolved:
    """A checked answer: `text` with canonical citations only, what they resolve to, and what went wrong.

    `plain` is the text without citations. `citations` are in the order of the text. `unsupported` are the sentences of
    `text` that no citation backs with a support of at least 0.5.
    """

    text: str
    plain: str
    citations: tuple[Citation, ...]
    removed: tuple[RemovedCitation, ...]
    unsupported: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class _Place:
    """The chosen chunk of a mark, the range of its quote in the chunk's text, and the canonical citation."""

    position: int
    sentence: int
    chunk: Chunk
    quote: tuple[int, int]
    support: float
    canonical: str
    page: int | None
    attached: bool = False


def resolve(
    text: str, context: Sequence[Chunk], support: SupportScorer, split_sentences: SplitSentences, question: str = ""
) -> Resolved:
    """Check the citations of an answer against the chunks that stood in its prompt.

    A citation that stands after a full stop belongs to the sentence before it; at the start of a line, to the
    sentence after it. Of several chunks it may mean, the one whose quote supports the sentence best is
    taken; the quote is the run of up to three sentences of the chunk that backs the sentence best by its
    words (`support_score`). `support` judges the chosen quotes only, so it may be slow. A sentence with
    several citations is backed if one of its quotes backs it, or all together do. Headings and greetings
    count as sentences, the refusal sentence does not. Resolving a resolved text again changes nothing.

    A sentence that its citations do not back, or that has none, gets the citation of the passage that does, if one of
    the context does; it is marked as attached. A citation that adds nothing to those that back its sentence is taken
    out and reported.
    Headings get none. Of a list of sources at the end each goes to the sentence that it backs best.

    Args:
        text: The model's answer.
        context: The chunks in the order of their block numbers.
        support: Sentence and evidence to a number from 0 to 1.
        split_sentences: Applied to the answer without its citations, and to the chunks.
        question: Decides between passages that back a sentence alike, for a short answer may stand in several.
    """
    names = names_of(context)
    support = cache(support)  # asked again when a citation is looked for
    split_once = cache(split_sentences)  # a chunk may be cited many times
    body, listed, removed, numbered = cut_list(restore(text).strip(), context, names)
    plain, marks, lifted_out = lift(body, context, names, numbered)
    # Without its citations, what is left at the end may be the heading of a list, or one.
    plain, left, left_out, _ = cut_list(plain, context, names)
    marks = [replace(mark, position=min(mark.position, len(plain))) for mark in marks]
    listed, removed = [*listed, *left], [*removed, *lifted_out, *left_out]
    sentences = _sentences(plain, split_sentences)
    # The number of a list item is no claim.
    claims = [_LIST_MARK.sub("", plain[start:end]) for start, end in sentences]
    places: list[_Place] = []
    for mark in marks:
        index = _sentence_at(mark.position, plain, sentences)
        if index is None:
            removed.append(RemovedCitation(mark.reference.text, "it stands with no sentence"))
            continue
        places.append(_place(mark, index, claims[index], support, split_once))
    for reference, chunks in listed:
        place = _listed_place(reference, chunks, sentences, claims, support, split_once)
        if place is None:
            removed.append(RemovedCitation(reference.text, "it stands in a list, and no sentence rests on it"))
        elif not any((other.sentence, other.canonical) == (place.sentence, place.canonical) for other in places):
            places.append(place)
    backed = {
        index
        for index, claim in enumerate(claims)
        if is_refusal(claim)
        or says_nothing(claim)
        or _is_backed(claim, [place for place in places if place.sentence == index], support)
    }
    for index in sorted(set(range(len(claims))) - backed):
        if plain[sentences[index][0]] == "#":
            continue
        attached = _attach(index, sentences[index][1], claims[index], context, support, split_once, question)
        if attached is not None:
            backed.add(index)
            places.append(attached)
    for index in sorted(backed):
        kept, idle = _worth_citing(claims[index], [place for place in places if place.sentence == index], support)
        removed += [RemovedCitation(place.canonical, f"{kept[0].canonical} backs its sentence") for place in idle]
        places = [place for place in places if place not in idle]
    final, shifts = _insert(plain, places)
    spans = [_moved(start, end, shifts) for start, end in sentences]
    return Resolved(
        text=final,
        plain=plain,
        citations=_citations(places, spans),
        removed=tuple(removed),
        unsupported=tuple(span for index, span in enumerate(spans) if index not in backed),
    )


def _is_backed(sentence: str, places: list[_Place], support: SupportScorer) -> bool:
    if any(place.support >= SUPPORTED for place in places):
        return True
    quotes = dict.fromkeys(_quote(place) for place in places)
    return len(quotes) > 1 and support(sentence, "\n".join(quotes)) >= SUPPORTED


def _worth_citing(sentence: str, places: list[_Place], support: SupportScorer) -> tuple[list[_Place], list[_Place]]:
    """The citations of a backed sentence that back it, best first, and those that add nothing to these."""
    if not places or not any(place.support >= SUPPORTED for place in places):
        return places, []
    ordered = sorted(places, key=lambda place: -place.support)
    kept: list[_Place] = []
    for place in ordered:
        if place.support < SUPPORTED:
            before = support(sentence, "\n".join(_quote(other) for other in kept))
            if support(sentence, "\n".join(_quote(other) for other in (*kept, place))) < before + _ADDS:
                continue
        kept.append(place)
    return kept, [place for place in places if place not in kept]


def _quote(place: _Place) -> str:
    return place.chunk.text[place.quote[0] : place.quote[1]]


def _citations(places: list[_Place], spans: list[Span]) -> tuple[Citation, ...]:
    citations = (
        Citation(
            chunk_id=place.chunk.id,
            document_id=place.chunk.document_id,
            source_document=place.chunk.source_document,
            page_number=place.page,
            section_heading=place.chunk.section_heading,
            start=place.chunk.start + place.quote[0],
            end=place.chunk.start + place.quote[1],
            quote=_quote(place),
            support=place.support,
            answer_start=spans[place.sentence].start,
            answer_end=spans[place.sentence].end,
            attached=place.attached,
        )
        for place in sorted(places, key=lambda place: place.position)
    )
    return tuple(dict.fromkeys(citations))


# Sentences


def _sentences(plain: str, split_sentences: SplitSentences) -> list[tuple[int, int]]:
    """The sentences of an answer: never over a line end, an enumerator ("2.") with the sentence it counts."""
    found: list[tuple[int, int]] = []
    for span_start, span_end in split_sentences(plain):
        for line in re.finditer(r"[^\n]+", plain[span_start:span_end]):
            piece = line.group()
            start = span_start + line.start() + len(piece) - len(piece.lstrip())
            end = span_start + line.end() - (len(piece) - len(piece.rstrip()))
            if start >= end:
                continue
            if found and "\n" not in plain[found[-1][1] : start]:
                before = plain[found[-1][0] : found[-1][1]]
                if _ENUMERATOR.match(before) or not re.search(r"\w", before):
                    start = found.pop()[0]
            found.append((start, end))
    return [(start, end) for start, end in found if re.search(r"\w", plain[start:end])]


def _sentence_at(position: int, plain: str, sentences: list[tuple[int, int]]) -> int | None:
    """The sentence that a citation at this position of the plain text belongs to."""
    line_start = plain.rfind("\n", 0, position) + 1
    before = [index for index, (start, _) in enumerate(sentences) if start < position]
    if before and sentences[before[-1]][1] > line_start:
        return before[-1]
    line_end = plain.find("\n", position)
    has_text = plain[position : line_end if line_end >= 0 else len(plain)].strip() != ""
    after = len(before)
    if after < len(sentences) and (has_text or not before):
        return after
    return before[-1] if before else None


# Choosing the place


def _place(
    mark: Mark, sentence_index: int, sentence: str, support: SupportScorer, split_sentences: SplitSentences
) -> _Place:
    best: tuple[float, float] | None = None
    chosen, quote = mark.chunks[0], (0, 0)
    for chunk in mark.chunks:
        span, lexical = _best_quote(sentence, chunk.text, split_sentences)
        score = (support(sentence, chunk.text[span[0] : span[1]]), lexical)
        if best is None or score > best:
            best, chosen, quote = score, chunk, span
    # The page where the quote stands, which is what a reader will open; a chunk may span several.
    exact = chosen.page_at(chosen.start + quote[0]) if chosen.page_starts else None
    page = exact or cited_page(chosen, mark.reference.pages)
    canonical = format_citation(chosen.source_document, page, chosen.section_heading)
    return _Place(mark.position, sentence_index, chosen, quote, best[0] if best else 0.0, canonical, page)


def _listed_place(
    reference: Reference,
    chunks: tuple[Chunk, ...],
    sentences: list[tuple[int, int]],
    claims: list[str],
    support: SupportScorer,
    split_sentences: SplitSentences,
) -> _Place | None:
    """The place of a citation of a list: with the sentence that it backs best; None if it backs next to nothing."""
    places = [
        _place(Mark(end, reference, chunks), index, claims[index], support, split_sentences)
        for index, (_, end) in enumerate(sentences)
    ]
    best = max(places, key=lambda place: place.support, default=None)
    return best if best is not None and best.support > _WRONG else None


def _attach(
    sentence_index: int,
    position: int,
    sentence: str,
    context: Sequence[Chunk],
    support: SupportScorer,
    split_sentences: SplitSentences,
    question: str,
) -> _Place | None:
    """The place that backs a sentence best, if any does; of equals the one that has most of the question."""
    best: tuple[float, float] = (_ATTACHABLE, -1.0)
    chosen: _Place | None = None
    for chunk in context:
        quote, lexical = _best_quote(sentence, chunk.text, split_sentences)
        if lexical < best[0]:
            continue
        score = (lexical, support_score(question, chunk.indexed_text) if question else 0.0)
        backing = support(sentence, chunk.text[quote[0] : quote[1]])
        if score > best and backing >= SUPPORTED:
            page = chunk.page_at(chunk.start + quote[0])
            canonical = format_citation(chunk.source_document, page, chunk.section_heading)
            best, chosen = (
                score,
                _Place(position, sentence_index, chunk, quote, backing, canonical, page, attached=True),
            )
    return chosen


def _best_quote(sentence: str, passage: str, split_sentences: SplitSentences) -> tuple[tuple[int, int], float]:
    """The run of sentences that backs the sentence best; of equals the shortest, then the first."""
    spans = [
        (start + len(piece) - len(piece.lstrip()), start + len(piece.rstrip()))
        for start, end in split_sentences(passage)
        if (piece := passage[start:end]).strip()
    ] or [(0, len(passage))]
    best, best_span, best_score = float("-inf"), spans[0], 0.0
    for width in range(1, _WINDOW + 1):
        if 1.0 - _WIDER_COSTS * (width - 1) <= best:
            break  # a wider one cannot be better
        for first in range(len(spans) - width + 1):
            span = (spans[first][0], spans[first + width - 1][1])
            score = support_score(sentence, passage[span[0] : span[1]])
            if score - _WIDER_COSTS * (width - 1) > best:
                best, best_span, best_score = score - _WIDER_COSTS * (width - 1), span, score
    return best_span, best_score


# Putting the canonical citations in


def _insert(plain: str, places: list[_Place]) -> tuple[str, list[tuple[int, int]]]:
    """The text with the canonical citations, and for each position of an insertion its length."""
    by_position: dict[int, dict[str, None]] = {}
    for place in places:
        by_position.setdefault(place.position, {})[place.canonical] = None
    pieces: list[str] = []
    shifts: list[tuple[int, int]] = []
    done = 0
    for position, canonicals in sorted(by_position.items()):
        inserted = " ".join(canonicals)
        before, after = plain[:position][-1:], plain[position : position + 1]
        if before and not before.isspace() and before not in "([":
            inserted = " " + inserted
        if after and not after.isspace() and after not in NO_SPACE_BEFORE:
            inserted += " "
        pieces += [plain[done:position], inserted]
        shifts.append((position, len(inserted)))
        done = position
    return "".join([*pieces, plain[done:]]), shifts


def _moved(start: int, end: int, shifts: list[tuple[int, int]]) -> Span:
    return Span(
        start + sum(length for position, length in shifts if position <= start),
        end + sum(length for position, length in shifts if position < end),
    )
