"""`ragkit ask`: an answer with its citations, or a refusal with its reason."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from itertools import pairwise
from string import ascii_lowercase
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ragkit.cli.options import ConfigOption, JsonOption, SetOption, load, print_json
from ragkit.cli.search import FilterOption

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from ragkit.config.schema import Filter
    from ragkit.system import Ragkit
    from ragkit.types import Answer, Citation

_NEAREST = 3


def ask(
    question: str,
    config: ConfigOption = None,
    overrides: SetOption = None,
    filters: FilterOption = None,
    task: Annotated[
        str | None, typer.Option("--task", help="What it asks of a model, such as code, where routing goes by it.")
    ] = None,
    stream: Annotated[
        bool, typer.Option("--stream", help="Print the answer as it comes; with --json no difference.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Answer a question with citations."""
    from rich.text import Text

    from ragkit.cli.fields import note_unknown_fields
    from ragkit.cli.printing import FAINT, command_line, console, timing_line, warm_up
    from ragkit.generate.answerability import least_confidence
    from ragkit.store.filters import parse_filter
    from ragkit.system import Ragkit

    conditions = [parse_filter(expression) for expression in filters or ()]
    with Ragkit(load(config, overrides)) as rag:
        note_unknown_fields(rag, conditions)
        load_ms = warm_up(rag, quiet=as_json)
        if as_json:
            print_json(as_dict(rag.ask(question, filters=conditions, task=task)))
            return
        screen = console()
        if stream:
            answer = _streamed(screen, rag, question, conditions, task)
        else:
            answer = rag.ask(question, filters=conditions, task=task)
        least = least_confidence(rag.config.generation)
    if answer.refused:
        _print_refusal(screen, answer, least)
        if answer.results:
            see = command_line(f"search {shlex.quote(question)}", config, overrides)
            screen.print(f"\nto see the passages: {see}", soft_wrap=True)
    else:
        if not stream:
            screen.print(answer_text(answer))
        _print_sources(screen, answer)
    screen.print()
    for note in answer.notes:
        screen.print(Text(f"note: {note}", style="yellow"))
    screen.print(Text(_made_by(answer), style=FAINT))
    screen.print(timing_line(dict(answer.timings_ms), load_ms))


def as_dict(answer: Answer) -> dict[str, Any]:
    """An answer as the JSON promises it."""
    return {
        "answer": answer.text,
        "refused": answer.refused,
        "reason": answer.reason,
        "confidence": answer.confidence,
        "citations": [_citation(citation) for citation in answer.citations],
        "unsupported": [
            {"start": span.start, "end": span.end, "text": answer.text[span.start : span.end]}
            for span in answer.unsupported
        ],
        "notes": list(answer.notes),
        "removed_citations": [asdict(removed) for removed in answer.removed_citations],
        "model": answer.model,
        "degraded": answer.degraded,
        "attempts": [asdict(attempt) for attempt in answer.attempts],
        "usage": asdict(answer.usage),
        "cost_usd": answer.cost_usd,
        "timings_ms": dict(answer.timings_ms),
        "cache": answer.cache,
        "config_hash": answer.config_hash,
        "trace_id": answer.trace_id,
    }


def _made_by(answer: Answer) -> str:
    """Model, confidence, tokens and cost; the last two only where a model was paid."""
    parts = [] if answer.model == "none" else [answer.model]
    parts.append(f"confidence {answer.confidence or 0.0:.2f}")
    if answer.usage.input_tokens:
        cached = f" ({answer.usage.cached_tokens:,} cached)" if answer.usage.cached_tokens else ""
        parts.append(f"{answer.usage.input_tokens:,} tokens in{cached}, {answer.usage.output_tokens:,} out")
    if answer.cost:
        parts.append("cost unknown" if answer.cost_usd is None else f"${answer.cost_usd:.6f}")
    return " · ".join(parts)


def _citation(citation: Citation) -> dict[str, Any]:
    first = ("source_document", "page_number", "start", "end", "quote")
    plain = asdict(citation)
    return {key: plain[key] for key in first} | plain


def _streamed(screen: Console, rag: Ragkit, question: str, filters: list[Filter], task: str | None) -> Answer:
    """Print pieces as they come; what checking changed afterwards is printed again, whole."""
    from ragkit.cli.printing import clean
    from ragkit.types import Answer

    pieces: list[str] = []
    for piece in rag.stream(question, filters=filters, task=task):
        if isinstance(piece, Answer):
            screen.print()
            said, checked = "".join(pieces).strip(), answer_text(piece)
            # A model that cites by numbers may have said just what is read here.
            if not piece.refused and said not in (piece.text.strip(), checked.plain.strip()):
                screen.print("\nafter checking its citations, the answer is:")
                screen.print(checked)
            return piece
        pieces.append(piece)
        screen.print(clean(piece), end="", soft_wrap=True)
    raise RuntimeError("a stream ended without its Answer")


def answer_text(answer: Answer) -> Text:
    """The answer for reading: citations as labels of the list of sources, unsupported sentences marked."""
    from rich.text import Text

    from ragkit.cli.printing import FAINT, clean

    shown = Text()
    cuts = {0, len(answer.text)}
    marks = {start: (end, label) for start, end, label in _marks(answer)}
    for start, (end, _) in marks.items():
        cuts |= {start, end}
    for span in answer.unsupported:
        cuts |= {span.start, span.end}
    places = sorted(cuts)
    for start, end in pairwise(places):
        unsupported = any(span.start <= start and end <= span.end for span in answer.unsupported)
        if start in marks:
            shown.append(marks[start][1], style=FAINT)
        else:
            shown.append(clean(answer.text[start:end]), style="yellow" if unsupported else "")
        if any(span.end == end for span in answer.unsupported):
            shown.append(" [not supported by any source]", style="bold yellow")
    return shown


def _marks(answer: Answer) -> list[tuple[int, int, str]]:
    """Where the text has a citation, and the label that stands for it.

    Several citations may read the same; the first place of that text is the first of them, and so on.
    """
    from ragkit.generate.citation_format import format_citation

    labels: dict[str, list[str]] = {}
    for label, citation in zip(_labels(answer), answer.citations, strict=True):
        written = format_citation(citation.source_document, citation.page_number, citation.section_heading)
        labels.setdefault(written, []).append(label)
    marks: list[tuple[int, int, str]] = []
    for written, belonging in labels.items():
        at = answer.text.find(written)
        for turn in range(answer.text.count(written)):
            marks.append((at, at + len(written), belonging[min(turn, len(belonging) - 1)]))
            at = answer.text.find(written, at + len(written))
    return marks


def _labels(answer: Answer) -> list[str]:
    """`[1]`, `[2]` and so on for the citations; `[a]`, `[b]` where the text quotes a document's own `[2]`."""
    from ragkit.generate.citation_mentions import find_mentions

    mentions = find_mentions(answer.text, lambda name: False)
    taken = any(reference.number is not None for mention in mentions for reference in mention.references)
    count = range(len(answer.citations))
    if not taken:
        return [f"[{number + 1}]" for number in count]
    return [f"[{ascii_lowercase[number % 26]}{number // 26 + 1 if number >= 26 else ''}]" for number in count]


def _print_sources(screen: Console, answer: Answer) -> None:
    from rich.table import Table
    from rich.text import Text

    from ragkit.cli.printing import FAINT, clean, counted, place

    for label, citation in zip(_labels(answer), answer.citations, strict=True):
        where = place(citation.page_number, citation.section_heading)
        heading = Text(clean(citation.source_document), style="bold cyan")
        heading.append(f", {where}" if where else "", style="cyan")
        details = f"characters {citation.start:,}-{citation.end:,}, support {citation.support:.0%}"
        details += ", attached by ragkit" if citation.attached else ""
        block = Table.grid(padding=(0, 1))
        block.add_row(Text(label, style=FAINT), heading)
        block.add_row("", Text(f"“{' '.join(clean(citation.quote).split())}”"))
        block.add_row("", Text(details, style=FAINT))
        screen.print()
        screen.print(block)
    if answer.unsupported:
        sentences = counted(len(answer.unsupported), "sentence")
        screen.print(Text(f"\n{sentences} of the answer not supported by any source", style="yellow"))
    for removed in answer.removed_citations:
        text = f"citation removed: {clean(removed.text)} ({clean(removed.reason)})"
        screen.print(Text(text, style="yellow"))


def _print_refusal(screen: Console, answer: Answer, least: float) -> None:
    from rich.text import Text

    from ragkit.cli.printing import clean, place

    screen.print(Text(answer.text, style="bold"))
    confidence = answer.confidence or 0.0
    screen.print(
        {
            "nothing_retrieved": "No passage of the index matches the question.",
            "evidence_too_weak": f"What was found hardly answers it: confidence {confidence:.2f}, below "
            f"the {least:.2f} of generation.refusal.",
            "model_refused": f"{answer.model} found no answer in the passages.",
        }[answer.reason or "model_refused"]
    )
    nearest: dict[str, str] = {}
    for result in answer.results:
        chunk = result.chunk
        nearest.setdefault(clean(chunk.source_document), place(chunk.page_number, chunk.section_heading))
    if nearest:
        screen.print("\nnearest documents:")
    for name, where in list(nearest.items())[:_NEAREST]:
        screen.print(Text("  ").append(name, style="cyan").append(f", {where}" if where else ""))
