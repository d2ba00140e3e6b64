"""Taking the citations out of an answer, so that its sentences can be told apart and judged without them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ragkit.generate.citation_format import Reference
from ragkit.generate.citation_mentions import Mention, closing_list, find_mentions
from ragkit.generate.cited_chunks import Names, find_chunks, normalise_name
from ragkit.types import Chunk, RemovedCitation

NO_SPACE_BEFORE = frozenset(".,;:!?)]}'\"”’»|…")
EMPTY: Mapping[int, Reference] = {}
_CALLED_SOURCE = re.compile(r"[\W_]*sources?\b", re.IGNORECASE)
# A citation that a line end cuts in two, and what is left of a bracket when its citation is gone.
_WRAPPED = re.compile(
    r"([\[【(［（]\s*\**sources?\**\s*[:：][^\]】)\n]{0,200})\n(?=[^\]】)\n]{1,200}[\]】)])", re.IGNORECASE
)
_OPENING = re.compile(r"[(\[]\s*(?:(?:see|cf\.?|e\.g\.,?|from|source)\s*:?\s*)?$", re.IGNORECASE)
_LINE = 200  # characters looked at on either side of a number, white space and all
_QUOTED_LETTERS = 10  # of them, so that blanks and rules alone are no context
_QUOTED_CONTEXT = 20  # characters beside a "[12]" that must stand in a chunk too for it to be the chunk's own


@dataclass(frozen=True, slots=True)
class Mark:
    """A citation lifted out of the text: where it stood in the plain text, and what it may mean."""

    position: int
    reference: Reference
    chunks: tuple[Chunk, ...]


Listed = tuple[Reference, tuple[Chunk, ...]]
"""A citation of a list at the end, and the chunks that it may mean."""


def cut_list(
    text: str, context: Sequence[Chunk], names: Names
) -> tuple[str, list[Listed], list[RemovedCitation], dict[int, Reference]]:
    """The text without a list of sources at its end, what that lists, what of it means no chunk, and its numbers."""
    listed: list[Listed] = []
    removed: list[RemovedCitation] = []
    numbered: dict[int, Reference] = {}
    text = _WRAPPED.sub(r"\1 ", text)
    while found := closing_list(text, lambda name: _knows(names, name)):
        text = text[: found.start].rstrip()
        numbered |= found.numbered
        for reference in found.references:
            chunks, reason = find_chunks(reference, context, names)
            if chunks:
                listed.append((reference, tuple(chunks)))
            else:
                removed.append(RemovedCitation(reference.text, reason))
    return text, listed, removed, numbered


def lift(
    text: str, context: Sequence[Chunk], names: Names, numbered: Mapping[int, Reference] = EMPTY
) -> tuple[str, list[Mark], list[RemovedCitation]]:
    """The text without any citation, the citations that may mean a chunk, and those that cannot.

    A number that a list of the answer's own explains (`numbered`) means what stands there, others a block of the
    prompt. Repeated until no citation is left, for taking one out can join the halves of another.
    """
    marks: list[Mark] = []
    removed: list[RemovedCitation] = []
    text = text.strip()
    while mentions := [
        mention
        for mention in find_mentions(text, lambda name: _knows(names, name))
        if not _is_quoted(text, mention, context)
    ]:
        pieces: list[str] = []
        new_marks: list[Mark] = []
        cuts: list[tuple[int, int]] = []
        length = done = 0
        at_line_start = False
        for index, mention in enumerate(mentions):
            kept: list[Mark] = []
            if not mention.references:
                removed.append(RemovedCitation(text[mention.start : mention.end], "it is unfinished"))
            for reference in mention.references:
                meant = numbered.get(reference.number or 0, reference)
                chunks, reason = find_chunks(meant, context, names)
                if chunks:
                    kept.append(Mark(0, meant, tuple(chunks)))
                else:
                    alone = len(mention.references) == 1
                    cited = text[mention.start : mention.end] if alone else reference.text
                    removed.append(RemovedCitation(cited, reason))
            follower = mentions[index + 1].start if index + 1 < len(mentions) else len(text)
            start, end, glue, at_line_start = _cut(text, mention, done, follower, at_line_start, bool(kept))
            pieces += [text[done:start], glue]
            length += start - done
            new_marks += [Mark(length, mark.reference, mark.chunks) for mark in kept]
            length += len(glue)
            cuts.append((start, end - len(glue)))
            done = end
        moved = [Mark(_after_cuts(mark.position, cuts), mark.reference, mark.chunks) for mark in marks]
        marks = moved + new_marks
        text = "".join([*pieces, text[done:]])
    marks.sort(key=lambda mark: mark.position)
    plain = text.strip()
    lead = len(text) - len(text.lstrip())
    clamped = [Mark(min(max(mark.position - lead, 0), len(plain)), mark.reference, mark.chunks) for mark in marks]
    return plain, clamped, removed


def without_any(text: str, context: Sequence[Chunk], names: Names) -> str:
    """The text without any citation or list of sources."""
    return lift(cut_list(text, context, names)[0], context, names)[0]


def _knows(names: Names, name: str) -> bool:
    return names.get(normalise_name(name)) is not None


def _is_quoted(text: str, mention: Mention, context: Sequence[Chunk]) -> bool:
    """Whether a "[12]" or a "[Smith, p. 3]" is no citation of the model but stands so, with the words before or behind
    it, in a source."""
    if not mention.references:
        return False
    if _CALLED_SOURCE.match(text[mention.start : mention.end]):
        return False
    number = text[mention.start : mention.end]
    before, behind = text[: mention.start][-_LINE:], text[mention.end :][:_LINE]
    # White space once, for a source may have been wrapped there.
    quotes = [" ".join(f"{before}{number}".split())[-_QUOTED_CONTEXT - len(number) :]]
    quotes.append(" ".join(f"{number}{behind}".split())[: _QUOTED_CONTEXT + len(number)])
    telling = [quote for quote in quotes if sum(map(str.isalnum, quote.replace(number, ""))) >= _QUOTED_LETTERS]
    return any(quote in " ".join(chunk.text.split()) for chunk in context for quote in telling)


def _cut(
    text: str, mention: Mention, done: int, follower: int, follows_line_start: bool, kept: bool
) -> tuple[int, int, str, bool]:
    """What to take out with a mention so that no double space stays: start, end, what to put there.

    The last value says whether the mention stands at the start of a line, alone or after others.
    """
    start, end = mention.start, mention.end
    left, right = _around(text, start, end, done)
    while not kept and text[right : right + 1] in (")", "]") and (opening := _OPENING.search(text[done:left])):
        start, end = done + opening.start(), right + 1
        left, right = _around(text, start, end, done)
    if left == 0 or text[left - 1] == "\n" or (follows_line_start and left == done):
        at_line_end = right == len(text) or text[right] == "\n"
        if at_line_end and not kept and left > done and text[left - 1] == "\n":
            return left - 1, right, "", False  # the line would be empty
        return left if left == done else start, right, "", True
    following = text[end : end + 1]
    glued = following and not following.isspace() and following not in NO_SPACE_BEFORE and end != follower
    return left, end, " " if glued else "", False


def _around(text: str, start: int, end: int, done: int) -> tuple[int, int]:
    """The range with the blanks on both sides, on its line and behind what is done."""
    while start > done and text[start - 1] in " \t":
        start -= 1
    while end < len(text) and text[end] in " \t":
        end += 1
    return start, end


def _after_cuts(position: int, cuts: list[tuple[int, int]]) -> int:
    return position - sum(max(0, min(position, end) - start) for start, end in cuts if start < position)
