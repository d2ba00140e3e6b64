"""A page of a PDF as a picture, and where on it a range of the document's text stands.

PDFs come from outside, and PDFium is no Python: it works in a process of its own under a time limit, as parsers do.
The text that was indexed has other spaces, line breaks and order than the page; letters and digits are what both share,
so the range is looked for by them.
"""

from __future__ import annotations

import io
import threading
import unicodedata
from collections.abc import Callable, Sequence
from concurrent.futures import TimeoutError as FutureTimeout
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ragkit.ingest.spawn import FreshProcesses
from ragkit.serve.problems import Problem

if TYPE_CHECKING:
    from pebble import ProcessPool

T = TypeVar("T")
Box = tuple[float, float, float, float]
"""Left, top, width and height as shares (0 to 1) of a page."""

_TIMEOUT_S = 20.0
_MOST_PIXELS = 6_000_000
_MOST_BOXES = 500
_WORTH_LOOKING = 8  # letters of a line that is looked for alone; shorter ones stand in many places
_PER_PROCESS = 200  # pages, after which a process is exchanged: what PDFium leaks goes with it


class Sheets:
    """Draws pages, in one process of its own that starts with the first of them."""

    def __init__(self) -> None:
        self._pool: ProcessPool | None = None
        self._lock = threading.Lock()

    def picture(self, path: Path, page: int, width: int) -> bytes:
        """A page (from 1) as PNG, `width` pixels wide. Raises Problem (404) if it cannot be drawn."""
        return self._done(draw, path, page, width)

    def boxes(self, path: Path, page: int, quote: str, before: str) -> list[Box]:
        """Where on a page a quote stands, line by line; `before` is the text of the page that goes before it. Empty
        where it is not found. Raises Problem (404) if the page cannot be read."""
        return self._done(find, path, page, quote, before)

    def close(self) -> None:
        with self._lock:
            if self._pool is not None:
                self._pool.stop()
                self._pool.join()
                self._pool = None

    def _done(self, work: Callable[..., T], *arguments: Any) -> T:
        from pebble import ProcessExpired, ProcessPool

        with self._lock:
            if self._pool is None:
                self._pool = ProcessPool(max_workers=1, max_tasks=_PER_PROCESS, context=FreshProcesses())
            future = self._pool.schedule(work, args=list(arguments), timeout=_TIMEOUT_S)
        try:
            return future.result()
        except (FutureTimeout, ProcessExpired, OSError, ValueError, RuntimeError, IndexError):
            raise Problem(404, "not_found", "this page cannot be drawn") from None


def draw(path: Path, page: int, width: int) -> bytes:
    """A page as PNG; narrower than `width` if it would be too large otherwise. Raises RuntimeError for no PDF."""
    import pypdfium2 as pdfium

    with pdfium.PdfDocument(path) as document:
        drawn: Any = document[page - 1]
        across, down = drawn.get_size()
        scale = min(width / across, (_MOST_PIXELS / (across * down)) ** 0.5)
        image = drawn.render(scale=scale).to_pil()
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def find(path: Path, page: int, quote: str, before: str) -> list[Box]:
    """Where a quote stands on a page, line by line. Raises RuntimeError for no PDF."""
    import pypdfium2 as pdfium
    from pypdfium2 import raw

    with pdfium.PdfDocument(path) as document:
        read = document[page - 1]
        text: Any = read.get_textpage()
        signs = [chr(raw.FPDFText_GetUnicode(text, index) or 32) for index in range(text.count_chars())]
        found: list[Box] = []
        for start, end in ranges(signs, quote, before):
            count = text.count_rects(start, end - start)
            found += [_box(raw, read, text.get_rect(number)) for number in range(count)]
        return found[:_MOST_BOXES]


def _box(raw: Any, page: Any, rect: tuple[float, float, float, float]) -> Box:
    """A rectangle of a PDF's own coordinates, as it stands on the drawn page, which may be turned or cropped."""
    import ctypes

    size = 100_000
    corners: list[tuple[float, float]] = []
    for x, y in ((rect[0], rect[1]), (rect[2], rect[3])):
        across, down = ctypes.c_int(), ctypes.c_int()
        raw.FPDF_PageToDevice(page, 0, 0, size, size, 0, x, y, ctypes.byref(across), ctypes.byref(down))
        corners.append((across.value / size, down.value / size))
    (one_x, one_y), (other_x, other_y) = corners
    left, top = min(one_x, other_x), min(one_y, other_y)
    return (round(left, 5), round(top, 5), round(abs(one_x - other_x), 5), round(abs(one_y - other_y), 5))


def ranges(signs: Sequence[str], quote: str, before: str) -> list[tuple[int, int]]:
    """Half-open ranges of the signs of a page that hold a quote: all of it, else those of its lines that are there.

    Of several places the one is taken that stands as far down as `before`, the text in front of the quote, is long.

    >>> ranges(list("One two\\nthree. One two."), "two  three", "One")
    [(4, 13)]
    >>> ranges(list("Six of one. Six of two."), "six of", "Six of one.")
    [(12, 18)]
    >>> ranges(list("the second line | the first line"), "the first line\\nthe second line", "")
    [(18, 32), (0, 15)]
    """
    letters, at = _bare(signs)
    expected = len(_bare(before)[0])
    whole = _nearest(letters, _bare(quote)[0], expected)
    places = [whole] if whole else []
    if whole is None:
        for line in quote.splitlines():
            bare = _bare(line)[0]
            place = _nearest(letters, bare, expected) if len(bare) >= _WORTH_LOOKING else None
            places += [place] if place else []
    return [(at[start], at[end - 1] + 1) for start, end in places]


def _nearest(letters: str, wanted: str, expected: int) -> tuple[int, int] | None:
    found: list[int] = []
    start = letters.find(wanted) if wanted else -1
    while start >= 0:
        found.append(start)
        start = letters.find(wanted, start + 1)
    best = min(found, key=lambda place: abs(place - expected), default=None)
    return None if best is None else (best, best + len(wanted))


def _bare(signs: Sequence[str]) -> tuple[str, list[int]]:
    """Letters and digits alone, and where each stands; a ligature is several letters."""
    kept: list[str] = []
    at: list[int] = []
    for index, sign in enumerate(signs):
        for letter in unicodedata.normalize("NFKC", sign).casefold():
            if letter.isalnum():
                kept.append(letter)
                at.append(index)
    return "".join(kept), at
