"""What the commands that print passages share: the console, a passage cut to what matters, the next command.

Text of documents is never trusted as markup, and its control characters never reach the terminal.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

if TYPE_CHECKING:
    from ragkit.config.schema import Bm25
    from ragkit.system import Ragkit

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_WORD = re.compile(r"[^\W_]+")

MATCH = "bold green"
FAINT = "bright_black"

TermsOf = Callable[[str], frozenset[int]]
"""The search terms of a text; none for a stop word."""


def console(*, stderr: bool = False) -> Console:
    """Rich without its own ideas: no markup, no emoji codes, no colouring of numbers."""
    return Console(stderr=stderr, markup=False, emoji=False, highlight=False)


def clean(text: str) -> str:
    """The text without what could steer a terminal: control characters, direction marks, lone surrogates.

    >>> clean("red \\x1b[31m\\tand a line\\n")
    'red �[31m\\tand a line\\n'
    """
    return _CONTROL.sub("\ufffd", text.replace("\r\n", "\n"))


def place(page: int | None, section: str | None) -> str:
    """Where in a document, in words.

    >>> place(3, "Setup > Network"), place(None, None)
    ('page 3, Setup > Network', '')
    """
    return ", ".join(part for part in (f"page {page}" if page else "", clean(section or "")) if part)


def term_reader(bm25: Bm25) -> TermsOf:
    """The terms of a word or text as sparse search sees them."""
    from functools import cache

    from ragkit.store.bm25 import Bm25Encoder

    encoder = Bm25Encoder(bm25)

    @cache
    def terms_of(text: str) -> frozenset[int]:
        return frozenset(encoder.terms(text))

    return terms_of


def passage(text: str, asked: frozenset[int], terms_of: TermsOf, length: int = 400) -> Text:
    """At most about `length` characters of a passage: where most asked terms are, with these marked."""
    flat = " ".join(clean(text).split())
    words = [match.span() for match in _WORD.finditer(flat) if terms_of(match.group()) & asked]
    begin, end = _best_window(flat, words, length)
    shown = Text("… " if begin else "")
    at = begin
    for start, stop in words:
        if begin <= start and stop <= end:
            shown.append(flat[at:start])
            shown.append(flat[start:stop], style=MATCH)
            at = stop
    shown.append(flat[at:end])
    return shown.append(" …" if end < len(flat) else "")


def _best_window(flat: str, words: Sequence[tuple[int, int]], length: int) -> tuple[int, int]:
    if len(flat) <= length:
        return 0, len(flat)
    # A little of what stands before the first match makes it readable; the beginning wins a tie.
    starts = [0, *(max(0, start - length // 4) for start, _ in words)]
    best = max(starts, key=lambda at: (sum(1 for start, _ in words if at <= start < at + length), -at))
    begin = best if best == 0 else flat.find(" ", best) + 1
    end = begin + length
    return begin, len(flat) if end >= len(flat) else max(flat.rfind(" ", begin + length // 2, end), begin + 1)


OLDER_COPY = (
    "A running process still reads an older copy of the index; it goes when that process asks again or ends"
    " (on a server: with the next run of ragkit index or ragkit delete after that)."
)


def command_line(command: str, config_path: Path | None, overrides: Sequence[str] | None) -> str:
    """A command to type next, with the options that name the same system.

    >>> command_line("ask 'QUESTION'", Path("my config.yaml"), ["retrieval.top_k=3"])
    "ragkit ask 'QUESTION' --config 'my config.yaml' --set retrieval.top_k=3"
    """
    options = [] if config_path is None else ["--config", str(config_path)]
    for override in overrides or ():
        options += ["--set", override]
    return " ".join(["ragkit", command, *([shlex.join(options)] if options else [])])


def counted(number: int, thing: str) -> str:
    """A number with its noun.

    >>> counted(1, "document"), counted(1200, "chunk")
    ('1 document', '1,200 chunks')
    """
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


@contextmanager
def steps(*, quiet: bool) -> Generator[Callable[[str], None]]:
    """A spinner on stderr that says what is being done, as it is told; nothing when `quiet` or without a terminal."""
    screen = console(stderr=True)
    if quiet or not screen.is_terminal:
        yield lambda _: None
        return
    with screen.status("") as status:
        yield status.update


@contextmanager
def loading(what: str, *, quiet: bool) -> Generator[None]:
    """A spinner on stderr while something slow happens; nothing when `quiet` or without a terminal."""
    screen = console(stderr=True)
    if quiet or not screen.is_terminal:
        yield
        return
    with screen.status(what):
        yield


def warm_up(rag: Ragkit, *, quiet: bool) -> float:
    """Load the local embedding model and return the milliseconds it took, which no stage is charged for.

    The index is opened first: what is wrong with it should show before seconds of loading.
    """
    from time import perf_counter

    rag.snapshot()
    if rag.config.ingestion.embedding.backend != "sentence_transformers":
        return 0.0
    began = perf_counter()
    with loading("loading the embedding model", quiet=quiet):
        rag.embedder.embed_question("warm up")
    return (perf_counter() - began) * 1e3


def timing_line(timings_ms: dict[str, float], load_ms: float) -> Text:
    """One faint line: milliseconds by stage, those that take any."""
    parts = [f"{stage} {ms:,.0f} ms" for stage, ms in timings_ms.items() if ms >= 1 or stage == "total"]
    if load_ms >= 1:
        parts.append(f"(loading the model {load_ms / 1e3:.1f} s)")
    return Text(" · ".join(parts), style=FAINT)


def ordinal(number: int) -> str:
    """A rank in words.

    >>> [ordinal(number) for number in (1, 2, 3, 4, 11, 22, 1113)]
    ['1st', '2nd', '3rd', '4th', '11th', '22nd', '1,113th']
    """
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number:,}{ending}"
