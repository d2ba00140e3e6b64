"""What is searched for a question: itself, corrected and written out, and what else may find its answer.

`retrieval.transforms` says which of these are done, always in this order:

- `spelling`: words that the documents never use become the nearest word that they do use.
- `acronyms`: an acronym is followed by what it stands for, and what it stands for by the acronym.
- `multi_query`: further wordings; by the language model, or the question without its opening and as mere keywords.
- `decompose`: the parts of a question of two parts; by the language model, or where the wording shows them.
- `hyde`: a passage that the language model imagines as the answer; the mean of its vector and the question's is
  searched: Gao et al. (2022), "Precise Zero-Shot Dense Retrieval without Relevance Labels".

The rules without a language model are for English questions; they leave others as they are.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ragkit.config.schema import Bm25, Config, Transform
from ragkit.retrieve.vocabulary import Vocabulary, read_vocabulary
from ragkit.store import StoreReader
from ragkit.store.bm25 import Bm25Encoder
from ragkit.types import Chunk, Usage

if TYPE_CHECKING:
    from ragkit.generate import Generator
    from ragkit.generate.plain_text import Write

_WORD = re.compile(r"[^\W_]+(?:[&./-][^\W_]+)*")
_OPENING = re.compile(
    r"^\W*(?:(?:(?:can|could) you )?(?:please )?(?:tell me|explain|describe)|i (?:want|need) to know)?\W*"
    r"(?:what|which|who|whom|whose|when|where|why|how(?: (?:much|many|long|far|often|old))?)?\s*"
    r"(?:'s|is|are|was|were|do|does|did|has|have|had|can|could|should|must|will|would)?\s+(?:there\s+)?",
    re.IGNORECASE,
)
_COMPARED = re.compile(
    r"\b(?:compare|differences? between|(?:differ|distinguish)\w* between|similarit(?:y|ies) (?:of|between))\s+"
    r"(?P<one>.+?)\s+(?:and|with|to|versus|vs\.?)\s+(?P<other>.+?)[?.!]*$",
    re.IGNORECASE,
)
_VERSUS = re.compile(r"^(?P<one>.+?)\s+(?:versus|vs\.?)\s+(?P<other>.+?)[?.!]*$", re.IGNORECASE)
# A second question begins after a question mark, or with "and" and a question word.
_PARTS = re.compile(
    r"(?<=\?)\s+|,?\s+(?:and|or)\s+(?=(?:what|which|who|whom|whose|when|where|why|how|is|are|does|do|did|can|must)\b)",
    re.IGNORECASE,
)
_LIST_MARK = re.compile(r"^\s*(?:[-*•]|\(?\d+[.):])\s*|^\s*(?:question|query)\s*\d*\s*:\s*", re.IGNORECASE)
_BY_RULE: frozenset[Transform] = frozenset({"spelling", "acronyms"})
_MOST_QUERIES = 3
_REWORD = "Write three other wordings of this question, one on a line, and nothing else.\n\nQuestion: {question}"
_DIVIDE = """\
If this question asks for several things, write each of them as a question of its own, one on a line. If it asks for one
thing, write it as it is. Write nothing else.

Question: {question}"""
_IMAGINE = (
    "Write one short paragraph, as it could stand in a handbook, that answers this question.\n\nQuestion: {question}"
)


@dataclass(frozen=True, slots=True)
class Query:
    """A text that is searched; `imagined` is a passage whose vector is mixed with that of the text."""

    text: str
    imagined: str = ""


@dataclass(frozen=True, slots=True)
class Rewritten:
    """What is searched for a question, its own wording first; `usage` is None unless a language model was asked."""

    queries: tuple[Query, ...]
    usage: Usage | None = None


class Rewriter:
    """The configured transforms over one state of the index, whose vocabulary is read when it is first needed."""

    def __init__(
        self,
        transforms: Sequence[Transform],
        bm25: Bm25,
        chunks: Callable[[], Iterable[Chunk]],
        write: Write | None = None,
    ) -> None:
        """`chunks` gives those of the index. Without `write` rules take the place of the language model."""
        self._transforms = frozenset(transforms)
        self._encoder = Bm25Encoder(bm25)
        self._chunks = chunks
        self._write = write
        self._lock = threading.Lock()
        self._vocabulary: Vocabulary | None = None

    def rewrite(self, question: str) -> Rewritten:
        """What is searched for a question."""
        wanted, asked = self._transforms, _Asked(self._write)
        if "spelling" in wanted:
            question = corrected(question, self._known(), self._encoder)
        if "acronyms" in wanted:
            question = with_acronyms(question, self._known())
        texts = [question]
        if "multi_query" in wanted:
            texts += asked.lines(_REWORD, question) or wordings(question, self._encoder)
        if "decompose" in wanted:
            texts += asked.lines(_DIVIDE, question) or parts(question)
        queries = [Query(text) for text in dict.fromkeys(texts)]
        if "hyde" in wanted:
            queries[0] = replace(queries[0], imagined=asked.text(_IMAGINE, question))
        return Rewritten(tuple(queries), asked.usage)

    def _known(self) -> Vocabulary:
        with self._lock:
            if self._vocabulary is None:
                self._vocabulary = read_vocabulary(self._chunks())
            return self._vocabulary


def make_rewriter(config: Config, store: StoreReader, generator: Callable[[], Generator]) -> Rewriter | None:
    """The transforms of the config over an opened index; None if it has none.

    The generator is asked for only where its language model writes.
    """
    from ragkit.generate.plain_text import plain_writer

    transforms = config.retrieval.transforms
    if not transforms:
        return None
    writes = not _BY_RULE.issuperset(transforms) and config.can_write
    write = plain_writer(generator()) if writes else None
    return Rewriter(transforms, config.retrieval.bm25, store.iter_chunks, write)


def corrected(question: str, vocabulary: Vocabulary, encoder: Bm25Encoder) -> str:
    """The question with the words of the documents in place of misprints of them.

    A word whose stem the documents use is none, whatever its ending.

    >>> from ragkit.retrieve.vocabulary import read_vocabulary_of
    >>> vocabulary = read_vocabulary_of(["The pressure, the pressure gauge."])
    >>> corrected("what Presure?", vocabulary, Bm25Encoder(Bm25()))
    'what Pressure?'
    """

    def mended(match: re.Match[str]) -> str:
        word = match[0]
        near = vocabulary.nearest(word)
        if near is None or encoder.terms(word).keys() & encoder.terms(near).keys():
            return word
        return near.capitalize() if word[0].isupper() else near

    return _WORD.sub(mended, question)


def with_acronyms(question: str, vocabulary: Vocabulary) -> str:
    """The question with each acronym and its meaning side by side, where one of them stands.

    >>> known = Vocabulary({}, {"MTBF": "mean time between failures"}, frozenset())
    >>> with_acronyms("What is the MTBF?", known)
    'What is the MTBF (mean time between failures)?'
    >>> with_acronyms("How long is the mean time between failures?", known)
    'How long is the mean time between failures (MTBF)?'
    """
    words, lower = set(_WORD.findall(question)), question.lower()
    for short, long in vocabulary.acronyms.items():
        if short in words and long.lower() not in lower:
            question = _after(question, re.escape(short), long)
        elif short not in words and long.lower() in lower:
            question = _after(question, f"(?i:{re.escape(long)})", short)
    return question


def _after(question: str, pattern: str, addition: str) -> str:
    """The question with the addition in brackets behind the first match that is no part of a word."""
    return re.sub(rf"(?<!\w){pattern}(?!\w)", lambda match: f"{match[0]} ({addition})", question, count=1)


def wordings(question: str, encoder: Bm25Encoder) -> list[str]:
    """The question without its opening, and its words that BM25 counts.

    >>> wordings("What is the range of the hub?", Bm25Encoder(Bm25()))
    ['the range of the hub', 'range hub']
    """
    topic = _OPENING.sub("", question, count=1).strip(" ?.!")
    keywords = " ".join(word for word in _WORD.findall(topic) if encoder.terms(word))
    return [text for text in dict.fromkeys((topic, keywords)) if text and text != question]


def parts(question: str) -> list[str]:
    """The questions of a question of two parts, or the two things that it compares; none if it asks one thing.

    >>> parts("How long is an RMA number valid, and who pays for the transport?")
    ['How long is an RMA number valid', 'who pays for the transport?']
    >>> parts("What is the difference between the hub and the probe?"), parts("What is the range of the hub?")
    (['the hub', 'the probe'], [])
    """
    compared = _COMPARED.search(question) or _VERSUS.search(question)
    if compared:
        return [compared["one"], compared["other"]]
    found = [part.strip(" ,;") for part in _PARTS.split(question)]
    found = [part for part in found if len(part.split()) >= 3]
    return found if len(found) > 1 else []


class _Asked:
    """The language model, if there is one, and what it took so far."""

    def __init__(self, write: Write | None) -> None:
        self._write = write
        self.usage: Usage | None = None

    def text(self, request: str, question: str, most: int = 160) -> str:
        if self._write is None:
            return ""
        text, usage = self._write(request.format(question=question), most)
        self.usage = usage if self.usage is None else self.usage + usage
        return text

    def lines(self, request: str, question: str) -> list[str]:
        """The lines of the text without their numbers; none without a model, or if it wrote nothing of use."""
        lines = [_LIST_MARK.sub("", line).strip() for line in self.text(request, question).splitlines()]
        return [line for line in lines if len(line.split()) > 1][:_MOST_QUERIES]
