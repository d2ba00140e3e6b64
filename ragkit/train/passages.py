"""The chunks of an index as sets to train on: labelled questions, sentences taken out of their chunk, and headings."""

from __future__ import annotations

import random
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ragkit.errors import RagkitError
from ragkit.train.data import Example, TrainingSet, sentences_as_questions
from ragkit.train.mining import Numbers, lexical_ranking, mine
from ragkit.train.questions import Labelled, Parts

if TYPE_CHECKING:
    from ragkit.embed import Embedder
    from ragkit.store import StoreReader
    from ragkit.types import Chunk

MOST_CHUNKS = 20_000
"""Chunks that wrong passages are looked for in; of a larger index so many are drawn."""
_SHORTEST = 15
"""Words of a section from which on its heading is taken for a question."""

Vectors = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Made:
    """How many questions are made of the index to train on, beside those with labels; nothing is measured on them."""

    sentences: int
    headings: int


@dataclass(slots=True)
class Corpus:
    """Chunks with their unit vectors (rows in the order of the chunks)."""

    chunks: list[Chunk]
    vectors: Vectors


def corpus_of(store: StoreReader, without: Collection[str], needed: Collection[str], seed: int) -> Corpus:
    """The chunks of all documents but those `without`; `needed` chunks are among them however many there are."""
    chunks = [chunk for chunk in store.iter_chunks() if chunk.document_id not in without]
    if len(chunks) > MOST_CHUNKS:
        others = [n for n, chunk in enumerate(chunks) if chunk.id not in needed]
        drawn = set(random.Random(seed).sample(others, max(0, MOST_CHUNKS - len(needed))))  # noqa: S311 - no secret
        chunks = [chunk for n, chunk in enumerate(chunks) if n in drawn or chunk.id in needed]
    return Corpus(chunks, vectors_of(store, [chunk.id for chunk in chunks]))


def vectors_of(store: StoreReader, ids: Sequence[str]) -> Vectors:
    """The vectors of chunks as unit rows in the order of the ids."""
    found: list[Vectors] = []
    for start in range(0, len(ids), 1000):
        part = store.vectors(ids[start : start + 1000])
        found += [part[each] for each in ids[start : start + 1000]]
    rows = np.asarray(found, dtype=np.float32).reshape(len(ids), -1)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)


@dataclass(frozen=True, slots=True)
class MinedSet:
    """A set to train on: unit vectors of its passages and of its questions, and for each question the numbers of wrong
    passages, hardest first, -1 where there are fewer (`mine`)."""

    examples: TrainingSet
    passages: Vectors
    questions: Vectors
    wrong: Numbers


def mined_sets(
    store: StoreReader, embedder: Embedder, parts: Parts, made: Made, depth: int, seed: int
) -> tuple[Corpus, list[MinedSet]]:
    """All that is trained on, from the chunks of documents that nothing is measured on, and these chunks.

    Raises RagkitError without chunks or without questions.
    """
    needed = frozenset(chunk for each in parts.train for chunk in each.chunks)
    corpus = corpus_of(store, parts.held_out, needed, seed)
    if len(corpus.chunks) < 2:
        raise RagkitError("no documents are left to train on", mend="index more documents, or ask about fewer of them")
    sentences = sentence_set(corpus, made.sentences, seed)
    sets = (labelled_set(parts.train, corpus), heading_set(corpus, made.headings, seed), sentences)
    mined: list[MinedSet] = []
    for one in sets:
        if not one.examples or len(one.passages) < 2:
            continue
        passages = passage_vectors(one, embedder) if one is sentences else corpus.vectors
        questions = question_vectors(one, embedder)
        wrong = mine(one, lexical_ranking(one), passages, questions, min(depth, len(one.passages) - 1))
        mined.append(MinedSet(one, passages, questions, wrong))
    if not mined:
        raise RagkitError("there is no question to train on", mend="name a file (--questions), or add --synthetic 500")
    return corpus, mined


def labelled_set(labelled: Sequence[Labelled], corpus: Corpus) -> TrainingSet:
    """An example for each labelled place: its chunk is right, the other chunks that hold it are no wrong ones."""
    numbers = {chunk.id: n for n, chunk in enumerate(corpus.chunks)}
    found = TrainingSet(
        "questions", [chunk.indexed_text for chunk in corpus.chunks], [chunk.header for chunk in corpus.chunks]
    )
    for each in labelled:
        barred = {numbers[chunk] for chunk in each.chunks if chunk in numbers}
        for place in each.gold:
            own = [chunk for chunk in place.chunks if chunk in numbers]
            if not own:
                continue
            best = max(own, key=lambda chunk: (_covered(corpus.chunks[numbers[chunk]], place.ranges), chunk))
            positive = numbers[best]
            found.examples.append(
                Example(
                    question=each.case.question,
                    positive=positive,
                    group=each.case.cluster,
                    barred=tuple(sorted(barred - {positive})),
                    answers=each.case.answers,
                )
            )
    return found


def _covered(chunk: Chunk, ranges: Sequence[tuple[int, int]]) -> int:
    return max((min(end, chunk.end) - max(start, chunk.start) for start, end in ranges), default=0)


def sentence_set(corpus: Corpus, count: int, seed: int) -> TrainingSet:
    """Chunks without one of their sentences, which asks for the rest: see `sentences_as_questions`."""
    whole = TrainingSet(
        "index", [chunk.indexed_text for chunk in corpus.chunks], [chunk.header for chunk in corpus.chunks]
    )
    return sentences_as_questions([whole], count, seed)


def heading_set(corpus: Corpus, count: int, seed: int) -> TrainingSet:
    """Headings that ask for the first chunk under them; the passages are without headings, or words alone would tell.

    A heading that several sections have is asked of none: nothing says which is meant.
    """
    first: dict[tuple[str, str], int] = {}
    under: dict[tuple[str, str], list[int]] = {}
    for n, chunk in sorted(enumerate(corpus.chunks), key=lambda pair: (pair[1].document_id, pair[1].start)):
        if chunk.section_heading:
            key = (chunk.document_id, chunk.section_heading)
            first.setdefault(key, n)
            under.setdefault(key, []).append(n)
    asked = {key: " ".join(key[1].split(" > ")[-2:]).strip() for key in first}
    times: dict[str, int] = {}
    for question in asked.values():
        times[question.casefold()] = times.get(question.casefold(), 0) + 1
    found = TrainingSet("headings", [bare_text(chunk) for chunk in corpus.chunks], [""] * len(corpus.chunks))
    keys = [
        key
        for key, question in asked.items()
        if times[question.casefold()] == 1
        and len(question.split()) >= 2
        and len(found.passages[first[key]].split()) >= _SHORTEST
    ]
    random.Random(seed).shuffle(keys)  # noqa: S311 - no secret
    for key in keys[:count]:
        barred = tuple(n for n in under[key] if n != first[key])
        found.examples.append(Example(asked[key], first[key], group=key[0], barred=barred))
    return found


def bare_text(chunk: Chunk) -> str:
    """The text of a chunk without its headings.

    >>> from ragkit.types import Chunk
    >>> bare_text(Chunk("c", "d", "## Returns\\n\\nValid for 30 days.", 0, 30, 9, {"section_heading": "Returns"}))
    'Valid for 30 days.'
    """
    headings = {part.casefold() for part in (chunk.section_heading or "").split(" > ")}
    lines = chunk.text.splitlines()
    kept = [line for line in lines if re.sub(r"^[#\s]+", "", line).strip().casefold() not in headings or not line]
    return "\n".join(kept).strip()


def question_vectors(one: TrainingSet, embedder: Embedder) -> Vectors:
    """Unit vectors of the questions of a set, in the order of its examples."""
    return _unit(embedder.embed_questions([example.question for example in one.examples]))


def passage_vectors(one: TrainingSet, embedder: Embedder) -> Vectors:
    """Unit vectors of the passages of a set."""
    return _unit(embedder.embed_passages(one.passages))


def _unit(vectors: Vectors) -> Vectors:
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9), dtype=np.float32)
