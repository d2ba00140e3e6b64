"""Text that the HTML parser leaves out without a word because it lies in too many elements one within the other."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from html.parser import HTMLParser

_SUSPECT_DEPTH = 32
"""kreuzberg 4.10 reads about 60 levels; whatever lies less deep than this is never looked for."""
_DEEPEST = 1000
"""What is opened beyond this is not noted: a page of a hundred thousand forgotten end tags must not take minutes."""
_VOID = frozenset("area base br col embed hr img input link meta source track wbr".split())  # noqa: SIM905
_UNSEEN = frozenset(("script", "style", "template", "noscript", "title", "textarea", "svg", "nav", "form"))


class _DeepText(HTMLParser):
    """Collects the text below `_SUSPECT_DEPTH`; forgotten end tags only make more of it suspect."""

    def __init__(self) -> None:
        super().__init__()
        self._open: list[str] = []
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in _VOID and len(self._open) < _DEEPEST:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self._open:
            while self._open.pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        if len(self._open) > _SUSPECT_DEPTH and data.strip() and _UNSEEN.isdisjoint(self._open):
            self.found.append(data)


def lost_text(html: str, text: str) -> str | None:
    """A warning if deeply nested text of a page is missing from what was read of it.

    >>> page = "<div>" * 99 + "secret" + "</div>" * 99
    >>> lost_text(page, "secret"), lost_text(page, "")
    (None, 'text nested 33 elements deep or more was not read (6 characters, from "secret"); nest it less')
    """
    parser = _DeepText()
    parser.feed(html)
    parser.close()
    if not parser.found:
        return None
    lost = [" ".join(piece.split()) for piece in _missing(parser.found, _letters(text))]
    if not lost:
        return None
    size = sum(len(piece) for piece in lost)
    return (
        f"text nested {_SUSPECT_DEPTH + 1} elements deep or more was not read ({size:,} characters, from "
        f'"{lost[0][:40]}"); nest it less'
    )


def _missing(pieces: Iterable[str], read: str) -> Iterator[str]:
    after = 0
    for piece in pieces:
        letters = _letters(piece)
        # Mostly in reading order, so that a long page is not searched from its start for each.
        at = read.find(letters, after)
        if at >= 0:
            after = at
        elif letters not in read:
            yield piece


def _letters(text: str) -> str:
    return re.sub(r"[\W_]+", "", text)
