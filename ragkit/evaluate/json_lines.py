"""Files of one JSON object a line, read without holding them; what is wrong is named by file and line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from ragkit.errors import ParseError, RagkitError

MAX_LINE_BYTES = 64 * 1024 * 1024
"""A longer line is an error: it is no row of a data set but, say, one JSON array of the whole."""


def iter_objects(file: Path, mend: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Number (from 1) and content of each line that is not blank. Raises as `iter_lines`, and for what is no object."""
    for number, line in iter_lines(file, mend):
        try:
            row: Any = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise bad_line(file, number, f"not JSON ({error})") from None
        if not isinstance(row, dict):
            raise bad_line(file, number, "not a JSON object")
        yield number, cast("dict[str, Any]", row)


def iter_lines(file: Path, mend: str) -> Iterator[tuple[int, str]]:
    """Number (from 1) and text of each line that is not blank."""
    try:
        opened = file.open("rb")
    except OSError as error:
        raise RagkitError(f"cannot read {file} ({error.strerror})", mend=mend) from error
    with opened:
        number = 0
        while line := opened.readline(MAX_LINE_BYTES + 1):
            number += 1
            if len(line) > MAX_LINE_BYTES:
                raise bad_line(file, number, f"the line is longer than {MAX_LINE_BYTES} bytes")
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise bad_line(file, number, f"not UTF-8 ({error.reason} at byte {error.start})") from None
            if text.strip():
                yield number, text.rstrip("\r\n")


def bad_line(file: Path, number: int, what: str) -> ParseError:
    return ParseError(f"{file}:{number}: {what}")
