"""Bytes to text: what a file says, with its pages, headings, title and date.

Text formats (Markdown, reStructuredText, plain text) are kept as they are, so that offsets are those of the file.
Everything else goes through `kreuzberg`. This module runs inside worker processes (`ragkit.ingest.workers`) and so
imports nothing heavy at its top.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragkit.errors import ParseError
from ragkit.ingest.headings import markdown_sections, nest_titles, underlined_sections
from ragkit.ingest.nesting import lost_text
from ragkit.types import Section

if TYPE_CHECKING:
    from ragkit.ingest.pdf_layout import PageLayout

_PLAIN = {".txt": "text/plain", ".text": "text/plain", ".log": "text/plain", "": "text/plain"}
_MARKDOWN = {".md": "text/markdown", ".markdown": "text/markdown", ".mdx": "text/markdown"}
_RST = {".rst": "text/x-rst"}
_HTML = {".html": "text/html", ".htm": "text/html", ".xhtml": "text/html"}
# Source code is text; a parser for each language would add nothing that search needs.
_CODE_NAMES = (
    "bat c cc cfg cpp cs css go h hpp ini java js jsx kt lua php pl py r rb rs scala sh sql swift tex toml ts tsx"
)
_CODE = {f".{name}": "text/plain" for name in (*_CODE_NAMES.split(), "yaml", "yml")}
TEXT_FORMATS = {**_PLAIN, **_MARKDOWN, **_RST, **_CODE}
PLAIN_TYPES = frozenset(TEXT_FORMATS.values())
"""Media types that need no parser."""

_MAGIC = (
    (b"%PDF-", "application/pdf", (".pdf",)),
    (b"PK\x03\x04", "application/zip", (".docx", ".pptx", ".xlsx", ".odt", ".ods", ".odp", ".epub", ".zip")),
    (b"\xd0\xcf\x11\xe0", "application/x-ole-storage", (".doc", ".ppt", ".xls", ".msg", ".docx", ".pptx", ".xlsx")),
    (b"\x89PNG", "image/png", (".png",)),
    (b"\xff\xd8\xff", "image/jpeg", (".jpg", ".jpeg")),
    (b"{\\rtf", "application/rtf", (".rtf",)),
)
_PPTX = "application/vnd.openxmlformats-officedocument.presentationml.presentation"
_FRONT_MATTER = re.compile(r"\A---\n((?:meta-[^\n]*\n|base[^\n]*\n)*)\n*(?:## title:[^\n]*\n)?")
_META_DATE = re.compile(r"^meta-(?:date|dcterms\.created|article:published_time): *(\S+)", re.MULTILINE)
_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset *= *[\"']?([\w.:-]+)|encoding=[\"']([\w.:-]+)", re.IGNORECASE)
_PADDING = re.compile(r"(?<=\S) {2,}(?=\|)|(?<=[-|]) {2,}|-{4,}(?= *\|)")
_ESCAPE = re.compile(r"\\([\\`*_{}\[\]()+\-.!<>~$&'\"=:;/%@^,?])")
_ENCRYPTED = re.compile(r"password|encrypt", re.IGNORECASE)
_PAGE_BREAK = "\n\n"
_BOMS = (
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
# What files without a declared encoding are written in; a guess among all that Python knows is often an odd one.
_LEGACY = (
    *("cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "koi8_r"),
    *("cp932", "euc_jp", "gb18030", "big5", "cp949"),
)
# Characters that PDF libraries put where a font does not say which letter a glyph is.
_UNREADABLE: dict[int, int | None] = dict.fromkeys((0x0000, 0xFFFE, 0xFFFF))


@dataclass(frozen=True, slots=True)
class Parsed:
    """The text of a file. `pages` and `sections` are as in `Document`; `warnings` are sentences for the report.

    `metadata` is what a row of a JSON-lines file says of itself, as it stands there.
    """

    text: str
    media_type: str
    title: str | None = None
    pages: tuple[int, ...] = ()
    sections: tuple[Section, ...] = ()
    date_created: str | None = None
    warnings: tuple[str, ...] = field(default=())
    metadata: Mapping[str, Any] = field(default_factory=dict[str, Any])


def parse_file(path: Path, pdf_layout: bool = True) -> Parsed:
    """Read one file. Raises ParseError with one readable line for anything that cannot be read.

    Examples of such lines: "is empty", "is protected by a password", "has no text (a scan?)", "is not readable as
    DOCX: ...".
    """
    data = path.read_bytes()
    if not data:
        raise ParseError("is empty (0 bytes)")
    suffix = path.suffix.lower()
    kind, expected = _content_type(data)
    warnings: list[str] = []
    if kind and suffix not in expected:
        if kind in ("application/zip", "application/x-ole-storage"):
            raise ParseError(f"is named {suffix or 'without suffix'} but holds {_describe(kind)}; rename it")
        warnings.append(f"is named {suffix or 'without suffix'} but holds {_describe(kind)}; read as such")
    elif suffix in TEXT_FORMATS:
        return _checked(_parse_text(data, suffix))
    elif not kind and suffix in {ending for _, _, endings in _MAGIC for ending in endings}:
        raise ParseError(f"is not readable as {suffix[1:].upper()}: its first bytes are of another format")
    if kind == "application/zip" and not zipfile.is_zipfile(io.BytesIO(data)):
        raise ParseError(f"is not readable as {suffix[1:].upper()}: its end is missing or damaged")
    if kind == "application/x-ole-storage" and suffix in (".docx", ".pptx", ".xlsx"):
        if "EncryptedPackage".encode("utf-16-le") in data:
            raise ParseError("is protected by a password; save it without one")
        raise ParseError(f"is named {suffix} but holds an old Office file; save it anew as {suffix}")
    if suffix == ".eml":
        return _checked(_parse_email(data))
    if suffix == ".pptx":
        return _checked(_parse_slides(path))
    if suffix in _HTML:
        html, warning = _decode(data, _declared_charset(data))
        parsed = _parse_with_kreuzberg(html, "text/html", suffix, pdf_layout, ())
        lost = lost_text(html, parsed.text)
        if lost and not parsed.text.strip():
            raise ParseError(lost)
        return replace(_checked(parsed), warnings=_told(warning, lost))
    return _checked(_parse_with_kreuzberg(path, kind if warnings else None, suffix, pdf_layout, warnings))


def reads_as_text(path: Path) -> bool:
    """Whether the file is named as text and does not begin like another format, so that no parser is needed."""
    if path.suffix.lower() not in TEXT_FORMATS:
        return False
    with path.open("rb") as stream:
        return _content_type(stream.read(16))[0] is None


def parse_text(text: str, media_type: str = "text/plain") -> Parsed:
    """Structure of a text that is already at hand (a row of a JSON-lines source)."""
    if media_type == "text/markdown":
        return Parsed(text, media_type, sections=markdown_sections(text))
    return Parsed(text, media_type)


def parse_row(row: Mapping[str, Any]) -> Parsed:
    """A row of a JSON-lines source: its text with its own title and metadata."""
    parsed = parse_text(str(row["text"]))
    metadata = dict(row.get("metadata") or {})
    title = row.get("title") or ""
    if not title and isinstance(metadata.get("title"), str):
        title = metadata.pop("title")
    return replace(parsed, title=title, metadata=metadata)


def _content_type(data: bytes) -> tuple[str | None, tuple[str, ...]]:
    for magic, kind, endings in _MAGIC:
        if data.startswith(magic):
            return kind, endings
    return None, ()


def _describe(kind: str) -> str:
    names = {"application/zip": "a ZIP container (Office, EPUB?)", "application/x-ole-storage": "an old Office file"}
    return names.get(kind, kind.split("/")[1].upper())


def _checked(parsed: Parsed) -> Parsed:
    if not parsed.text.strip():
        raise ParseError("has no text (an empty document or a scan)")
    return parsed


def _parse_text(data: bytes, suffix: str) -> Parsed:
    text, warning = _decode(data)
    if suffix in _MARKDOWN:
        sections = markdown_sections(text)
    elif suffix in _RST:
        sections = underlined_sections(text)
    else:
        sections = ()
    title = sections[0].path[0] if sections and suffix in _MARKDOWN else None
    date = None
    if suffix in _RST:
        fields = dict(re.findall(r"^(Title|Created): *(.+)$", text[:2000], flags=re.MULTILINE))
        title, date = fields.get("Title"), _iso_date(fields.get("Created"))
    return Parsed(text, TEXT_FORMATS[suffix], title, (), sections, date, (warning,) if warning else ())


def _told(*warnings: str | None) -> tuple[str, ...]:
    return tuple(warning for warning in warnings if warning)


def _declared_charset(html: bytes) -> str | None:
    found = _CHARSET.search(html[:4096])
    return (found.group(1) or found.group(2)).decode("ascii") if found else None


def _decode(data: bytes, declared: str | None = None) -> tuple[str, str | None]:
    """The text, and a warning where its encoding had to be guessed. Bytes that are UTF-8 are read as such, whatever
    they declare."""
    for bom, encoding in _BOMS:
        if data.startswith(bom):
            return data.decode(encoding, errors="replace").removeprefix("\ufeff"), None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if declared:
            try:
                return data.decode(declared), None
            except (LookupError, UnicodeDecodeError):
                pass
        return _decode_legacy(data, error)
    if "\x00" in text[:4096]:
        raise ParseError("is not text (it holds NUL bytes)")
    return text, None


def _decode_legacy(data: bytes, error: UnicodeDecodeError) -> tuple[str, str | None]:
    from charset_normalizer import from_bytes

    sample = data[:65536]
    controls = sum(1 for byte in sample if byte < 9 or 13 < byte < 32)
    best = None if controls > len(sample) // 100 else from_bytes(sample, cp_isolation=list(_LEGACY)).best()
    if best is None:
        raise ParseError(f"is not text (byte {error.start} is no UTF-8 and no other encoding fits)")
    # For Western text cp1252 contains Latin-1 and is what files without a declared encoding nearly always are.
    encoding = "cp1252" if best.encoding in ("cp1250", "cp1252", "latin_1", "iso8859_1") else best.encoding
    return data.decode(encoding, errors="replace"), f"is not UTF-8; read as {encoding}"


def _parse_email(data: bytes) -> Parsed:
    """Headers that people read and the plain body; an HTML-only body is converted."""
    message = BytesParser(policy=policy.default).parsebytes(data)
    lost: str | None = None
    body = message.get_body(preferencelist=("plain", "html"))
    if not isinstance(body, EmailMessage):
        raise ParseError("is no e-mail with a text body")
    try:
        content = str(body.get_content()).replace("\r\n", "\n").strip()
    except LookupError as error:
        raise ParseError(f"is not readable as e-mail: {error}") from error
    if body.get_content_type() == "text/html":
        import kreuzberg

        config = kreuzberg.ExtractionConfig(use_cache=False, output_format="markdown")
        html = kreuzberg.extract_bytes_sync(content.encode(), "text/html", config=config)
        page, content = content, _unescape(_without_front_matter(html.content))
        lost = lost_text(page, content)
    headers = [f"{name}: {message[name]}" for name in ("Subject", "From", "To", "Cc", "Date") if message[name]]
    attachments = [part.get_filename() for part in message.iter_attachments() if part.get_filename()]
    if attachments:
        headers.append(f"Attachments: {', '.join(str(name) for name in attachments)}")
    try:
        date = parsedate_to_datetime(str(message["date"])).isoformat() if message["date"] else None
    except ValueError:
        date = None
    title = " ".join(str(message["subject"] or "").split()) or None
    text = "\n".join(headers) + "\n\n" + content
    return Parsed(text, "message/rfc822", title, date_created=date, warnings=_told(lost))


def _parse_with_kreuzberg(
    content: Path | str, mime_type: str | None, suffix: str, pdf_layout: bool, warnings: Sequence[str]
) -> Parsed:
    is_pdf = mime_type == "application/pdf" or suffix == ".pdf"
    result = _extract(content, mime_type, suffix)
    metadata: dict[str, Any] = dict(result.metadata or {})
    if is_pdf:
        found = _pdf_layout(content) if pdf_layout and isinstance(content, Path) else {}
        text, pages = _pdf_text(result.pages or [], found)
        sections = _pdf_sections(text, pages, found)
    else:
        front = _FRONT_MATTER.match(result.content)
        dated = _META_DATE.search(front.group(1)) if front else None
        if dated:
            metadata.setdefault("created_at", dated.group(1))
        text, pages = _unescape(_without_front_matter(result.content)), ()
        sections = markdown_sections(text)
    title = metadata.get("title") or (sections[0].path[0] if sections else None)
    return Parsed(
        text,
        str(result.mime_type),
        str(title).strip() if title else None,
        pages,
        sections,
        _iso_date(metadata.get("created_at") or metadata.get("date")),
        tuple(warnings),
    )


def _extract(content: Path | str, mime_type: str | None, suffix: str) -> Any:
    import kreuzberg

    # The type stubs lag behind: they lack disable_ocr.
    make_config: Any = kreuzberg.ExtractionConfig
    config = make_config(
        use_cache=False,
        pages=kreuzberg.PageConfig(extract_pages=True),
        output_format="markdown",
        disable_ocr=True,
    )
    try:
        if isinstance(content, str):
            return kreuzberg.extract_bytes_sync(content.encode(), mime_type or "text/plain", config=config)
        return kreuzberg.extract_file_sync(str(content), mime_type=mime_type, config=config)
    except Exception as error:
        reason = " ".join(str(error).split())
        if _ENCRYPTED.search(reason):
            raise ParseError("is protected by a password; save it without one") from error
        # kreuzberg refuses a format by a ValidationError that names nothing but its media type.
        if "unsupported" in reason.lower() or isinstance(error, kreuzberg.ValidationError):
            raise ParseError(f"is of a format that is not supported ({suffix or 'no suffix'})") from error
        kind = suffix[1:].upper() or "a document"
        # The parser's own words are many and tell a user of a damaged PDF no more than this.
        why = "it is truncated or damaged" if suffix == ".pdf" else reason[:160]
        raise ParseError(f"is not readable as {kind}: {why}") from error


def _pdf_text(pages: Sequence[Any], layout: Mapping[int, PageLayout]) -> tuple[str, tuple[int, ...]]:
    """Page texts joined by a blank line. Page texts, not kreuzberg's whole content: only they keep the pages."""
    from ragkit.ingest.pdf_layout import place_table

    offsets: list[int] = []
    texts: list[str] = []
    offset = 0
    for page in pages:
        text = str(page["content"]).replace("\r\n", "\n").translate(_UNREADABLE).strip()
        number = int(page["page_number"])
        for table in layout[number].tables if number in layout else []:
            text = place_table(text, table).strip()
        offsets.append(offset)
        texts.append(text)
        offset += len(text) + len(_PAGE_BREAK)
    return _PAGE_BREAK.join(texts), tuple(offsets)


def _pdf_sections(text: str, pages: tuple[int, ...], layout: Mapping[int, PageLayout]) -> tuple[Section, ...]:
    """Headings seen by their font, each looked up as a line of its own in the text of its page."""
    titles: list[tuple[int, int, str]] = []
    for number, start in enumerate(pages, start=1):
        end = pages[number] if number < len(pages) else len(text)
        for level, title in layout[number].headings if number in layout else []:
            words = r"\s+".join(re.escape(word) for word in title.split())
            found = re.compile(rf"^[ \t]*{words}[ \t]*$", re.MULTILINE).search(text, start, end)
            if found:
                titles.append((level, found.start(), title))
                start = found.end()
    return nest_titles(titles)


def _pdf_layout(path: Path) -> dict[int, PageLayout]:
    from ragkit.ingest.pdf_layout import pdf_layout

    try:
        return pdf_layout(path)
    except Exception:
        return {}


def _parse_slides(path: Path) -> Parsed:
    """Slides by python-pptx: kreuzberg gives speaker notes to the wrong slide and has no slide numbers."""
    import pptx

    from ragkit.ingest.pdf_layout import markdown_rows

    try:
        presentation: Any = pptx.Presentation(str(path))
    except Exception as error:
        raise ParseError(f"is not readable as PPTX: {' '.join(str(error).split())[:160]}") from error
    offsets: list[int] = []
    titles: list[tuple[int, int, str]] = []
    texts: list[str] = []
    offset = 0
    for slide in presentation.slides:
        blocks: list[str] = []
        for shape in slide.shapes:
            if shape.has_text_frame and shape.text_frame.text.strip():
                blocks.append(shape.text_frame.text.replace("\x0b", "\n").strip())
            elif getattr(shape, "has_table", False) and shape.has_table:
                blocks.append(markdown_rows([[cell.text.strip() for cell in row.cells] for row in shape.table.rows]))
        title = slide.shapes.title.text.strip() if slide.shapes.title is not None else ""
        if slide.has_notes_slide and slide.notes_slide.notes_text_frame.text.strip():
            blocks.append(f"Notes:\n{slide.notes_slide.notes_text_frame.text.strip()}")
        text = "\n\n".join(blocks)
        offsets.append(offset)
        if title:
            titles.append((1, offset + max(text.find(title), 0), " ".join(title.split())))
        texts.append(text)
        offset += len(text) + len(_PAGE_BREAK)
    core = presentation.core_properties
    created = core.created.isoformat() if core.created else None
    name = core.title or (titles[0][2] if titles else None)
    return Parsed(_PAGE_BREAK.join(texts), _PPTX, name, tuple(offsets), nest_titles(titles), created)


def _unescape(markdown: str) -> str:
    """Take out the backslashes that a Markdown writer puts before signs (a reader quotes E_104, not E\\_104) and
    the blanks that align the columns of tables."""
    lines = markdown.strip().split("\n")
    return "\n".join(
        _PADDING.sub(_narrow, line) if line.startswith("|") else _ESCAPE.sub(r"\1", line) for line in lines
    )


def _narrow(padding: re.Match[str]) -> str:
    return "---" if padding.group().startswith("-") else " "


def _without_front_matter(markdown: str) -> str:
    """kreuzberg writes a page's meta tags as front matter before it; they are no part of the text."""
    return _FRONT_MATTER.sub("", markdown, count=1)


def _iso_date(value: object) -> str | None:
    """ISO 8601 where the value can be read as a date, else None."""
    from datetime import datetime

    if not isinstance(value, str):
        return None
    cleaned = value.strip().replace("Z", "+00:00")
    try:
        return datetime.fromisoformat(cleaned).isoformat()
    except ValueError:
        pass
    for pattern in ("%d-%b-%Y", "%d %B %Y", "%B %d, %Y"):
        try:
            return datetime.strptime(cleaned, pattern).date().isoformat()
        except ValueError:
            continue
    return None
