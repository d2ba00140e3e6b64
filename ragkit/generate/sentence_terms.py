"""Sentences of the evidence and the words that they share with the question: no model is needed for that."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from ragkit.config.schema import Bm25
from ragkit.generate.injection import reads_as_order
from ragkit.generate.prompt import CitationStyle, SplitSentences
from ragkit.generate.table_rows import is_column_names
from ragkit.store.bm25 import Bm25Encoder
from ragkit.types import Chunk

_NEAREST = 3
_SENTENCE_END = re.compile(r"[.!?…。！？｡؟۔।॥։།]['\"”’»)\]」』）]*$")
# Letters of scripts that put no space between words: Thai and Lao, Burmese, Khmer, kana and Han.
_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]")
_FEWEST_LETTERS = 6
_PAGE_NUMBER = re.compile(r"(?:^page \d+|(?:^|\s)page \d+ of \d+)$", re.IGNORECASE)
_FEWEST_WORDS = 4


@dataclass(frozen=True, slots=True)
class Nearest:
    """A sentence in one line, and the number of its chunk in the prompt, counted from 1."""

    number: int
    text: str


def nearest_to(
    question: str, chunks: Sequence[Chunk], citations: CitationStyle, split_sentences: SplitSentences
) -> list[str]:
    """What a prompt shows of `nearest_sentences`: for small models, those that cite by numbers; else nothing."""
    if citations not in ("tags", "grammar"):
        return []
    return [sentence.text for sentence in nearest_sentences(question, chunks, split_sentences)]


def nearest_sentences(question: str, chunks: Sequence[Chunk], split_sentences: SplitSentences) -> list[Nearest]:
    """The three sentences of the chunks that share most of the question's terms, the nearest first."""
    found = [
        (number, chunk, chunk.text[start:end])
        for number, chunk in enumerate(chunks, start=1)
        for start, end in split_sentences(chunk.text)
        if states_something(chunk, start, end)
    ]
    shares = term_shares(question, [(chunk, text) for _, chunk, text in found])
    ranked = sorted(zip(shares, found, strict=True), key=lambda pair: -pair[0])
    return [Nearest(number, " ".join(text.split())) for _, (number, _, text) in ranked[:_NEAREST]]


def term_shares(question: str, sentences: Sequence[tuple[Chunk, str]]) -> list[float]:
    """For each sentence the share of the question's terms that it or its headings have, by rarity; 0 to 1."""
    bm25 = Bm25Encoder(Bm25())
    asked = bm25.terms(question).keys()
    headings: dict[str, set[int]] = {}
    terms: list[set[int]] = []
    for chunk, text in sentences:
        heading = headings.setdefault(
            chunk.id, set(bm25.terms(f"{chunk.section_heading or ''} {chunk.header} {chunk.source_document}"))
        )
        terms.append(set(bm25.terms(text)) | heading)
    weights = {term: math.log(1 + len(terms) / (1 + sum(1 for present in terms if term in present))) for term in asked}
    total = sum(weights.values()) or 1.0
    return [sum(weights[term] for term in asked & present) / total for present in terms]


def has_figure(text: str) -> bool:
    return any(character.isdigit() for character in text)


def ends_sentence(text: str) -> bool:
    """Whether the text ends as a sentence of some script does, and not as a row, an item or a heading.

    >>> [ends_sentence(text) for text in ("It is red.", "泵的保修期为两年。", 'He said "no."', "| a |")]
    [True, True, True, False]
    """
    return _SENTENCE_END.search(text) is not None


def states_something(chunk: Chunk, start: int, end: int) -> bool:
    """Whether a sentence can be an answer.

    Headings, the first row and the rule of a table, the number of a page, names alone on a line and orders to a model
    cannot.
    """
    text = chunk.text[start:end].strip()
    trail = (chunk.section_heading or "").split(" > ")
    if text.startswith("#") or text.lstrip("# ").rstrip("=-~ \n") in trail or set(text) <= set("|-: "):
        return False
    if reads_as_order(text) or _PAGE_NUMBER.search(text) or is_column_names(chunk.text, end):
        return False
    words = sum(1 for word in text.split() if any(map(str.isalnum, word)))
    unspaced = len(_UNSPACED.findall(text))
    return ends_sentence(text) or words >= _FEWEST_WORDS or has_figure(text) or unspaced >= _FEWEST_LETTERS
