"""What a judge gets to see of a record: nothing but this, so that a verdict can be kept under a hash of it."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import json
from dataclasses import asdict, dataclass

from ragkit.evaluate.record import Record
from ragkit.generate.citation_mentions import without_citations
from ragkit.ingest.sentences import split_sentences


@dataclass(frozen=True, slots=True)
class Exhibit:
    """A question and its answer without citations; `evidence` is what the answer must rest on, best first.

    `references` are spellings of the right answer, none where there is no label.
    """

    question: str
    answer: str
    evidence: tuple[str, ...] = ()
    references: tuple[str, ...] = ()

    @property
    def inputs(self) -> str:
        """All of it as JSON, always the same characters for the same exhibit."""
        return json.dumps(asdict(self), sort_keys=True)


def exhibit_of(record: Record) -> Exhibit | None:
    """What judges see of a record; None where there is nothing to judge: a refusal, or an error instead of an answer.

    The evidence is the passages that stood in the prompt, and the quotes of citations that no such passage holds.
    """
    if record.refused or record.error is not None:
        return None
    passages = [passage.text for passage in record.passages if passage.in_prompt]
    quotes = [citation.quote for citation in record.citations]
    evidence = passages + [quote for quote in quotes if not any(quote in passage for passage in passages)]
    documents = {citation.document for citation in record.citations} | {row.document for row in record.passages}
    return Exhibit(
        question=record.case.question,
        answer=without_citations(record.text, documents),
        evidence=tuple(dict.fromkeys(text for text in evidence if text.strip())),
        references=record.case.answers if record.case.answerable else (),
    )


def sentences(text: str) -> list[str]:
    """The sentences of a text, list items and table rows counting as such; those without a letter or digit left out."""
    spans = split_sentences(text) or [(0, len(text))]
    return [piece for start, end in spans if any(map(str.isalnum, piece := text[start:end]))]


RULES = (
    "ragkit.evaluate.judges.exhibit",
    "ragkit.generate.citation_mentions",
    "ragkit.generate.citation_format",
    "ragkit.ingest.sentences",
)
"""The modules that decide what is left of an answer and how it falls into sentences here."""


def source_of(*modules: str) -> str:
    """The text of modules: where the rules of a judge are code, this is the version of the rules."""
    return "\n".join(inspect.getsource(importlib.import_module(name)) for name in modules)


def version_of(*parts: str) -> str:
    """A judge's version from all that decides on its verdicts (sha256, 16 hexadecimal digits)."""
    return hashlib.sha256("\x1f".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:16]
