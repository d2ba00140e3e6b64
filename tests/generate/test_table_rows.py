"""Rows of tables are read with the names of their columns, and only real tables count."""

from __future__ import annotations

import pytest

from ragkit.generate.table_rows import is_column_names, with_column_names

TABLE = "| Plan | Price |\n|:---|---:|\n| Basic | EUR 9 |\n| Full | EUR 19 |\n\n| loose | row |"


def row(text: str) -> tuple[int, int]:
    start = TABLE.index(text)
    return start, start + len(text)


@pytest.mark.parametrize(
    ("sentence", "read"),
    [
        ("| Basic | EUR 9 |", "| Plan | Price | Basic | EUR 9 |"),
        ("| Full | EUR 19 |", "| Plan | Price | Full | EUR 19 |"),
        ("| loose | row |", "| loose | row |"),
        ("| Plan | Price |", "| Plan | Price |"),
    ],
)
def test_a_row_is_read_with_the_names_of_its_own_table(sentence: str, read: str) -> None:
    assert with_column_names(TABLE, *row(sentence)) == read


def test_the_row_above_the_rule_names_the_columns() -> None:
    assert is_column_names(TABLE, row("| Plan | Price |")[1])
    assert not is_column_names(TABLE, row("| Basic | EUR 9 |")[1])
    assert not is_column_names(TABLE, len(TABLE))
    assert not is_column_names("A title\n\nA - b", 7)
    assert not is_column_names("It is due.\n-- \nAnn", 10)
    assert not is_column_names("It is due.\n---\n", 10)
