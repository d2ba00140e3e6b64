"""`ragkit why`: why a passage is, or is not, among the results, and what would change that."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ragkit.cli.options import ConfigOption, JsonOption, SetOption, load, print_json
from ragkit.cli.search import STAGE_NAMES, FilterOption
from ragkit.types import RETRIEVERS

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from ragkit.config.schema import Bm25
    from ragkit.retrieve.what_if import Change
    from ragkit.retrieve.why import Standing, Why


def why(
    question: str,
    document: Annotated[
        str,
        typer.Option("--document", "-d", metavar="NAME", help="The document, as `ragkit inspect` names it."),
    ],
    chunk: Annotated[
        str | None, typer.Option("--chunk", metavar="ID", help="This chunk of it; else the nearest one.")
    ] = None,
    config: ConfigOption = None,
    overrides: SetOption = None,
    filters: FilterOption = None,
    rerank: Annotated[bool, typer.Option("--rerank/--no-rerank", help="Use the configured reranker.")] = True,
    as_json: JsonOption = False,
) -> None:
    """Explain how a passage got its rank, or why it is missing."""
    from ragkit.cli.documents import find_document
    from ragkit.cli.printing import console, warm_up
    from ragkit.retrieve.why import why as explain
    from ragkit.store.filters import parse_filter
    from ragkit.system import Ragkit

    conditions = [parse_filter(expression) for expression in filters or ()]
    with Ragkit(load(config, overrides)) as rag:
        snapshot = rag.snapshot()
        entry = find_document(snapshot.manifest, document)
        warm_up(rag, quiet=as_json)
        found = explain(
            question,
            entry.id,
            snapshot.store,
            rag.embedder,
            rag.config.retrieval,
            rag.reranker if rerank else None,
            conditions,
            chunk,
            rag.rewriter(),
        )
    if as_json:
        print_json(as_dict(found))
    else:
        _print(console(), found, rag.config.retrieval.bm25)


def as_dict(found: Why) -> dict[str, Any]:
    """The explanation as plain data."""
    from ragkit.retrieve.why import describe

    chunk = found.chunk
    return {
        "question": found.question,
        "chunk_id": chunk.id,
        "source_document": chunk.source_document,
        "page_number": chunk.page_number,
        "section_heading": chunk.section_heading,
        "text": chunk.text,
        "rank": found.rank,
        "top_k": found.top_k,
        "stages": {standing.stage: asdict(standing) | {"passed": standing.passed} for standing in found.standings},
        "words": {word.text: word.state for word in found.words},
        "dropped_by": [describe(condition) for condition in found.dropped_by],
        "changes": [asdict(change) for change in found.changes],
        "verdict": verdict(found),
    }


def verdict(found: Why) -> str:
    """One sentence: in the results or not, and at which stage it was lost."""
    from ragkit.cli.printing import ordinal
    from ragkit.retrieve.why import describe

    if found.rank is not None:
        return f"in the results: {ordinal(found.rank)} of {found.top_k}"
    if found.dropped_by:
        names = " and ".join(describe(condition) for condition in found.dropped_by)
        return f"not in the results: dropped by the filter{'s'[: len(found.dropped_by) > 1]} {names}"
    retrievers = [standing for standing in found.standings if standing.stage in RETRIEVERS]
    later = found.standings[len(retrievers) :]
    if not any(standing.passed for standing in retrievers):
        return "not in the results: no retriever has it among its candidates"
    lost = next(standing for standing in later if not standing.passed)
    after = {"fused": "after fusion", "reranked": "after reranking"}.get(lost.stage, "after like ones went down")
    return f"not in the results: {ordinal(lost.rank or 0)} {after}, and the first {lost.kept:,} are kept"


def _print(screen: Console, found: Why, bm25: Bm25) -> None:
    from rich.table import Table
    from rich.text import Text

    from ragkit.cli.printing import FAINT, clean, passage, place, term_reader

    chunk = found.chunk
    where = place(chunk.page_number, chunk.section_heading)
    heading = Text(clean(chunk.source_document), style="bold cyan")
    heading.append(f", {where}" if where else "", style="cyan")
    screen.print(heading)
    screen.print(Text(f"chunk {chunk.id}", style=FAINT))
    terms_of = term_reader(bm25)
    screen.print(passage(chunk.text, terms_of(found.question), terms_of, 300))
    screen.print()
    screen.print(Text(verdict(found), style="bold green" if found.rank else "bold yellow"))
    screen.print()
    table = Table(box=None, pad_edge=False, header_style=FAINT)
    for name in ("stage", "rank", "score", "passes on"):
        table.add_column(name)
    for standing in found.standings:
        table.add_row(*_row(standing, found))
    screen.print(table)
    screen.print()
    screen.print(_words(found))
    _print_changes(screen, found)


def _row(standing: Standing, found: Why) -> tuple[str, str, str, str]:
    from ragkit.cli.printing import ordinal

    nowhere = "not found"
    if standing.stage == "sparse" and not any(word.state == "matched" for word in found.words):
        nowhere = "no common word"
    elif standing.stage not in RETRIEVERS:
        nowhere = "not reached"
    rank = nowhere if standing.rank is None else f"{ordinal(standing.rank)} of {standing.ranked:,}"
    score = "" if standing.score is None else f"{standing.score:.3f}"
    passes = "yes" if standing.passed else "no" if standing.used else "not used"
    if standing.rank is not None and standing.used:
        passes += f", first {standing.kept:,}"
    name = STAGE_NAMES[standing.stage]
    return (f"{name}, again" if standing.stage in found.searched_again else name), rank, score, passes


def _words(found: Why) -> Text:
    """The words of the question by what BM25 makes of them."""
    from rich.text import Text

    from ragkit.cli.printing import FAINT, MATCH, clean

    line = Text()
    for state, label, style in (
        ("matched", "words found", MATCH),
        ("missing", "words missing", "yellow"),
        ("ignored", "too common to count", FAINT),
    ):
        words = ", ".join(clean(word.text) for word in found.words if word.state == state)
        if words:
            line.append(f"{label}: ").append(words + "\n", style=style)
    line.rstrip()
    return line


def _print_changes(screen: Console, found: Why) -> None:
    from rich.text import Text

    from ragkit.cli.printing import ordinal
    from ragkit.retrieve.why import describe

    if found.rank is not None:
        return
    last = found.standings[-1]
    lines = [_advice(change) for change in found.changes]
    if found.dropped_by:
        names = " and ".join(describe(condition) for condition in found.dropped_by)
        then = f"it is then {ordinal(last.rank or 0)}" if last.passed else "and one of the following"
        lines.insert(0, f"remove {names}: {then}")
    screen.print()
    if not lines:
        screen.print("No single change of the settings brings it in; ask with words of the passage.")
        return
    screen.print("what brings it in:")
    for line in lines:
        screen.print(Text(f"  {line}"))


def _advice(change: Change) -> str:
    """A change in words, as `--set` takes it.

    >>> from ragkit.retrieve.what_if import Change
    >>> _advice(Change({"retrieval.top_k": 14}, 14))
    '--set retrieval.top_k=14: it is then 14th'
    """
    from ragkit.cli.printing import ordinal

    settings = " ".join(f"--set {key}={value}" for key, value in change.settings.items())
    return f"{settings if change.reranker else '--no-rerank'}: it is then {ordinal(change.rank)}"
