"""What the text layer of a PDF does not say: which lines are headings, which are rows of a table.

`pdfplumber` sees fonts and ruling lines. Headings are lines set larger than the body text; the rows of ruled tables
replace the lines that hold the same characters, as Markdown rows. A table that cannot be placed exactly stays as it
was.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Table = list[list[str]]

_LARGER = 1.08
_MOST_WORDS = 14


@dataclass(frozen=True, slots=True)
class PageLayout:
    """Tables from top to bottom, and headings as (level, text), both in reading order."""

    tables: list[Table]
    headings: list[tuple[int, str]]


def pdf_layout(path: Path) -> dict[int, PageLayout]:
    """Layout by page number (1-based). About 0.1 s a page."""
    import pdfplumber

    # pdfminer logs every odd font of a file; none of it helps whoever indexes it.
    logging.getLogger("pdfminer").setLevel(logging.ERROR)
    tables: dict[int, list[Table]] = {}
    lines: dict[int, list[tuple[float, str]]] = {}
    with pdfplumber.open(path) as document:
        for number, page in enumerate(document.pages, start=1):
            tables[number] = _tables(page)
            lines[number] = _sized_lines(page)
            page.close()
    levels = _heading_levels(lines.values())
    repeated = _running_lines(lines.values())
    return {
        number: PageLayout(
            tables[number],
            [
                (levels[size], text)
                for size, text in lines[number]
                if size in levels and text not in repeated and _reads_like_a_heading(text)
            ],
        )
        for number in lines
    }


def _tables(page: Any) -> list[Table]:
    if len(page.lines) + len(page.rects) < 4:
        return []
    found = [[[_cell(cell) for cell in row] for row in table] for table in page.extract_tables()]
    return [table for table in found if _is_table(table)]


def _sized_lines(page: Any) -> list[tuple[float, str]]:
    """The lines of the page, each with the font size of most of its characters."""
    sized: list[tuple[float, str]] = []
    for line in page.extract_text_lines(return_chars=True):
        sizes = Counter(round(float(char["size"]), 1) for char in line["chars"] if char["text"].strip())
        if sizes:
            sized.append((sizes.most_common(1)[0][0], " ".join(line["text"].split())))
    return sized


def _heading_levels(pages: Iterable[list[tuple[float, str]]]) -> dict[float, int]:
    """Level by font size: 1 for the largest; sizes up to the body's are no headings."""
    characters: Counter[float] = Counter()
    for lines in pages:
        for size, text in lines:
            characters[size] += len(text)
    if not characters:
        return {}
    body = characters.most_common(1)[0][0]
    larger = sorted((size for size in characters if size >= body * _LARGER), reverse=True)
    return {size: level for level, size in enumerate(larger, start=1)}


def _running_lines(pages: Iterable[list[tuple[float, str]]]) -> set[str]:
    """Lines that stand on more than one page: running heads, not headings."""
    counts = Counter(text for lines in pages for text in {text for _, text in lines})
    return {text for text, count in counts.items() if count > 1}


def _reads_like_a_heading(text: str) -> bool:
    words = text.split()
    letters = sum(1 for character in text if character.isalpha())
    return (
        1 <= len(words) <= _MOST_WORDS and letters >= 3 and not text[0].islower() and not text.endswith((".", ",", ";"))
    )


def place_table(page_text: str, table: Table) -> str:
    """The page's text with the lines of `table` replaced by Markdown rows, or unchanged if they are not found.

    >>> print(place_table("Parts\\nItem Mass\\nHub 620 g\\nEnd", [["Item", "Mass"], ["Hub", "620 g"]]))
    Parts
    <BLANKLINE>
    | Item | Mass |
    | --- | --- |
    | Hub | 620 g |
    <BLANKLINE>
    End
    """
    # Compare without white space: the two libraries break lines and set blanks differently.
    squeezed = [(character, index) for index, character in enumerate(page_text) if not character.isspace()]
    haystack = "".join(character for character, _ in squeezed)
    needle = "".join("".join(cell.split()) for row in table for cell in row)
    at = haystack.find(needle)
    if at < 0 or not needle:
        return page_text
    start, end = squeezed[at][1], squeezed[at + len(needle) - 1][1] + 1
    return f"{page_text[:start].rstrip()}\n\n{markdown_rows(table)}\n\n{page_text[end:].lstrip()}"


def markdown_rows(table: Table) -> str:
    """A table as Markdown, its first row as the header."""
    rows = [[cell.replace("|", "\\|") for cell in row] for row in table]
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    lines.insert(1, "| " + " | ".join("---" for _ in rows[0]) + " |")
    return "\n".join(lines)


def _cell(cell: str | None) -> str:
    return " ".join((cell or "").split())


def _is_table(table: Table) -> bool:
    cells = [cell for row in table for cell in row]
    filled = sum(1 for cell in cells if cell)
    return len(table) >= 2 and len(table[0]) >= 2 and filled >= 0.6 * len(cells)
