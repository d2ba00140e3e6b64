"""Which chunks of the context a citation means: by document name, then by page or section."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath

from ragkit.generate.citation_format import Reference
from ragkit.types import Chunk

Names = Mapping[str, str | None]
"""Normalised name to `source_document`; None where several documents of the context share the name."""


def normalise_name(name: str) -> str:
    """One spelling of a document name: case, white space, slashes and quotation marks make no difference.

    >>> normalise_name(' "Guides\\\\\\\\Set  up.PDF" ') == normalise_name("guides/set up.pdf")
    False
    >>> normalise_name(' "Guides/Set  up.PDF" ')
    'guides/set up.pdf'
    """
    folded = unicodedata.normalize("NFKC", name).casefold().replace("\\", "/")
    return " ".join(folded.split()).strip(" \t,;:(*_`\"'").removeprefix("./")


def names_of(context: Sequence[Chunk]) -> Names:
    """All names under which a document of the context may be cited.

    Its `source_document`; the end of that path ("a.pdf" for "guides/a.pdf"); the file name without its
    suffix; its title. An earlier kind goes before a later one; a name that two documents share at one kind
    names none.
    """
    titles: dict[str, str] = {}
    for chunk in context:
        title = chunk.metadata.get("title")
        titles.setdefault(chunk.source_document, title if isinstance(title, str) else "")
    names: dict[str, str | None] = {}
    for kind in (_whole, _path_ends, _stems):
        _add(names, {document: kind(document) for document in titles})
    _add(names, {document: [normalise_name(title)] for document, title in titles.items()})
    names.pop("", None)
    return names


def _add(names: dict[str, str | None], keys_by_document: Mapping[str, Iterable[str]]) -> None:
    found: dict[str, str | None] = {}
    for document, keys in keys_by_document.items():
        for key in set(keys):
            found[key] = None if key in found else document
    for key, document in found.items():
        names.setdefault(key, document)


def _whole(document: str) -> list[str]:
    return [normalise_name(document)]


def _path_ends(document: str) -> list[str]:
    parts = normalise_name(document).split("/")
    return ["/".join(parts[first:]) for first in range(1, len(parts))]


def _stems(document: str) -> list[str]:
    return [normalise_name(PurePosixPath(normalise_name(document)).stem)]


def find_chunks(reference: Reference, context: Sequence[Chunk], names: Names) -> tuple[list[Chunk], str]:
    """The chunks the reference may mean, in the order of the context; if none, the reason why.

    A block number means its chunk and the others of the same place (they share one canonical citation). A
    page must lie within a chunk (`page_number` to the metadata field `page_end`, if there is one). A
    section matches a run of headings of the trail. What a document does not have (pages, sections) cannot
    be wrong: there the document alone counts.
    """
    if reference.number is not None:
        if not 1 <= reference.number <= len(context):
            return [], f"the context has no block {reference.number}"
        chunk = context[reference.number - 1]
        of_document = [other for other in context if other.source_document == chunk.source_document]
        page = chunk.page_number
        return _narrow(of_document, (page,) if page else (), None if page else chunk.section_heading)
    if not reference.name and reference.pages:
        on_page = [
            chunk for chunk in context if chunk.page_number and cited_page(chunk, reference.pages) in reference.pages
        ]
        alone = len({chunk.source_document for chunk in on_page}) == 1
        return (on_page, "") if alone else ([], "it names no document")
    key = normalise_name(reference.name)
    document = names.get(key)
    if document is None:
        if key in names:
            return [], f"several documents of the context are named {reference.name!r}"
        return [], f"no document of the context is named {reference.name!r}"
    of_document = [chunk for chunk in context if chunk.source_document == document]
    return _narrow(of_document, reference.pages, reference.section)


def _narrow(chunks: list[Chunk], pages: tuple[int, ...], section: str | None) -> tuple[list[Chunk], str]:
    document = chunks[0].source_document
    if pages and any(chunk.page_number is not None for chunk in chunks):
        on_page = [chunk for chunk in chunks if cited_page(chunk, pages) in pages]
        if not on_page:
            listed = ", ".join(str(page) for page in pages)
            return [], f"page {listed} of {document} was not in the context"
        # A right page with a wrong heading is still a place; the page is what will be shown.
        return _in_section(on_page, section) or on_page, ""
    in_section = _in_section(chunks, section)
    if not in_section:
        return [], f"section {section!r} of {document} was not in the context"
    return in_section, ""


def cited_page(chunk: Chunk, pages: tuple[int, ...]) -> int | None:
    """The page to show for a chunk: the first cited page that it spans, else the one where it begins."""
    first = chunk.page_number
    if first is None:
        return None
    last = chunk.metadata.get("page_end")
    spanned = range(first, (last if isinstance(last, int) else first) + 1)
    return next((page for page in pages if page in spanned), first)


def _in_section(chunks: list[Chunk], section: str | None) -> list[Chunk]:
    wanted = _trail(section or "")
    if not wanted or not any(chunk.section_heading for chunk in chunks):
        return chunks
    return [chunk for chunk in chunks if _contains_run(_trail(chunk.section_heading or ""), wanted)]


def _trail(heading: str) -> list[str]:
    """The headings of a trail, reduced to their words."""
    headings = (" ".join(re.findall(r"\w+", part.casefold())) for part in re.split("[>›»→]", heading))
    return [words for words in headings if words]


def _contains_run(trail: list[str], run: list[str]) -> bool:
    return any(trail[start : start + len(run)] == run for start in range(len(trail) - len(run) + 1))
