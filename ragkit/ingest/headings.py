"""Find the headings of a text: where each section begins and under which trail of headings it stands."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from ragkit.types import Section

_ATX = re.compile(r"^[ ]{0,3}(#{1,6})[ \t]+(.+?)[ \t]*#*[ \t]*$")
_FENCE = re.compile(r"^[ ]{0,3}(```+|~~~+)")
_UNDERLINE = re.compile(r"^([=\-~^\"'`#*+:.<>_])\1{2,}[ \t]*$")
_MARKUP = re.compile(r"\*\*|__|`|\[([^\]]*)\]\([^)]*\)")


def markdown_sections(text: str) -> tuple[Section, ...]:
    """Sections under ATX (`## Title`) and setext (underlined) headings; code blocks are passed over.

    >>> [section.path for section in markdown_sections("# A\\n\\ntext\\n\\n## B\\n\\nmore")]
    [('A',), ('A', 'B')]
    """
    return _nest(_markdown_headings(text))


def underlined_sections(text: str) -> tuple[Section, ...]:
    """Sections of reStructuredText: titles with an underline; the first kind of line seen is the outermost level.

    >>> [s.path for s in underlined_sections("Intro\\n=====\\n\\nx\\n\\nDetail\\n------\\n\\ny")]
    [('Intro',), ('Intro', 'Detail')]
    """
    return _nest(_underlined_headings(text))


def section_at(sections: tuple[Section, ...], offset: int) -> Section | None:
    """The section that holds the character at `offset`, or None before the first heading."""
    found: Section | None = None
    for section in sections:
        if section.offset > offset:
            break
        found = section
    return found


def nest_titles(titles: Iterable[tuple[int, int, str]]) -> tuple[Section, ...]:
    """Sections from (level, offset, title) in reading order."""
    return _nest(titles)


def _nest(headings: Iterable[tuple[int, int, str]]) -> tuple[Section, ...]:
    trail: list[tuple[int, str]] = []
    sections: list[Section] = []
    for level, offset, title in headings:
        while trail and trail[-1][0] >= level:
            trail.pop()
        trail.append((level, title))
        sections.append(Section(tuple(name for _, name in trail), offset))
    return tuple(sections)


def _markdown_headings(text: str) -> Iterator[tuple[int, int, str]]:
    fence: str | None = None
    previous: tuple[int, str] | None = None
    after_blank = True
    for offset, line in _lines(text):
        starts_block, after_blank = after_blank, not line.strip()
        opening = _FENCE.match(line)
        if fence is not None:
            if opening and line.strip().startswith(fence):
                fence = None
            continue
        if opening:
            fence, previous = opening.group(1), None
            continue
        heading = _ATX.match(line)
        if heading:
            yield len(heading.group(1)), offset, _plain(heading.group(2))
            previous = None
            continue
        underline = _UNDERLINE.match(line)
        if underline and previous and underline.group(1) in "=-":
            yield (1 if underline.group(1) == "=" else 2), previous[0], _plain(previous[1])
            previous = None
            continue
        # Only a line of its own, after a blank line, can be a setext heading: a rule under a paragraph is not.
        previous = (offset, line.strip()) if line.strip() and starts_block else None


def _underlined_headings(text: str) -> Iterator[tuple[int, int, str]]:
    levels: dict[str, int] = {}
    previous: tuple[int, str] | None = None
    for offset, line in _lines(text):
        underline = _UNDERLINE.match(line)
        if underline and previous and len(line.strip()) >= min(len(previous[1]), 4):
            level = levels.setdefault(underline.group(1), len(levels) + 1)
            yield level, previous[0], previous[1]
            previous = None
            continue
        indented = line[:1] in (" ", "\t")
        previous = (offset, line.strip()) if line.strip() and not indented and not underline else None


def _lines(text: str) -> Iterator[tuple[int, str]]:
    offset = 0
    for line in text.splitlines(keepends=True):
        yield offset, line.rstrip("\r\n")
        offset += len(line)


def _plain(title: str) -> str:
    return _MARKUP.sub(lambda found: found.group(1) or "", title).strip() or title.strip()
