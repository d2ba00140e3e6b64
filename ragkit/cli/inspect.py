"""`ragkit inspect`: what the index holds, a document with its chunks, or one chunk."""

from __future__ import annotations

from collections import Counter
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ragkit.cli.options import ConfigOption, JsonOption, SetOption, load, print_json
from ragkit.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console
    from rich.text import Text

    from ragkit.store.open import Snapshot
    from ragkit.types import Chunk, Document

_MOST_DOCUMENTS = 50
_COLOURS = ("cyan", "green")


def inspect(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Show this document.")] = None,
    chunk: Annotated[str | None, typer.Option("--chunk", metavar="ID", help="Show this chunk.")] = None,
    config: ConfigOption = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what the index holds."""
    from ragkit.cli.printing import console
    from ragkit.store.open import open_snapshot

    if name is not None and chunk is not None:
        raise ConfigError("NAME and --chunk exclude each other", mend="give one of them")
    # Not through Ragkit, which refuses an index of other settings: this is where one looks at it.
    snapshot = open_snapshot(load(config, overrides))
    try:
        if chunk is not None:
            found = one_chunk(snapshot, chunk)
            print_json(_chunk_json(*found)) if as_json else _print_chunk(console(), *found)
        elif name is not None:
            document, chunks = one_document(snapshot, name)
            if as_json:
                print_json(_document_json(document, chunks))
            else:
                _print_document(console(), document, chunks)
        else:
            whole = statistics(snapshot)
            print_json(whole) if as_json else _print_statistics(console(), whole)
    finally:
        snapshot.close()


def statistics(snapshot: Snapshot) -> dict[str, Any]:
    """The index in numbers, its settings, and a row a document."""
    from ragkit.store.served import collection_name

    entries = list(snapshot.manifest.entries())
    documents, chunks, tokens, _ = snapshot.manifest.totals()
    return {
        "path": str(snapshot.folder),
        "generation": snapshot.generation,
        "collection": collection_name(snapshot.folder / snapshot.generation),
        "disk_bytes": _size(snapshot.folder),
        "documents": documents,
        "chunks": chunks,
        "tokens": tokens,
        "without_vectors": snapshot.manifest.without_vectors(),
        "by_type": dict(Counter(_type(entry.name) for entry in entries).most_common()),
        "settings": snapshot.manifest.meta("settings") or {},
        "parsers": snapshot.manifest.meta("parsers") or [],
        "entries": [
            {
                "name": entry.name,
                "title": entry.title,
                "pages": entry.pages,
                "chunks": entry.chunks,
                "tokens": entry.tokens,
                "state": entry.state,
            }
            for entry in entries
        ],
    }


def one_document(snapshot: Snapshot, name: str) -> tuple[Document, list[Chunk]]:
    """A document with its chunks in reading order. Raises ConfigError with a did-you-mean."""
    from ragkit.cli.documents import find_document

    entry = find_document(snapshot.manifest, name)
    document = snapshot.manifest.document(entry.id)
    if document is None:
        raise ConfigError(f"the index holds no text of {entry.name}", mend="run: ragkit index --rebuild")
    return document, snapshot.store.chunks_of(entry.id)


def one_chunk(snapshot: Snapshot, chunk_id: str) -> tuple[Chunk, Chunk | None, Chunk | None]:
    """A chunk and its neighbours in the document, before and after."""
    chunk = snapshot.store.chunks([chunk_id]).get(chunk_id)
    if chunk is None:
        raise ConfigError(f"the index holds no chunk {chunk_id}", mend="the ids are in: ragkit inspect NAME")
    around = snapshot.store.chunks_of(chunk.document_id)
    at = [each.id for each in around].index(chunk_id)
    return chunk, around[at - 1] if at else None, around[at + 1] if at + 1 < len(around) else None


def _type(name: str) -> str:
    return PurePosixPath(name.split("#", 1)[0]).suffix.removeprefix(".") or "text"


def _size(folder: Path) -> int:
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())


def _document_json(document: Document, chunks: Sequence[Chunk]) -> dict[str, Any]:
    return {
        "name": document.source,
        "title": document.title,
        "media_type": document.media_type,
        "date_created": document.date_created,
        "content_hash": document.content_hash,
        "metadata": dict(document.metadata),
        "pages": list(document.pages),
        "sections": [{"path": list(section.path), "offset": section.offset} for section in document.sections],
        "text": document.text,
        "chunks": [_plain_chunk(chunk) for chunk in chunks],
    }


def _chunk_json(chunk: Chunk, before: Chunk | None, after: Chunk | None) -> dict[str, Any]:
    return {
        **_plain_chunk(chunk),
        "before": _plain_chunk(before) if before else None,
        "after": _plain_chunk(after) if after else None,
    }


def _plain_chunk(chunk: Chunk) -> dict[str, Any]:
    return {
        "chunk_id": chunk.id,
        "start": chunk.start,
        "end": chunk.end,
        "token_count": chunk.token_count,
        "metadata": dict(chunk.metadata),
        "header": chunk.header,
        "text": chunk.text,
    }


def _print_statistics(screen: Console, whole: dict[str, Any]) -> None:
    from rich.table import Table
    from rich.text import Text

    from ragkit.cli.printing import FAINT, clean, counted

    types = ", ".join(f"{count:,} {kind}" for kind, count in whole["by_type"].items())
    counts = (
        counted(whole["documents"], "document"),
        counted(whole["chunks"], "chunk")
        + (f" ({whole['without_vectors']:,} without a vector yet)" if whole["without_vectors"] else ""),
        counted(whole["tokens"], "token"),
    )
    facts = {
        "index": f"{whole['path']}, {whole['generation']}, {whole['disk_bytes'] / 1e6:.1f} MB",
        **({"collection": whole["collection"]} if whole["collection"] else {}),
        "holds": ", ".join(counts),
        "types": types,
    }
    screen.print(_facts(facts))
    settings = ", ".join(f"{key.rsplit('.', 1)[-1]} {value}" for key, value in whole["settings"].items() if value != "")
    screen.print(Text(f"built with: {settings}", style=FAINT))
    screen.print()
    table = Table(box=None, pad_edge=False, header_style=FAINT)
    table.add_column("document", overflow="fold")
    for column in ("pages", "chunks", "tokens"):
        table.add_column(column, justify="right")
    for entry in whole["entries"][:_MOST_DOCUMENTS]:
        state = "" if entry["state"] == "done" else f" ({entry['state']})"
        pages = f"{entry['pages']:,}" if entry["pages"] else ""
        table.add_row(clean(entry["name"]) + state, pages, f"{entry['chunks']:,}", f"{entry['tokens']:,}")
    screen.print(table)
    if len(whole["entries"]) > _MOST_DOCUMENTS:
        screen.print(f"... and {len(whole['entries']) - _MOST_DOCUMENTS:,} more; --json lists all")


def _facts(facts: dict[str, str]) -> Any:
    """Names and values in two columns; empty values are left out."""
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in facts.items():
        if value:
            table.add_row(name, Text(value))
    return table


def _print_document(screen: Console, document: Document, chunks: Sequence[Chunk]) -> None:
    from rich.text import Text

    from ragkit.cli.printing import FAINT, clean, counted

    facts = {
        "document": clean(document.source),
        "title": clean(document.title),
        "type": document.media_type,
        "created": document.date_created or "",
        "pages": f"{len(document.pages):,}" if document.pages else "",
        "size": f"{counted(len(document.text), 'character')}, {counted(len(chunks), 'chunk')}",
        **{clean(key): clean(str(value)) for key, value in document.metadata.items()},
    }
    screen.print(_facts(facts))
    if document.sections:
        screen.print(Text("sections", style="bold"))
    for section in document.sections:
        heading = "  " * len(section.path) + clean(section.path[-1]) if section.path else ""
        screen.print(Text(heading).append(f"  {section.offset:,}", style=FAINT))
    reached = 0
    for number, chunk in enumerate(chunks, start=1):
        screen.print()
        between = document.text[reached : chunk.start].strip()
        if between:
            screen.print(Text(f"in no chunk: {clean(between)}\n", style=FAINT))
        screen.print(_chunk_rule(number, chunk))
        screen.print(_chunk_text(chunk, reached, _COLOURS[number % 2]))
        reached = max(reached, chunk.end)


def _chunk_rule(number: int, chunk: Chunk) -> Text:
    from rich.text import Text

    from ragkit.cli.printing import FAINT, counted, place

    where = place(chunk.page_number, chunk.section_heading)
    rule = Text(f"chunk {number}", style="bold").append(f"  {chunk.id}", style=FAINT)
    about = f"characters {chunk.start:,}-{chunk.end:,}, {counted(chunk.token_count, 'token')}"
    return rule.append(f"\n{about}{', ' if where else ''}{where}", style=FAINT)


def _chunk_text(chunk: Chunk, reached: int, colour: str) -> Text:
    """The text; what the chunk before has too is faint and between « and »."""
    from rich.text import Text

    from ragkit.cli.printing import FAINT, clean

    shared = max(0, min(reached, chunk.end) - chunk.start)
    shown = Text()
    if shared:
        shown.append(f"«{clean(chunk.text[:shared])}»", style=f"{FAINT} italic")
    return shown.append(clean(chunk.text[shared:]), style=colour)


def _print_chunk(screen: Console, chunk: Chunk, before: Chunk | None, after: Chunk | None) -> None:
    from rich.text import Text

    from ragkit.cli.printing import FAINT, clean, counted

    facts = {"chunk": chunk.id, "characters": f"{chunk.start:,}-{chunk.end:,}", "tokens": f"{chunk.token_count:,}"}
    facts |= {clean(key): clean(str(value)) for key, value in chunk.metadata.items()}
    if chunk.header:
        facts["header"] = clean(chunk.header)
    screen.print(_facts(facts))
    for label, neighbour in (("before", before), ("", chunk), ("after", after)):
        screen.print()
        if neighbour is None:
            screen.print(Text(f"{label}: none, this is the {'first' if label == 'before' else 'last'}", style=FAINT))
            continue
        if label:
            about = f"{label}: chunk {neighbour.id}, {counted(neighbour.token_count, 'token')}"
            screen.print(Text(about, style=FAINT))
        screen.print(Text(clean(neighbour.text), style=FAINT if label else _COLOURS[0]))
