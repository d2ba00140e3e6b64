"""Rebuild the binary documents of the sample corpus (PDF, DOCX, PPTX) under ``eval/samples``.

The other formats of the corpus (Markdown, HTML, plain text, e-mail, JSON lines) are kept as they are in the
repository; only the binary ones are written by this script, from the text in sample_documents.py.

Needs (not part of ragkit's own dependencies)::

    pip install "reportlab>=4" "python-docx>=1.1" "python-pptx>=1.0"

Run it from anywhere::

    python scripts/build_samples.py            # writes into eval/samples
    python scripts/build_samples.py --out DIR  # writes into DIR

The output is deterministic: dates are fixed, the PDFs are written in reportlab's invariant mode and the
DOCX and PPTX archives are repacked with fixed time stamps in sorted order. Two runs with the same library
versions give the same bytes.

The documents are written in a small markup: ``#``, ``##`` and ``###`` headings, ``-`` bullets (two spaces
in front for the second level), ``1.`` numbered steps, ``|`` table rows (the first one is the header),
``**bold**``, ``<<pagebreak>>``, and, in slides, ``Notes:`` for the speaker's notes.
"""

# The three libraries ship no or only partial type information.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false, reportMissingImports=false
# pyright: reportPrivateUsage=false, reportUntypedBaseClass=false, reportMissingModuleSource=false

from __future__ import annotations

import argparse
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import Any, Literal
from xml.sax.saxutils import escape

from docx import Document
from docx.shared import Pt as DocxPt
from pptx import Presentation
from pptx.dml.color import RGBColor
from pptx.enum.shapes import MSO_SHAPE
from pptx.enum.text import PP_ALIGN
from pptx.util import Inches, Pt
from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import (
    BaseDocTemplate,
    Flowable,
    Frame,
    KeepTogether,
    PageBreak,
    PageTemplate,
    Paragraph,
    Spacer,
    Table,
    TableStyle,
)
from sample_documents import SOURCES, Source

VENDOR = "Tarnwell Instruments GmbH"
DEFAULT_OUT = Path(__file__).resolve().parent.parent / "eval" / "samples"
ACCENT = "#1F5673"

Kind = Literal["h1", "h2", "h3", "p", "bullet", "bullet2", "step", "table", "pagebreak", "notes"]


@dataclass
class Block:
    """One parsed block of the markup; ``rows`` is filled for tables only."""

    kind: Kind
    text: str = ""
    rows: list[list[str]] = field(default_factory=list[list[str]])


@dataclass
class Slide:
    """One slide: a title, body blocks and the speaker's notes."""

    title: str
    body: list[Block]
    notes: str = ""


_PREFIXES: tuple[tuple[str, Kind], ...] = (
    ("### ", "h3"),
    ("## ", "h2"),
    ("# ", "h1"),
    ("  - ", "bullet2"),
    ("- ", "bullet"),
    ("Notes: ", "notes"),
)
_STEP = re.compile(r"\d+\. ")
_BOLD = re.compile(r"\*\*(.+?)\*\*")


def parse(text: str) -> list[Block]:
    """Turn the markup into blocks; lines that start no block continue the one before them."""
    blocks: list[Block] = []
    is_open = False
    for line in text.strip("\n").splitlines():
        if not line.strip():
            is_open = False
            continue
        if line.startswith("|"):
            cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
            if is_open and blocks[-1].kind == "table":
                blocks[-1].rows.append(cells)
            else:
                blocks.append(Block("table", rows=[cells]))
            is_open = True
            continue
        if line.strip() == "<<pagebreak>>":
            blocks.append(Block("pagebreak"))
            is_open = False
            continue
        started: tuple[str, Kind] | None = next(
            ((line[len(p) :], kind) for p, kind in _PREFIXES if line.startswith(p)), None
        )
        if started is None and (match := _STEP.match(line)):
            started = (line[match.end() :], "step")
        if started is not None:
            blocks.append(Block(started[1], started[0].strip()))
        elif is_open:
            blocks[-1].text += " " + line.strip()
        else:
            blocks.append(Block("p", line.strip()))
        is_open = blocks[-1].kind not in ("h1", "h2", "h3")
    return blocks


def bold_parts(text: str) -> Iterator[tuple[str, bool]]:
    """Split a line at its ``**bold**`` marks into (text, is bold) pairs."""
    for index, part in enumerate(_BOLD.split(text)):
        if part:
            yield part, index % 2 == 1


# --- PDF


def _style(name: str, size: float, **more: Any) -> ParagraphStyle:
    values: dict[str, Any] = {
        "fontName": "Helvetica",
        "fontSize": size,
        "leading": size * 1.38,
        "spaceAfter": 6,
    }
    return ParagraphStyle(name, **(values | more))


_HEAD: dict[str, Any] = {
    "fontName": "Helvetica-Bold",
    "textColor": colors.HexColor(ACCENT),
    "keepWithNext": 1,
}
PDF_STYLES: dict[str, ParagraphStyle] = {
    "h1": _style("h1", 20, **_HEAD, spaceBefore=0),
    "h2": _style("h2", 13.5, **_HEAD, spaceBefore=12),
    "h3": _style("h3", 11, **_HEAD, spaceBefore=8),
    "p": _style("p", 10, spaceBefore=3),
    "bullet": _style("bullet", 10, leftIndent=14, bulletIndent=3, spaceAfter=3),
    "bullet2": _style("bullet2", 10, leftIndent=28, bulletIndent=17, spaceAfter=3),
    "step": _style("step", 10, leftIndent=18, bulletIndent=2, spaceAfter=3),
    "cell": _style("cell", 9, spaceAfter=0),
    "cellhead": _style("cellhead", 9, spaceAfter=0, fontName="Helvetica-Bold", textColor=colors.white),
}


class SampleTemplate(BaseDocTemplate):
    """A4 pages with a running head, a page number and an outline entry for each heading."""

    def __init__(self, target: BytesIO, source: Source, pages: int) -> None:
        """Set the page up; ``pages`` is the total shown in the footer (0 on the first pass)."""
        super().__init__(
            target,
            pagesize=A4,
            title=source.title,
            author=source.author,
            subject=source.number,
            creator=VENDOR,
            invariant=1,
        )
        self.source = source
        self.pages = pages
        self.headings = 0
        frame = Frame(22 * mm, 22 * mm, A4[0] - 44 * mm, A4[1] - 46 * mm, id="body")
        self.addPageTemplates([PageTemplate(id="page", frames=[frame], onPage=self.decorate)])

    def decorate(self, canvas: Canvas, _doc: BaseDocTemplate) -> None:
        """Draw head and foot of a page and set the fixed creation date."""
        set_pdf_date(canvas, self.source.created)
        canvas.saveState()
        canvas.setFont("Helvetica", 8)
        canvas.setFillColor(colors.HexColor("#555555"))
        canvas.drawString(22 * mm, A4[1] - 14 * mm, f"{VENDOR} | {self.source.number}")
        canvas.drawRightString(A4[0] - 22 * mm, 12 * mm, f"Page {canvas.getPageNumber()} of {self.pages}")
        canvas.drawString(22 * mm, 12 * mm, self.source.title)
        canvas.restoreState()

    def afterFlowable(self, flowable: Flowable) -> None:  # noqa: N802 - reportlab's name
        """Add headings to the document's outline."""
        name = getattr(getattr(flowable, "style", None), "name", "")
        if name in ("h1", "h2", "h3") and isinstance(flowable, Paragraph):
            self.headings += 1
            key = f"heading-{self.headings}"
            self.canv.bookmarkPage(key)
            self.canv.addOutlineEntry(flowable.getPlainText(), key, int(name[1]) - 1)


def set_pdf_date(canvas: Any, when: datetime) -> None:
    """Give the document a fixed creation date; invariant mode alone would say 1 January 2000."""
    stamp = canvas._doc._timeStamp
    stamp.t = when.timestamp()
    stamp.lt = when.timetuple()
    stamp.YMDhms = tuple(when.timetuple())[:6]
    stamp.dhh = stamp.dmm = 0


def _markup(text: str) -> str:
    return "".join(f"<b>{escape(part)}</b>" if bold else escape(part) for part, bold in bold_parts(text))


def _pdf_table(rows: list[list[str]]) -> Table:
    width = A4[0] - 48 * mm
    longest = [max(8, min(46, max(len(row[i]) for row in rows))) for i in range(len(rows[0]))]
    cells = [
        [Paragraph(_markup(cell), PDF_STYLES["cellhead" if r == 0 else "cell"]) for cell in row]
        for r, row in enumerate(rows)
    ]
    table = Table(cells, colWidths=[width * n / sum(longest) for n in longest], repeatRows=1)
    table.setStyle(
        TableStyle(
            [
                ("BACKGROUND", (0, 0), (-1, 0), colors.HexColor(ACCENT)),
                ("GRID", (0, 0), (-1, -1), 0.5, colors.HexColor("#9AA7B0")),
                ("ROWBACKGROUNDS", (0, 1), (-1, -1), [colors.white, colors.HexColor("#F1F5F8")]),
                ("VALIGN", (0, 0), (-1, -1), "TOP"),
                ("TOPPADDING", (0, 0), (-1, -1), 3),
                ("BOTTOMPADDING", (0, 0), (-1, -1), 4),
            ]
        )
    )
    return table


def _pdf_story(text: str) -> list[Flowable]:
    story: list[Flowable] = []
    step = 0
    for block in parse(text):
        step = step + 1 if block.kind == "step" else 0
        if block.kind == "pagebreak":
            story.append(PageBreak())
        elif block.kind == "table":
            table = _pdf_table(block.rows)
            story.append(KeepTogether([table]) if len(block.rows) < 12 else table)
            story.append(Spacer(1, 8))
        else:
            label = {"bullet": "\u2022", "bullet2": "\u2013", "step": f"{step}."}.get(block.kind)
            story.append(Paragraph(_markup(block.text), PDF_STYLES[block.kind], bulletText=label))
    return story


def build_pdf(source: Source) -> bytes:
    """Write one PDF; it is laid out twice, because the footer shows the number of pages."""
    pages = 0
    result = b""
    for _ in range(2):
        target = BytesIO()
        template = SampleTemplate(target, source, pages)
        template.build(_pdf_story(source.text))
        pages = template.page
        result = target.getvalue()
    return result


# --- DOCX, PPTX


def _set_properties(properties: Any, source: Source) -> None:
    properties.title = source.title
    properties.subject = source.number
    properties.author = source.author
    properties.last_modified_by = source.author
    properties.keywords = ""
    properties.comments = ""
    properties.revision = 1
    moment = source.created.replace(tzinfo=None)
    properties.created = moment
    properties.modified = moment
    properties.last_printed = moment


def repack(data: bytes) -> bytes:
    """Rewrite an Office archive with fixed time stamps; the content types stay the first entry."""
    target = BytesIO()
    with zipfile.ZipFile(BytesIO(data)) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
        for name in sorted(old.namelist(), key=lambda item: (item != "[Content_Types].xml", item)):
            info = zipfile.ZipInfo(name, date_time=(2020, 1, 1, 0, 0, 0))
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = 0o644 << 16
            new.writestr(info, old.read(name))
    return target.getvalue()


def build_docx(source: Source) -> bytes:
    """Write one Word document with the built-in heading, list and table styles."""
    document = Document()
    normal: Any = document.styles["Normal"]
    normal.font.name = "Calibri"
    normal.font.size = DocxPt(10.5)
    document.sections[0].footer.paragraphs[0].text = f"{VENDOR} | {source.number}"
    names = {"p": "Normal", "bullet": "List Bullet", "bullet2": "List Bullet 2", "step": "List Number"}
    for block in parse(source.text):
        if block.kind in ("h1", "h2", "h3"):
            document.add_heading(block.text, level=int(block.kind[1]))
        elif block.kind == "pagebreak":
            document.add_page_break()
        elif block.kind == "table":
            table = document.add_table(rows=len(block.rows), cols=len(block.rows[0]))
            table.style = "Light Grid Accent 1"
            for r, row in enumerate(block.rows):
                for c, cell in enumerate(row):
                    table.cell(r, c).text = cell
            document.add_paragraph()
        else:
            paragraph = document.add_paragraph(style=names[block.kind])
            for part, bold in bold_parts(block.text):
                paragraph.add_run(part).bold = bold or None
    _set_properties(document.core_properties, source)
    target = BytesIO()
    document.save(target)
    return repack(target.getvalue())


def _slides(text: str) -> list[Slide]:
    slides: list[Slide] = []
    for block in parse(text):
        if block.kind == "h1":
            slides.append(Slide(block.text, []))
        elif block.kind == "notes":
            slides[-1].notes = block.text
        else:
            slides[-1].body.append(block)
    return slides


def _place(shape: Any, left: float, top: float, width: float, height: float) -> None:
    shape.left, shape.top, shape.width, shape.height = (
        Inches(left),
        Inches(top),
        Inches(width),
        Inches(height),
    )


def _fill_bullets(frame: Any, blocks: list[Block]) -> None:
    frame.word_wrap = True
    for index, block in enumerate(blocks):
        paragraph = frame.paragraphs[0] if index == 0 else frame.add_paragraph()
        paragraph.level = 1 if block.kind == "bullet2" else 0
        paragraph.space_after = Pt(10)
        for part, bold in bold_parts(block.text):
            run = paragraph.add_run()
            run.text = part
            run.font.size = Pt(20 if block.kind == "bullet2" else 24)
            run.font.bold = bold or None


def build_pptx(source: Source) -> bytes:
    """Write one 16:9 slide deck; the first slide of the text becomes the title slide."""
    deck: Any = Presentation()
    deck.slide_width, deck.slide_height = Inches(13.333), Inches(7.5)
    for number, slide in enumerate(_slides(source.text)):
        tables = [block for block in slide.body if block.kind == "table"]
        bullets = [block for block in slide.body if block.kind != "table"]
        layout = 0 if number == 0 else (1 if bullets else 5)
        page = deck.slides.add_slide(deck.slide_layouts[layout])
        title = page.shapes.title
        title.text = slide.title
        title_run = title.text_frame.paragraphs[0].runs[0]
        title_run.font.color.rgb = RGBColor.from_string(ACCENT[1:])
        title_run.font.bold = True
        title_run.font.size = Pt(40 if number == 0 else 30)
        if number == 0:
            _place(title, 1.0, 2.2, 11.3, 1.5)
            _place(page.placeholders[1], 1.0, 4.0, 11.3, 1.8)
        else:
            _place(title, 0.7, 0.4, 11.9, 1.0)
            title.text_frame.paragraphs[0].alignment = PP_ALIGN.LEFT
            rule = page.shapes.add_shape(MSO_SHAPE.RECTANGLE, Inches(0.8), Inches(1.35), Inches(11.7), Inches(0.05))
            rule.fill.solid()
            rule.fill.fore_color.rgb = RGBColor.from_string(ACCENT[1:])
            rule.line.fill.background()
        if bullets:
            body = page.placeholders[1]
            if number:
                _place(body, 0.7, 1.7, 11.9, 2.0 if tables else 5.2)
            _fill_bullets(body.text_frame, bullets)
        for block in tables:
            rows = block.rows
            top = 3.8 if bullets else 1.8
            height = 0.6 * len(rows)
            shape = page.shapes.add_table(
                len(rows), len(rows[0]), Inches(0.7), Inches(top), Inches(11.9), Inches(height)
            )
            for r, row in enumerate(rows):
                for c, cell in enumerate(row):
                    target_cell = shape.table.cell(r, c)
                    target_cell.text = cell
                    for run in target_cell.text_frame.paragraphs[0].runs:
                        run.font.size = Pt(18)
        if slide.notes:
            page.notes_slide.notes_text_frame.text = slide.notes
    _set_properties(deck.core_properties, source)
    target = BytesIO()
    deck.save(target)
    return repack(target.getvalue())


BUILDERS = {".pdf": build_pdf, ".docx": build_docx, ".pptx": build_pptx}


def build_all(out: Path) -> list[Path]:
    """Write every binary document below ``out`` and return the paths."""
    written: list[Path] = []
    for source in SOURCES:
        target = out / source.path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(BUILDERS[target.suffix](source))
        written.append(target)
    return written


def main() -> None:
    """Command line entry point."""
    parser = argparse.ArgumentParser(description="Rebuild the PDF, DOCX and PPTX files of the sample corpus.")
    parser.add_argument("--out", type=Path, default=DEFAULT_OUT, help="folder to write into (default: eval/samples)")
    for path in build_all(parser.parse_args().out):
        print(path)


if __name__ == "__main__":
    main()
