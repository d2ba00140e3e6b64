"""Pages of PDFs: marks lie on the words, also where a page is turned; what breaks PDFium breaks one request."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from reportlab.lib.pagesizes import A4
from reportlab.pdfgen.canvas import Canvas

from ragkit.serve.problems import Problem
from ragkit.serve.sheet import Box, Sheets, draw, find

WORDS = "The kettle holds two litres."


def pdf(path: Path, turned: int = 0) -> Path:
    canvas = Canvas(str(path), pagesize=A4)
    canvas.setPageRotation(turned)
    canvas.drawString(100, 500, WORDS)
    canvas.drawString(100, 300, "Nothing else is said. " + WORDS)
    canvas.showPage()
    canvas.save()
    return path


def ink(path: Path, box: Box) -> float:
    """Share of all dark pixels of the page that lie in the box, a little wider."""
    image = Image.open(io.BytesIO(draw(path, 1, 1000))).convert("L").point([255] * 128 + [0] * 128)
    left, top, width, height = (share * side for share, side in zip(box, image.size * 2, strict=True))
    part = image.crop((int(left) - 2, int(top) - 2, int(left + width) + 3, int(top + height) + 3))
    return sum(part.tobytes()) / sum(image.tobytes())


@pytest.mark.parametrize("turned", [0, 90, 180, 270])
def test_the_marks_lie_on_the_words_however_the_page_is_turned(tmp_path: Path, turned: int) -> None:
    path = pdf(tmp_path / "a.pdf", turned)
    [first] = find(path, 1, WORDS, "")
    [second] = find(path, 1, WORDS, WORDS + " Nothing else is said.")
    assert first != second
    letters = len(WORDS.replace(" ", ""))
    whole = 2 * letters + len("Nothingelseissaid.")
    for box in (first, second):
        assert ink(path, box) == pytest.approx(letters / whole, rel=0.15)


def test_words_that_are_not_on_the_page_are_not_marked(tmp_path: Path) -> None:
    assert find(pdf(tmp_path / "a.pdf"), 1, "A teapot is something else.", "") == []


def test_a_picture_has_an_end_whatever_the_page_measures(tmp_path: Path) -> None:
    canvas = Canvas(str(tmp_path / "long.pdf"), pagesize=(100, 14_000))
    canvas.showPage()
    canvas.save()
    image = Image.open(io.BytesIO(draw(tmp_path / "long.pdf", 1, 2000)))
    assert image.width * image.height < 6_100_000


@pytest.fixture
def sheets() -> Iterator[Sheets]:
    made = Sheets()
    yield made
    made.close()


@pytest.mark.integration
def test_what_is_no_pdf_or_no_page_cannot_be_drawn(sheets: Sheets, tmp_path: Path) -> None:
    (tmp_path / "broken.pdf").write_bytes(b"%PDF-1.7 and nothing more")
    good = pdf(tmp_path / "a.pdf")
    for path, page in ((tmp_path / "broken.pdf", 1), (tmp_path / "none.pdf", 1), (good, 7)):
        with pytest.raises(Problem, match="cannot be drawn"):
            sheets.picture(path, page, 500)
    assert sheets.picture(good, 1, 500).startswith(b"\x89PNG")


@pytest.mark.integration
def test_a_process_that_dies_or_hangs_costs_one_request(
    sheets: Sheets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = pdf(tmp_path / "a.pdf")
    sheets.picture(path, 1, 500)
    with pytest.raises(Problem, match="cannot be drawn"):
        sheets._done(os._exit, 3)  # pyright: ignore[reportPrivateUsage] - as PDFium would end it
    with monkeypatch.context() as patch:
        patch.setattr("ragkit.serve.sheet._TIMEOUT_S", 1.0)
        with pytest.raises(Problem, match="cannot be drawn"):
            sheets._done(time.sleep, 600)  # pyright: ignore[reportPrivateUsage]
    assert sheets.boxes(path, 1, WORDS, "")
