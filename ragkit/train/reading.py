"""What a reader is trained on: a question, a passage, and the characters that answer it, or none.

A passage that answers nothing is the other half of the lesson (Rajpurkar et al. 2018, "Know What You Don't Know",
arXiv:1806.03822): questions that people wrote to have no answer in a paragraph that looks right, the passage that
word search takes for the answer when the right one is gone, and questions about other matters altogether.
"""

from __future__ import annotations

import gzip
import json
import random
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ragkit.errors import ParseError


@dataclass(frozen=True, slots=True)
class ReadingExample:
    """`span` holds the first and the last but one character of the answer in `passage`, None if it has none.

    `group` names the document, which is held out whole; `answers` are all that people accepted.
    """

    question: str
    passage: str
    span: tuple[int, int] | None
    group: str
    answers: tuple[str, ...] = ()


def read_reading(path: Path) -> list[ReadingExample]:
    """The questions of a gzipped file of JSON lines like those of SQuAD or QED: title, passage, question, answers, and
    `spans` where they are known; else the first place of the first answer counts.

    Raises ParseError for a row of another form.
    """
    found: list[ReadingExample] = []
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for line, text in enumerate(file, start=1):
            try:
                found += _example(json.loads(text))
            except (ValueError, KeyError, TypeError, IndexError) as error:
                raise ParseError(f"{path}:{line}: no question with its passage: {error!r}") from error
    return found


def _example(row: dict[str, Any]) -> Iterator[ReadingExample]:
    head = f"{row['title']}\n"
    passage, answers = head + row["passage"], tuple(dict.fromkeys(row["answers"]))
    if not row.get("answerable", bool(answers)):
        yield ReadingExample(row["question"], passage, None, row["title"])
        return
    if row.get("spans"):
        start, end = row["spans"][0]
    else:
        start = row["passage"].find(answers[0])
        end = start + len(answers[0])
    if 0 <= start < end:
        yield ReadingExample(row["question"], passage, (start + len(head), end + len(head)), row["title"], answers)


def look_alikes(
    examples: Sequence[ReadingExample], count: int, seed: int, *, within_group: bool
) -> list[ReadingExample]:
    """`count` answerable questions with the passage that BM25 ranks first among those without any of their answers.

    `within_group` looks among the passages of their own document only, else among all.
    """
    import rank_bm25

    bm25: Any = rank_bm25.BM25Okapi  # has no complete types
    passages: dict[str, list[str]] = {}
    for one in examples:
        passages.setdefault(one.group if within_group else "", []).append(one.passage)
    passages = {group: list(dict.fromkeys(own)) for group, own in passages.items()}
    rankers: dict[str, Any] = {group: bm25([_words(text) for text in own]) for group, own in passages.items()}
    answerable = [one for one in examples if one.span is not None]
    found: list[ReadingExample] = []
    for one in random.Random(seed).sample(answerable, min(count, len(answerable))):  # noqa: S311 - no secret
        group = one.group if within_group else ""
        scores = np.asarray(rankers[group].get_scores(_words(one.question)))
        for place in np.argsort(-scores)[:8]:
            text = passages[group][int(place)]
            if not any(answer.casefold() in text.casefold() for answer in one.answers):
                found.append(replace(one, passage=text, span=None))
                break
    return found


def off_topic(questions: Iterable[str], examples: Sequence[ReadingExample], seed: int) -> list[ReadingExample]:
    """Each of the questions with a passage that is not about it."""
    draw = random.Random(seed)  # noqa: S311 - no secret
    drawn = [(asked, draw.choice(examples)) for asked in questions]
    return [ReadingExample(asked, other.passage, None, other.group) for asked, other in drawn]


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())
