"""Examples as token ids, and lists of them as batches that a BERT takes. No torch here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ragkit.train.data import TrainingSet
from ragkit.train.mining import Numbers

MAX_QUESTION = 64
"""Tokens of a question that are read in training."""
CLS, SEP, PAD = 101, 102, 0
"""Token ids of BERT's vocabulary."""


@dataclass(slots=True)
class Texts:
    """Token ids of many texts, end to end; text n is `ids[starts[n]:starts[n + 1]]`."""

    ids: NDArray[np.int32]
    starts: NDArray[np.int64]

    def of(self, number: int, most: int) -> NDArray[np.int32]:
        start, end = self.starts[number], self.starts[number + 1]
        return self.ids[start : min(end, start + most)]


def tokenised(texts: Sequence[str], tokenizer: Any) -> Texts:
    """Ids of texts without the marks of begin and end; `tokenizer` is one of the package tokenizers, not truncating."""
    lengths: list[int] = []
    parts: list[NDArray[np.int32]] = []
    for start in range(0, len(texts), 4096):
        for encoding in tokenizer.encode_batch(list(texts[start : start + 4096]), add_special_tokens=False):
            parts.append(np.asarray(encoding.ids, dtype=np.int32))
            lengths.append(len(encoding.ids))
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Texts(np.concatenate(parts) if parts else np.empty(0, np.int32), starts)


@dataclass(slots=True)
class Material:
    """All examples: the question of each, its right passage and its pool of wrong ones (-1 for none), as numbers.

    `sets` says of which set each example is, `corpora` the first and the last but one passage of each set.
    """

    questions: Texts
    passages: Texts
    positives: NDArray[np.int32]
    pools: Numbers
    sets: NDArray[np.int32]
    corpora: list[tuple[int, int]]

    def draw(
        self, allowed: NDArray[np.int64], seed: Sequence[int], *, lists: int, wrong: int
    ) -> tuple[NDArray[np.int64], Numbers]:
        """`lists` of the examples `allowed`, and for each the passages of its list: the right one, then `wrong` others.

        Equal seeds draw equally. A set is drawn by the square root of its size, so that a large one does not crowd out
        the others.
        """
        rng = np.random.default_rng(list(seed))
        weights = 1 / np.sqrt(np.bincount(self.sets[allowed])[self.sets[allowed]].astype(np.float64))
        drawn = rng.choice(allowed, size=lists, p=weights / weights.sum())
        found = np.empty((len(drawn), wrong + 1), dtype=np.int32)
        for row, example in enumerate(drawn):
            found[row, 0] = self.positives[example]
            pool = self.pools[example]
            pool = pool[pool >= 0]
            if len(pool) >= wrong:
                found[row, 1:] = rng.choice(pool, size=wrong, replace=False)
            else:
                first, last = self.corpora[self.sets[example]]
                others = rng.integers(first, last, size=wrong - len(pool))
                others[others == self.positives[example]] = first if self.positives[example] != first else first + 1
                found[row, 1:] = [*pool, *others]
        return drawn, found


def material_of(sets: Sequence[TrainingSet], pools: Sequence[Numbers], tokenizer: Any) -> Material:
    """All examples of the sets, in their order, with the wrong passages that were mined for each set."""
    sizes = np.cumsum([0, *(len(one.passages) for one in sets)])
    positives = [example.positive + first for one, first in zip(sets, sizes, strict=False) for example in one.examples]
    shifted = [np.where(pool >= 0, pool + first, -1) for pool, first in zip(pools, sizes, strict=False)]
    return Material(
        questions=tokenised([example.question for one in sets for example in one.examples], tokenizer),
        passages=tokenised([passage for one in sets for passage in one.passages], tokenizer),
        positives=np.asarray(positives, dtype=np.int32),
        pools=np.concatenate(shifted).astype(np.int32),
        sets=np.repeat(np.arange(len(sets)), [len(one.examples) for one in sets]).astype(np.int32),
        corpora=[(int(sizes[n]), int(sizes[n + 1])) for n in range(len(sets))],
    )


def pairs_of(
    questions: Texts, passages: Texts, pairs: Sequence[tuple[int, int]], window: int
) -> list[NDArray[np.int32]]:
    """Ids of each (question, passage), with its marks, cut to the window at the end of the passage."""
    cls, sep = np.asarray([CLS], np.int32), np.asarray([SEP], np.int32)
    found: list[NDArray[np.int32]] = []
    for question, passage in pairs:
        asked = questions.of(question, MAX_QUESTION)
        found.append(np.concatenate([cls, asked, sep, passages.of(passage, window - len(asked) - 3), sep]))
    return found


@dataclass(slots=True)
class Packed:
    """Pairs as batches that a network takes: pairs of like length together, padded to the longest.

    Each batch is (ids, lengths, where the passage begins); `back` puts the scores in the order of the pairs again.
    """

    batches: list[tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int64]]]
    back: NDArray[np.int64]


def packed(pairs: Sequence[NDArray[np.int32]], part: int) -> Packed:
    """Batches of `part` pairs at most."""
    order = sorted(range(len(pairs)), key=lambda number: len(pairs[number]))
    batches: list[tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int64]]] = []
    for start in range(0, len(order), part):
        chosen = [pairs[n] for n in order[start : start + part]]
        lengths = np.asarray([len(pair) for pair in chosen], dtype=np.int64)
        ids = np.full((len(chosen), -(-int(lengths.max()) // 8) * 8), PAD, dtype=np.int32)
        for row, pair in enumerate(chosen):
            ids[row, : len(pair)] = pair
        batches.append((ids, lengths, np.argmax(ids == SEP, axis=1) + 1))
    back = np.empty(len(order), dtype=np.int64)
    back[order] = np.arange(len(order))
    return Packed(batches, back)
