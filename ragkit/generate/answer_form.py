"""The form that a model's answer may be held to: a grammar, or a JSON schema, and how such an answer reads as text.

Both leave a model two ways: the refusal, or sentences that each end with the number of a document of the prompt. Small
models hold to neither when they are only asked to.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, cast

from pydantic_core import from_json

from ragkit.generate.prompt import CitationStyle, restore
from ragkit.types import REFUSAL_TEXT

_THOUGHT = "<think>"
_MOST_SENTENCES = 3


def answer_form(style: CitationStyle, documents: int) -> str | dict[str, Any] | None:
    """What a model is held to: a grammar, a JSON schema, or nothing (as without documents)."""
    if not documents:
        return None
    if style == "grammar":
        return answer_grammar(documents)
    return answer_schema(documents) if style == "json_schema" else None


def answer_grammar(documents: int) -> str:
    """A grammar in GBNF (llama.cpp; xgrammar, and so vLLM, reads it too) for a prompt of so many documents.

    A full stop ends a sentence, and then nothing but a tag can follow, or a small model runs on; those within numbers,
    names of files and addresses, and behind initials and the commonest abbreviations, do not.

    >>> print(answer_grammar(2).splitlines()[0])
    root ::= refusal | sentence (" " sentence){0,2}
    >>> print(answer_grammar(2).splitlines()[-1])
    tag ::= "[" ("1" | "2") "]"
    """
    numbers = " | ".join(f'"{number}"' for number in range(1, documents + 1))
    return "\n".join(
        (
            f'root ::= refusal | sentence (" " sentence){{0,{_MOST_SENTENCES - 1}}}',
            f'refusal ::= "{REFUSAL_TEXT}"',
            r'sentence ::= (short | [^.!?\[\]\n ]) part{1,400} [.!?]? " " tag{1,3}',
            r"part ::= [^.!?\[\]\n] | [.!?] [a-z0-9_/@=&-] | [ (] short",
            'short ::= ([A-Z] "."){1,4} | ("Mr" | "Mrs" | "Dr" | "St" | "No" | "vs" | "approx" | "e.g" | "i.e") "."',
            f'tag ::= "[" ({numbers}) "]"',
        )
    )


def answer_schema(documents: int) -> dict[str, Any]:
    """A JSON schema for a prompt of so many documents: statements with their sources; none means a refusal.

    >>> answer_schema(2)["properties"]["statements"]["items"]["properties"]["sources"]["items"]
    {'type': 'integer', 'enum': [1, 2]}
    """
    source = {"type": "integer", "enum": list(range(1, documents + 1))}
    statement = _object(
        {"text": {"type": "string"}, "sources": {"type": "array", "items": source, "minItems": 1, "maxItems": 3}}
    )
    return _object({"statements": {"type": "array", "items": statement, "maxItems": _MOST_SENTENCES}})


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def read_statements(text: str) -> str | None:
    """An answer in the form of `answer_schema` as text with tags, also one that is not complete yet.

    None if it is nothing of the kind. What is returned for a longer part of the same answer begins with what is
    returned for a shorter one; only the refusal waits for the end.

    >>> read_statements('{"statements": [{"text": "It lasts 10 hours.", "sources": [1, 2]}]}')
    'It lasts 10 hours. [1][2]'
    >>> read_statements('{"statements": [{"text": "It la'), read_statements('{"statements": []}')
    ('It la', "I don't have enough information.")
    """
    try:
        read = cast("object", from_json(text.strip(), allow_partial="trailing-strings"))
    except ValueError:
        return None
    statements = _field(read, "statements")
    if not isinstance(statements, list):
        return "" if read == {} else None
    written: list[str] = []
    for statement in cast("list[object]", statements):
        said, sources = _field(statement, "text"), _field(statement, "sources")
        tags = [f"[{number}]" for number in cast("list[object]", sources)] if isinstance(sources, list) else []
        if isinstance(said, str) and said.strip():
            written.append(f"{' '.join(said.split())} {''.join(tags)}".rstrip())
    if not written and text.rstrip().endswith("}"):
        return REFUSAL_TEXT
    return " ".join(written)


@dataclass(slots=True)
class Shown:
    """An answer that comes in pieces, as a reader sees it: JSON becomes text with tags, and what a reasoning model
    thinks before it answers (`<think>`, where a server leaves it in) is not shown.

    >>> shown = Shown("json_schema")
    >>> [shown.add(piece) for piece in ('{"statements": [{"text": "It', ' lasts.", "sources": [', "1]}]}")]
    ['It', ' lasts.', ' [1]']
    """

    style: CitationStyle
    raw: str = ""
    text: str = ""

    def add(self, piece: str) -> str:
        """Take the next piece; returns what it adds to the text."""
        self.raw += piece
        read = _without_thoughts(restore(self.raw))
        if self.style == "json_schema" and read.lstrip().startswith("{"):
            # The last number may have more digits to come.
            read = read_statements(re.sub(r"\d+$", "", read)) or ""
        if not read.startswith(self.text):
            return ""
        added, self.text = read[len(self.text) :], read
        return added

    def whole(self) -> str:
        """The text when all pieces have come; what a server wrote that knows no schema stays as it is."""
        text = _without_thoughts(f"{restore(self.raw)}\n").strip()
        read = read_statements(text) if self.style == "json_schema" and text.startswith("{") else None
        return text if read is None else read


def _without_thoughts(text: str) -> str:
    begun = text.lstrip()
    if not begun or (not begun.startswith(_THOUGHT) and not _THOUGHT.startswith(begun)):
        return text
    _, ended, answer = begun.partition("</think>")
    return answer.lstrip() if ended else ""


def _field(value: object, name: str) -> object:
    return cast("dict[str, object]", value).get(name) if isinstance(value, dict) else None
