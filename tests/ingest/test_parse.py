"""Bytes to text: every format that is read, and one clear line for every file that cannot be."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path

import docx
import pptx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pptx.util import Inches
from pypdf import PdfReader, PdfWriter
from reportlab.pdfgen.canvas import Canvas

from ragkit.errors import ParseError
from ragkit.ingest.parse import Parsed, parse_file, parse_text

SAMPLES = Path(__file__).parents[2] / "eval" / "samples"
FILES = sorted(path for path in SAMPLES.rglob("*") if path.is_file() and path.suffix != ".jsonl")
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(1000)

Write = Callable[[str, bytes], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write_file(name: str, data: bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(data)
        return path

    return write_file


def pdf(*pages: Sequence[tuple[int, str]], title: str | None = None) -> bytes:
    """Pages of lines, each line with its font size."""
    stream = io.BytesIO()
    canvas = Canvas(stream)
    if title:
        canvas.setTitle(title)
    for lines in pages:
        height = 780
        for size, line in lines:
            canvas.setFont("Helvetica", size)
            canvas.drawString(72, height, line)
            height -= 2 * size
        canvas.showPage()
    canvas.save()
    return stream.getvalue()


def encrypted(data: bytes, password: str, algorithm: str) -> bytes:
    writer = PdfWriter()
    writer.append(PdfReader(io.BytesIO(data)))
    writer.encrypt(password, "owner", algorithm=algorithm)
    stream = io.BytesIO()
    writer.write(stream)
    return stream.getvalue()


def word(title: str = "") -> bytes:
    document = docx.Document()
    document.core_properties.title = title
    document.add_heading("Hub manual", 1)
    document.add_paragraph("The battery lasts ten hours.")
    document.add_heading("Parts", 2)
    table = document.add_table(rows=2, cols=2)
    for index, value in enumerate(["Item", "Mass", "Hub", "620 g"]):
        table.cell(index // 2, index % 2).text = value
    stream = io.BytesIO()
    document.save(stream)
    return stream.getvalue()


def slides() -> bytes:
    presentation = pptx.Presentation()
    for number in (1, 2):
        slide = presentation.slides.add_slide(presentation.slide_layouts[1])
        assert slide.shapes.title is not None
        slide.shapes.title.text = f"Topic {number}"
        slide.placeholders[1].text = f"Body of slide {number}."  # pyright: ignore[reportAttributeAccessIssue]
        frame = slide.notes_slide.notes_text_frame
        assert frame is not None
        frame.text = f"Said on slide {number}."
    box = presentation.slides[1].shapes.add_table(2, 2, Inches(1), Inches(4), Inches(4), Inches(1))
    for index, value in enumerate(["Item", "Mass", "Hub", "620 g"]):
        box.table.cell(index // 2, index % 2).text = value
    stream = io.BytesIO()
    presentation.save(stream)
    return stream.getvalue()


LINES = [(20, "Battery"), (11, "The battery lasts ten hours."), (11, "Charge it every evening.")]
PDF = pdf(LINES, [(11, "Page two has its own text.")])


def trails(parsed: Parsed) -> list[str]:
    return [" > ".join(section.path) for section in parsed.sections]


class TestText:
    """Kept as it is, so that offsets are those of the file."""

    @pytest.mark.parametrize("suffix", [".txt", ".text", ".log", "", ".md", ".markdown", ".mdx", ".rst", ".TXT"])
    def test_every_character_is_kept(self, write: Write, suffix: str) -> None:
        text = "Größe 👩\r\n\tis  kept.\n\n\nEnd \n"
        assert parse_file(write(f"file{suffix}", text.encode())).text == text

    def test_markdown_has_sections_and_is_titled_by_the_first(self, write: Write) -> None:
        parsed = parse_file(write("a.md", b"# Manual\n\nText.\n\n## Setup\n\nMore."))
        assert (parsed.title, parsed.media_type, trails(parsed)) == (
            "Manual",
            "text/markdown",
            ["Manual", "Manual > Setup"],
        )

    def test_plain_text_has_no_sections(self, write: Write) -> None:
        assert parse_file(write("a.txt", b"# no heading here\n\nText.")).sections == ()

    def test_restructured_text_and_its_fields(self, write: Write) -> None:
        parsed = parse_file(write("a.rst", b"PEP: 8\nTitle: Style\nCreated: 05-Jul-2001\n\nIntro\n=====\n\nText.\n"))
        assert (parsed.title, parsed.date_created, trails(parsed)) == ("Style", "2001-07-05", ["Intro"])

    @pytest.mark.parametrize(
        ("encoding", "text"),
        [
            ("utf-8-sig", "Größe"),
            ("utf-16", "Größe 👩"),
            ("utf-16-le", "\ufeffGröße 👩"),
            ("utf-16-be", "\ufeffGröße 👩"),
            ("utf-32", "Größe 👩"),
        ],
    )
    def test_unicode_with_a_byte_order_mark_is_read_without_it(self, write: Write, encoding: str, text: str) -> None:
        parsed = parse_file(write("a.txt", text.encode(encoding)))
        assert (parsed.text, parsed.warnings) == (text.removeprefix("\ufeff"), ())

    @pytest.mark.parametrize(
        ("encoding", "read_as", "text"),
        [
            ("latin-1", "cp1252", "# Café\n\nx"),
            ("latin-1", "cp1252", "Größe und Café für die Bürger. Überall schön."),
            ("cp1252", "cp1252", "It costs 5 € – “really”."),
            ("cp1251", "cp1251", "Привет, как дела? Это обычный текст на русском языке."),
            ("koi8_r", "koi8_r", "Привет, как дела? Это обычный текст на русском языке."),
            ("cp932", "cp932", "これは日本語のテキストです。文字コードの判定を試験する。"),
            ("gb18030", "gb18030", "这是一个中文文本。它有两个句子。"),
        ],
    )
    def test_other_encodings_are_guessed_and_said(self, write: Write, encoding: str, read_as: str, text: str) -> None:
        parsed = parse_file(write("a.txt", text.encode(encoding)))
        assert (parsed.text, parsed.warnings) == (text, (f"is not UTF-8; read as {read_as}",))

    def test_utf16_that_was_cut_off_loses_its_last_character_only(self, write: Write) -> None:
        assert parse_file(write("a.txt", "Hello world".encode("utf-16")[:-1])).text == "Hello worl\ufffd"

    def test_a_row_keeps_its_text(self) -> None:
        assert parse_text("# x\n\ny") == Parsed("# x\n\ny", "text/plain")
        assert trails(parse_text("# x\n\ny", "text/markdown")) == ["x"]


class TestPdf:
    def test_pages_begin_where_their_text_begins(self, write: Write) -> None:
        parsed = parse_file(write("a.pdf", PDF))
        assert len(parsed.pages) == 2
        assert parsed.text[parsed.pages[1] :] == "Page two has its own text."
        assert "The battery lasts ten hours." in parsed.text[: parsed.pages[1]]

    def test_lines_in_a_larger_font_are_headings(self, write: Write) -> None:
        parsed = parse_file(write("a.pdf", PDF))
        assert trails(parsed) == ["Battery"]
        assert parsed.text[parsed.sections[0].offset :].startswith("Battery")
        assert parse_file(write("b.pdf", PDF), pdf_layout=False).sections == ()

    def test_its_title_is_read(self, write: Write) -> None:
        assert parse_file(write("a.pdf", pdf(LINES, title="Hub manual"))).title == "Hub manual"

    def test_a_page_without_text_keeps_its_number(self, write: Write) -> None:
        parsed = parse_file(write("a.pdf", pdf(LINES, [], [(11, "Page three.")])))
        assert len(parsed.pages) == 3
        assert parsed.text[parsed.pages[2] :] == "Page three."

    def test_ruled_tables_become_rows(self) -> None:
        parsed = parse_file(SAMPLES / "specifications" / "technical-specifications.pdf")
        assert any(line.startswith("| --- |") for line in parsed.text.splitlines())

    def test_one_that_only_its_owner_may_change_is_read(self, write: Write) -> None:
        assert "ten hours" in parse_file(write("a.pdf", encrypted(PDF, "", "AES-256"))).text


class TestOffice:
    def test_word(self, write: Write) -> None:
        parsed = parse_file(write("a.docx", word()))
        assert "The battery lasts ten hours." in parsed.text
        assert "| Hub | 620 g |" in parsed.text
        assert trails(parsed) == ["Hub manual", "Hub manual > Parts"]
        assert parsed.title == "Hub manual"
        assert parse_file(write("b.docx", word("Set title"))).title == "Set title"

    def test_slides_are_pages_with_their_notes_and_tables(self, write: Write) -> None:
        parsed = parse_file(write("a.pptx", slides()))
        first, second = parsed.text[: parsed.pages[1]], parsed.text[parsed.pages[1] :]
        for number, text in ((1, first), (2, second)):
            assert text.startswith(f"Topic {number}")
            assert f"Body of slide {number}." in text
            assert f"Notes:\nSaid on slide {number}." in text
        assert "| Hub | 620 g |" in second
        assert trails(parsed) == ["Topic 1", "Topic 2"]


class TestHtml:
    def test_headings_text_and_title(self, write: Write) -> None:
        html = (
            b"<html><head><title>FAQ</title></head><body>"
            b"<h1>Hub</h1><p>It lasts.</p><h2>Radio</h2><p>868</p></body></html>"
        )
        parsed = parse_file(write("a.html", html))
        assert trails(parsed) == ["Hub", "Hub > Radio"]
        assert "It lasts." in parsed.text
        assert "meta-" not in parsed.text

    @pytest.mark.parametrize(
        ("encoding", "declaration"),
        [
            ("utf-8", ""),
            ("utf-8-sig", ""),
            ("utf-16", ""),
            ("cp1251", '<meta charset="windows-1251">'),
            ("koi8_r", '<meta http-equiv="Content-Type" content="text/html; charset=koi8-r">'),
            ("utf-8", '<meta charset="windows-1251">'),
        ],
    )
    def test_its_encoding_is_the_declared_one_unless_it_is_unicode(
        self, write: Write, encoding: str, declaration: str
    ) -> None:
        html = f"<html><head>{declaration}</head><body><p>Привет, мир.</p></body></html>"
        parsed = parse_file(write("a.html", html.encode(encoding)))
        assert (parsed.text.strip(), parsed.warnings) == ("Привет, мир.", ())

    def test_an_undeclared_encoding_is_guessed_and_said(self, write: Write) -> None:
        parsed = parse_file(write("a.htm", "<p>Café</p>".encode("latin-1")))
        assert (parsed.text.strip(), parsed.warnings) == ("Café", ("is not UTF-8; read as cp1252",))


class TestEmail:
    def test_headers_that_people_read_and_the_body(self, write: Write) -> None:
        mail = (
            b"From: Ann <ann@example.com>\nTo: Bob <bob@example.com>\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\n"
            b"Date: Tue, 13 Jan 2026 10:00:00 +0100\nMessage-ID: <1@x>\n\nThe hub works.\n"
        )
        parsed = parse_file(write("a.eml", mail))
        assert (parsed.title, parsed.date_created) == ("Grüße", "2026-01-13T10:00:00+01:00")
        assert parsed.text.startswith("Subject: Grüße\nFrom: Ann <ann@example.com>\n")
        assert parsed.text.endswith("\n\nThe hub works.")
        assert "Message-ID" not in parsed.text

    def test_an_html_body_is_converted(self, write: Write) -> None:
        mail = "Subject: x\nContent-Type: text/html; charset=utf-8\n\n<p>The <b>Größe</b> is 3.</p>\n".encode()
        assert "The **Größe** is 3." in parse_file(write("a.eml", mail)).text

    def test_a_date_that_is_none_is_left_out(self, write: Write) -> None:
        assert parse_file(write("a.eml", b"Subject: x\nDate: sometime\n\nbody")).date_created is None

    def test_attachments_are_named(self, write: Write) -> None:
        mail = (
            b'Subject: x\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary="B"\n\n'
            b"--B\nContent-Type: text/plain\n\nSee the file.\n"
            b'--B\nContent-Type: application/pdf\nContent-Disposition: attachment; filename="plan.pdf"\n\nAAAA\n--B--\n'
        )
        assert "Attachments: plan.pdf\n\nSee the file." in parse_file(write("a.eml", mail)).text


class TestWhatCannotBeRead:
    """One line that says what is wrong, as a fragment that follows the file's name."""

    @pytest.mark.parametrize(
        ("name", "data", "gist"),
        [
            ("a.pdf", encrypted(PDF, "secret", "RC4-128"), "protected by a password"),
            ("a.pdf", encrypted(PDF, "secret", "AES-256"), "protected by a password"),
            ("a.docx", OLE + "EncryptedPackage".encode("utf-16-le") + OLE, "protected by a password"),
            ("a.pptx", OLE + "EncryptedPackage".encode("utf-16-le") + OLE, "protected by a password"),
            ("a.docx", OLE, "old Office file"),
            ("a.doc", OLE, "not readable as DOC"),
            ("a.txt", OLE, "holds an old Office file; rename it"),
            ("a.txt", b"", "is empty (0 bytes)"),
            ("a.pdf", b"", "is empty (0 bytes)"),
            ("a.docx", b"", "is empty (0 bytes)"),
            ("a.html", b"", "is empty (0 bytes)"),
            ("a.txt", b" \n\t\r\n ", "has no text"),
            ("a.md", b"\xef\xbb\xbf\n", "has no text"),
            ("a.html", b"<html><body></body></html>", "has no text"),
            ("a.pdf", pdf([]), "has no text (an empty document or a scan)"),
            ("a.pdf", PDF[: len(PDF) // 2], "not readable as PDF"),
            ("a.pdf", PDF[:60], "not readable as PDF"),
            ("a.pdf", b"plain text", "not readable as PDF: its first bytes are of another format"),
            ("a.docx", word()[: len(word()) // 2], "not readable as DOCX: its end is missing"),
            ("a.docx", word()[:-30], "not readable as DOCX: its end is missing"),
            ("a.pptx", slides()[:5000], "not readable as PPTX: its end is missing"),
            ("a.docx", b"PK\x03\x04 and nothing", "not readable as DOCX: its end is missing"),
            ("a.pptx", word(), "not readable as PPTX"),
            ("a.pdf", word(), "named .pdf but holds a ZIP container"),
            ("a.txt", word(), "named .txt but holds a ZIP container"),
            ("a", word(), "named without suffix but holds a ZIP container"),
            ("a.txt", bytes(range(256)) * 20, "is not text"),
            ("a.txt", b"abc\x00def", "is not text (it holds NUL bytes)"),
            ("a.txt", "Hello world".encode("utf-16-le"), "is not text (it holds NUL bytes)"),
            ("a.foo", b"some text", "of a format that is not supported (.foo)"),
            ("a.xyz", b"some text", "of a format that is not supported (.xyz)"),
            ("a.png", b"\x89PNG\r\n\x1a\n" + bytes(50), "not readable as PNG"),
            (
                "a.eml",
                b"Content-Type: application/pdf\nContent-Transfer-Encoding: base64\n\nAAAA\n",
                "no e-mail with a text",
            ),
            ("a.eml", b"Subject: a\nContent-Type: text/plain; charset=nonsense\n\nbody\n", "unknown encoding"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_one_clear_line(self, write: Write, name: str, data: bytes, gist: str) -> None:
        path = write(name, data)
        with pytest.raises(ParseError) as caught:
            parse_file(path)
        line = str(caught.value)
        assert gist in line
        assert line.startswith(("is ", "has ", "holds "))
        assert "\n" not in line
        assert len(line) < 250

    @pytest.mark.parametrize(("name", "data"), [("a.txt", PDF), ("a", PDF), ("a.docx", PDF), ("a.md", PDF)])
    def test_a_pdf_under_another_name_is_read_as_one_and_said(self, write: Write, name: str, data: bytes) -> None:
        parsed = parse_file(write(name, data))
        assert "ten hours" in parsed.text
        assert len(parsed.pages) == 2
        assert [warning.split(";")[1] for warning in parsed.warnings] == [" read as such"]

    @settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
    @given(
        st.sampled_from([".txt", ".md", ".rst", ".html", ".eml", ".csv", ".json", ".pdf", ".docx", ".pptx"]),
        st.one_of(
            st.binary(max_size=200),
            st.sampled_from([b"%PDF-1.7\n", b"PK\x03\x04", b"\xff\xfe", b"\xfe\xff", b"\xff\xfe\0\0"]).flatmap(
                lambda magic: st.binary(max_size=100).map(lambda rest: magic + rest)
            ),
            st.integers(0, len(PDF)).map(lambda end: PDF[:end]),
        ),
    )
    def test_no_bytes_raise_anything_else(self, write: Write, suffix: str, data: bytes) -> None:
        try:
            parsed = parse_file(write(f"any{suffix}", data), pdf_layout=False)
        except ParseError:
            return
        assert parsed.text.strip()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_sample_is_read(path: Path) -> None:
    parsed = parse_file(path)
    assert len(parsed.text) > 500
    assert parsed.warnings == ()
    assert parsed.title or path.suffix == ".txt"
    assert [parsed.text[section.offset] for section in parsed.sections if section.offset >= len(parsed.text)] == []
    if path.suffix in (".pdf", ".pptx"):
        assert parsed.pages[0] == 0
        assert list(parsed.pages) == sorted(set(parsed.pages))
    else:
        assert parsed.pages == ()
    if path.suffix != ".txt":
        assert parsed.sections or path.suffix == ".eml"


def test_the_samples_hold_the_evidence_that_their_questions_name() -> None:
    """Each quote, white space aside, stands in the text, and where a page is given on that page."""
    import json

    questions = [json.loads(line) for line in (SAMPLES.parent / "samples_questions.jsonl").read_text().splitlines()]
    evidence = [item for question in questions for item in question["evidence"]]
    texts = {path.relative_to(SAMPLES).as_posix(): parse_file(path) for path in FILES}
    checked = 0
    for item in evidence:
        parsed = texts.get(item["document"])
        if parsed is None:
            continue
        page: int | None = item.get("page")
        begin = parsed.pages[page - 1] if page else 0
        end = parsed.pages[page] if page and page < len(parsed.pages) else len(parsed.text)
        assert " ".join(item["quote"].split()) in " ".join(parsed.text[begin:end].split()), item
        checked += 1
    assert checked > 30


class TestDeepNesting:
    @staticmethod
    def page(depth: int) -> str:
        deep = "<div>" * depth + "<p>The deep secret &amp; it is <b>42</b>.</p>" + "</div>" * depth
        return f"<html><body><p>On top.</p>{deep}<p>Below.</p></body></html>"

    def test_text_that_the_parser_leaves_out_is_told(self, write: Write) -> None:
        parsed = parse_file(write("a.html", self.page(200).encode()))
        assert "secret" not in parsed.text, "the parser reads it now: nesting.py can go"
        [warning] = parsed.warnings
        assert warning.startswith("text nested 33 elements deep or more was not read (")
        mail = f"Subject: x\nContent-Type: text/html; charset=utf-8\n\n{self.page(200)}\n"
        assert parse_file(write("a.eml", mail.encode())).warnings == parsed.warnings

    def test_a_page_of_nothing_else_is_not_called_empty(self, write: Write) -> None:
        page = "<div>" * 5000 + "The deep secret." + "</div>" * 5000
        with pytest.raises(ParseError, match="text nested 33 elements deep or more was not read"):
            parse_file(write("a.html", page.encode()))

    @pytest.mark.parametrize("depth", [0, 31, 45])
    def test_text_that_it_reads_is_not(self, write: Write, depth: int) -> None:
        parsed = parse_file(write("a.html", self.page(depth).encode()))
        assert ("secret" in parsed.text, parsed.warnings) == (True, ())

    def test_forgotten_end_tags_are_no_nesting(self, write: Write) -> None:
        items = "".join(f"<li>Item {n} of the list<td>and <i>more" for n in range(5000))
        assert parse_file(write("a.html", f"<ul>{items}</ul>".encode())).warnings == ()
