"""What a reranker is trained on: questions, the passage that answers each, and a corpus to find wrong passages in.

Passages have the form in which ragkit scores chunks, `TITLE\\nTEXT`, and are about as long. Each source file is gzipped
JSON lines; `READERS` says how a row of it becomes questions. `sentences_as_questions` makes questions out of passages
without any labels: the inverse cloze task of Lee et al. 2019, "Latent Retrieval for Weakly Supervised Open Domain
Question Answering", arXiv:1906.00300.
"""

from __future__ import annotations

import gzip
import json
import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ragkit.errors import ParseError

PIECE_WORDS = 150
"""Words of a piece at most: about the 200 tokens of ragkit's default chunk."""


@dataclass(frozen=True, slots=True)
class Example:
    """A question with the number of the passage that answers it.

    `barred` are passages that may answer it too, so are no wrong ones; nor are passages that hold one of `answers`
    word for word. `group` names its document: a group is held out whole. `within` limits wrong passages to those of
    one title, where the question does not say which title it means.
    """

    question: str
    positive: int
    group: str
    barred: tuple[int, ...] = ()
    answers: tuple[str, ...] = ()
    within: str | None = None


@dataclass(slots=True)
class TrainingSet:
    """Questions over one corpus; `titles` has the title of each passage."""

    name: str
    passages: list[str] = field(default_factory=list[str])
    titles: list[str] = field(default_factory=list[str])
    examples: list[Example] = field(default_factory=list[Example])


@dataclass(frozen=True, slots=True)
class Question:
    """A row of a source: what is asked, the text that answers it as pieces, and what is known about them.

    `answering` are the pieces that answer, the best first. With `labelled` the other pieces are known not to.
    """

    question: str
    title: str
    pieces: tuple[str, ...]
    answering: tuple[int, ...]
    labelled: bool
    answers: tuple[str, ...] = ()
    within_title: bool = False


def read_set(path: Path, name: str) -> TrainingSet:
    """The questions of a source file by the reader of that name, each distinct piece once in the corpus.

    Raises ParseError for a row that is not as the reader expects.
    """
    found = TrainingSet(name)
    numbers: dict[tuple[str, str], int] = {}
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for line, text in enumerate(file, start=1):
            try:
                row: dict[str, Any] = json.loads(text)
                asked = READERS[name](row)
            except (ValueError, KeyError, TypeError, IndexError) as error:
                raise ParseError(f"{path}:{line}: no row of {name}: {error!r}") from error
            if asked is not None:
                _add(found, numbers, asked)
    return found


def _add(found: TrainingSet, numbers: dict[tuple[str, str], int], asked: Question) -> None:
    own: list[int] = []
    for piece in asked.pieces:
        key = (asked.title, piece)
        if key not in numbers:
            numbers[key] = len(found.passages)
            found.passages.append(f"{asked.title}\n{piece}" if asked.title else piece)
            found.titles.append(asked.title)
        own.append(numbers[key])
    answering = [own[place] for place in asked.answering]
    barred = {*answering, *(() if asked.labelled else own)} - {answering[0]}
    found.examples.append(
        Example(
            question=asked.question,
            positive=answering[0],
            group=asked.title,
            barred=tuple(sorted(barred)),
            answers=asked.answers,
            within=asked.title if asked.within_title else None,
        )
    )


def sentences(text: str) -> list[str]:
    """Sentences by a plain rule; good enough to cut at.

    >>> sentences("One is here. Is two? Yes")
    ['One is here.', 'Is two?', 'Yes']
    """
    return [part for part in re.split(r"(?<=[.!?])\s+", text.strip()) if part]


def pieces_of(parts: Sequence[str], most: int = PIECE_WORDS) -> list[str]:
    """Whole sentences joined to pieces of at most so many words; a longer sentence is a piece by itself.

    >>> pieces_of(["a b", "c d", "e"], most=3)
    ['a b', 'c d e']
    """
    pieces: list[list[str]] = []
    words = 0
    for part in parts:
        count = len(part.split())
        if not pieces or words + count > most:
            pieces.append([])
            words = 0
        pieces[-1].append(part)
        words += count
    return [" ".join(piece) for piece in pieces]


def sentences_as_questions(sets: Sequence[TrainingSet], count: int, seed: int) -> TrainingSet:
    """`count` passages at most of these sets, drawn at random: a sentence of each asks for what is left of it."""
    draw = random.Random(seed)  # noqa: S311 - no secret
    found = TrainingSet("sentences")
    drawn = [(one.titles[n], passage) for one in sets for n, passage in enumerate(one.passages)]
    draw.shuffle(drawn)
    for title, passage in drawn:
        text = passage[len(title) + 1 :] if title else passage
        parts = sentences(text)
        long_enough = [n for n, part in enumerate(parts) if 8 <= len(part.split()) <= 40]
        if not long_enough or len(text.split()) < 50 or len(found.examples) >= count:
            continue
        asked = draw.choice(long_enough)
        rest = " ".join(part for n, part in enumerate(parts) if n != asked)
        found.examples.append(Example(question=parts[asked], positive=len(found.passages), group=title))
        found.passages.append(f"{title}\n{rest}" if title else rest)
        found.titles.append(title)
    return found


def _with_answers(row: Mapping[str, Any]) -> Question | None:
    """SQuAD, QED: a paragraph and spans of it; a piece without any of them does not answer."""
    if not row.get("answerable", True) or not row["answers"]:
        return None
    pieces = tuple(pieces_of(sentences(row["passage"])))
    answers = tuple(dict.fromkeys(row["answers"]))
    holding = tuple(n for n, piece in enumerate(pieces) if any(answer in piece for answer in answers))
    if not holding:
        return None  # the answer runs over the end of a piece
    return Question(row["question"], row["title"], pieces, holding, labelled=True, answers=answers)


def _medquad(row: Mapping[str, Any]) -> Question | None:
    pieces = tuple(pieces_of(sentences(row["passage"])))
    if not pieces:
        return None
    return Question(" ".join(row["question"].split()), row["title"], pieces[:8], (0,), labelled=False)


def _fairytaleqa(row: Mapping[str, Any]) -> Question | None:
    """Answers are in people's own words: the piece that shares most words with question and answer counts as it."""
    pieces = tuple(piece for passage in row["passages"] for piece in pieces_of(sentences(passage)))
    answers: list[str] = row["answers"]
    if not pieces or not answers:
        return None
    wanted = set(re.findall(r"\w+", " ".join([row["question"], *answers]).lower()))
    shared = [len(wanted & set(re.findall(r"\w+", piece.lower()))) for piece in pieces]
    best = max(range(len(pieces)), key=lambda n: shared[n])
    return Question(row["question"], row["title"], pieces, (best,), labelled=False)


def _dstc9(row: Mapping[str, Any]) -> Question | None:
    return Question(row["question"], row["title"], (row["passage"],), (0,), labelled=True, within_title=True)


def _selqa(row: Mapping[str, Any]) -> Question | None:
    right = set(row["answers"])
    pieces: list[str] = []
    answering: list[int] = []
    start = 0
    parts: list[str] = row["sentences"]
    for piece in pieces_of(parts):
        end = start
        while end < len(parts) and " ".join(parts[start : end + 1]) != piece:
            end += 1
        if right & set(range(start, end + 1)):
            answering.append(len(pieces))
        pieces.append(piece)
        start = end + 1
    return (
        Question(row["question"], row["title"], tuple(pieces), tuple(answering), labelled=True) if answering else None
    )


READERS: dict[str, Callable[[Mapping[str, Any]], Question | None]] = {
    "squad-train": _with_answers,
    "qed-train": _with_answers,
    "medquad": _medquad,
    "fairytaleqa": _fairytaleqa,
    "dstc9-faq": _dstc9,
    "selqa": _selqa,
}
SHARE_ALIKE = ("squad-train", "qed-train")
"""Sources under CC BY-SA; the others are CC BY 4.0 or Apache-2.0."""


def write_sets(sets: Sequence[TrainingSet], path: Path) -> None:
    """Training sets as one gzipped file, a set a line."""
    with gzip.open(path, "wt", encoding="utf-8", compresslevel=9) as file:
        for one in sets:
            file.write(json.dumps(asdict(one), ensure_ascii=False) + "\n")


def iter_sets(path: Path) -> Iterator[TrainingSet]:
    """The sets that `write_sets` wrote."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for line in file:
            row: dict[str, Any] = json.loads(line)
            examples: list[Example] = []
            for fields in row.pop("examples"):
                lists: dict[str, Any] = {key: tuple(fields.pop(key)) for key in ("barred", "answers")}
                examples.append(Example(**fields, **lists))
            yield TrainingSet(**row, examples=examples)
