"""`ragkit search`: the passages that match a question, best first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ragkit.cli.options import ConfigOption, JsonOption, SetOption, load, print_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from ragkit.cli.printing import TermsOf
    from ragkit.retrieve.query_transforms import Query
    from ragkit.types import ScoredChunk, Stage

FilterOption = Annotated[
    list[str] | None,
    typer.Option(
        "--filter",
        metavar="FIELD=VALUE",
        help="Keep what meets it: source_document=a.pdf,b.pdf, page_number>=3, folder!=old; repeatable.",
    ),
]

_STAGES: tuple[Stage, ...] = ("sparse", "splade", "dense", "fused", "reranked", "diversified")
STAGE_NAMES: dict[Stage, str] = {
    "sparse": "BM25",
    "splade": "SPLADE",
    "dense": "dense",
    "fused": "fused",
    "reranked": "reranked",
    "diversified": "diversified",
}


def search(
    question: str,
    config: ConfigOption = None,
    overrides: SetOption = None,
    strategy: Annotated[
        Literal["dense", "sparse", "hybrid"] | None,
        typer.Option("--strategy", help="Instead of the config's."),
    ] = None,
    rerank: Annotated[bool, typer.Option("--rerank/--no-rerank", help="Use the configured reranker.")] = True,
    top_k: Annotated[
        int | None, typer.Option("--top-k", metavar="N", min=1, max=1000, help="Number of passages.")
    ] = None,
    filters: FilterOption = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Show what was searched, and rank and score at each stage.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Find the passages that match a question."""
    from rich.text import Text

    from ragkit.cli.fields import note_unknown_fields
    from ragkit.cli.printing import FAINT, command_line, console, term_reader, timing_line, warm_up
    from ragkit.store.filters import parse_filter
    from ragkit.system import Ragkit

    conditions = [parse_filter(expression) for expression in filters or ()]
    with Ragkit(load(config, overrides)) as rag:
        note_unknown_fields(rag, conditions)
        sparse_only = (strategy or rag.config.retrieval.strategy) == "sparse"
        load_ms = 0.0 if sparse_only else warm_up(rag, quiet=as_json)
        found = rag.retrieve(question, top_k=top_k, strategy=strategy, filters=conditions, rerank=rerank)
        bm25 = rag.config.retrieval.bm25
        manifest = rag.snapshot().manifest
        without, lacking = manifest.without_vectors(), manifest.lacking_vectors()
    timings = {**found.timings_ms, "total": sum(found.timings_ms.values())}
    if as_json:
        results = [_result(result, explain) for result in found.results]
        waiting = {"without_vectors": without} if without else {}
        searched = {"queries": [_query(query) for query in found.queries]} if explain else {}
        print_json({"results": results, "timings_ms": timings} | searched | waiting)
        return
    screen = console()
    if lacking is not None:
        screen.print(Text(lacking, style=FAINT))
    if explain:
        _print_queries(screen, found.queries)
    if not found.results:
        screen.print("No passage matches" + (" the question and the filters." if conditions else " the question."))
        if conditions:
            screen.print(f"next: {command_line('inspect', config, overrides)}", soft_wrap=True)
        return
    terms_of = term_reader(bm25)
    for number, result in enumerate(found.results, start=1):
        _print_result(screen, number, result, terms_of(question), terms_of, explain)
    screen.print(timing_line(timings, load_ms))


def _query(query: Query) -> dict[str, str]:
    """A query as the JSON promises it."""
    return {"text": query.text} | ({"imagined": query.imagined} if query.imagined else {})


def _print_queries(screen: Console, queries: Sequence[Query]) -> None:
    """What was really searched: the question, as it was corrected or written out, and what else was."""
    from rich.text import Text

    from ragkit.cli.printing import FAINT, clean

    for query in queries:
        screen.print(Text(f"searched: {clean(query.text)}", style=FAINT))
        if query.imagined:
            screen.print(Text(f"and a passage like: {clean(query.imagined)}", style=FAINT))
    screen.print()


def _result(result: ScoredChunk, explain: bool) -> dict[str, Any]:
    """A result as the JSON promises it."""
    chunk = result.chunk
    plain: dict[str, Any] = {
        "chunk_id": chunk.id,
        "source_document": chunk.source_document,
        "page_number": chunk.page_number,
        "section_heading": chunk.section_heading,
        "text": chunk.text,
        "score": result.score,
    }
    if explain:
        plain["stages"] = {stage: {"rank": score.rank, "score": score.score} for stage, score in result.stages.items()}
    return plain


def _print_result(
    screen: Console, number: int, result: ScoredChunk, asked: frozenset[int], terms_of: TermsOf, explain: bool
) -> None:
    from rich.table import Table
    from rich.text import Text

    from ragkit.cli.printing import FAINT, clean, passage, place

    chunk = result.chunk
    where = place(chunk.page_number, chunk.section_heading)
    heading = Text(clean(chunk.source_document), style="bold cyan")
    heading.append(f", {where}" if where else "", style="cyan").append(f"  {result.score:.3f}", style=FAINT)
    block = Table.grid(padding=(0, 1))
    block.add_row(Text(f"{number:>2}."), heading)
    block.add_row("", passage(chunk.text, asked, terms_of))
    if explain:
        block.add_row("", Text(f"{_stages(result)}\nchunk {chunk.id}", style=FAINT))
    screen.print(block)
    screen.print()


def _stages(result: ScoredChunk) -> str:
    """Rank and score at every stage that saw the chunk.

    >>> from ragkit.types import Chunk, ScoredChunk, StageScore
    >>> chunk = Chunk("1", "d", "text", 0, 4, 1, {"source_document": "a.md"})
    >>> _stages(ScoredChunk(chunk, 0.5, {"dense": StageScore(2, 0.61), "fused": StageScore(1, 0.5)}))
    'BM25 not found · dense 2nd, 0.610 · fused 1st, 0.500'
    """
    from ragkit.cli.printing import ordinal

    parts: list[str] = []
    for stage in _STAGES:
        score = result.stages.get(stage)
        if score is not None:
            parts.append(f"{STAGE_NAMES[stage]} {ordinal(score.rank)}, {score.score:.3f}")
        elif stage in ("sparse", "dense"):
            parts.append(f"{STAGE_NAMES[stage]} not found")
    return " · ".join(parts)
