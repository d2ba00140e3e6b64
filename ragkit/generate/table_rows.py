"""Rows of Markdown tables among the sentences of a chunk: what a cell means stands in the first row."""

from __future__ import annotations

import re

_RULE = re.compile(r"[ \t]*\|[ \t:|-]*-[ \t:|-]*\|[ \t]*$")


def with_column_names(text: str, start: int, end: int) -> str:
    """The sentence `text[start:end]`; a row of a table with the names of its columns before it.

    >>> table = "Prices:\\n\\n| Plan | Price |\\n| --- | --- |\\n| Basic | EUR 9 |"
    >>> with_column_names(table, 40, 57)
    '| Plan | Price | Basic | EUR 9 |'
    >>> with_column_names(table, 0, 7)
    'Prices:'
    """
    row = text[start:end]
    names = _column_names(text[:start]) if row.startswith("|") else None
    return row if names is None else f"{names.rstrip(' |')} {row}"


def is_column_names(text: str, end: int) -> bool:
    """Whether the line that ends at `end` is the first row of a table and names its columns: it says nothing by itself.

    A table without a header has data there, since every table in Markdown has a first row; figures give it away.
    """
    row = text[:end].rpartition("\n")[2].strip()
    below = text[end:].lstrip(" \t").removeprefix("\n").partition("\n")[0]
    return _names_columns(row) and _RULE.match(below) is not None


def _names_columns(row: str) -> bool:
    return row.startswith("|") and not re.search(r"\d", row)


def _column_names(before: str) -> str | None:
    """The first row of the table that the text ends in, if a rule stands below it."""
    names: str | None = None
    below = ""
    for line in reversed(before.removesuffix("\n").split("\n")):
        if not line.lstrip().startswith("|"):
            break
        if _RULE.match(below) and _names_columns(line.strip()):
            names = line.strip()
        below = line
    return names
