"""Wrong passages that look right: what BM25 and an embedding model put high for a question, less what may be right too.

The two rankings are joined by reciprocal ranks (Cormack et al. 2009). Left out are passages that hold an answer word
for word, near-duplicates of the right one, and those that answer the same question elsewhere: a passage that is right
and called wrong costs more than a wrong one that is missing (Qu et al. 2021, "RocketQA", arXiv:2010.08191).
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ragkit.train.data import Example, TrainingSet

LOOKED_AT = 60
"""Passages of each ranking that are joined."""
NEAR_DUPLICATE = 0.95
"""Cosine with the right passage from which on a passage counts as the same."""
_K1, _B = 1.2, 0.75
_RRF = 60
_COMMON = 0.2
"""Words in more than this share of the passages are not looked up: they decide little and cost most."""
_BLOCK = 256

Numbers = NDArray[np.int32]
Vectors = NDArray[np.float32]


def mine(one: TrainingSet, lexical: Numbers, passages: Vectors, questions: Vectors, depth: int) -> Numbers:
    """For each example the numbers of `depth` wrong passages, hardest first; -1 where there are not as many.

    Args:
        one: The set.
        lexical: `lexical_ranking` of its questions.
        passages: Unit vectors of its passages.
        questions: Unit vectors of its questions, in the order of the examples.
        depth: Wrong passages for each example.
    """
    pools = np.full((len(one.examples), depth), -1, dtype=np.int32)
    texts = [passage.casefold() for passage in one.passages]
    by_title: dict[str, list[int]] = defaultdict(list)
    for number, title in enumerate(one.titles):
        by_title[title].append(number)
    elsewhere: dict[str, set[int]] = defaultdict(set)
    for example in one.examples:
        elsewhere[_plain(example.question)].add(example.positive)
    looked_at = min(LOOKED_AT, len(one.passages))
    for start in range(0, len(one.examples), _BLOCK):
        block = one.examples[start : start + _BLOCK]
        cosines = questions[start : start + len(block)] @ passages.T
        nearest = np.argpartition(-cosines, looked_at - 1, axis=1)[:, :looked_at]
        for row, example in enumerate(block):
            if example.within is not None:
                own = np.asarray(by_title[example.within], dtype=np.int32)
                ranked = own[np.argsort(-cosines[row, own])]
            else:
                dense = nearest[row][np.argsort(-cosines[row, nearest[row]])]
                ranked = joined(lexical[start + row], dense)
            out = {example.positive, *example.barred, *elsewhere[_plain(example.question)]}
            found = _wrong_ones(example, ranked, out, texts, passages, depth)
            pools[start + row, : len(found)] = found
    return pools


def joined(*rankings: Sequence[int] | NDArray[Any]) -> NDArray[np.int64]:
    """Rankings as one by the sum of reciprocal ranks; -1 stands for nothing.

    >>> joined([3, 1], [1, 2, -1]).tolist()
    [1, 3, 2]
    """
    scores: dict[int, float] = defaultdict(float)
    for ranking in rankings:
        for rank, number in enumerate(ranking, start=1):
            if number >= 0:
                scores[int(number)] += 1 / (_RRF + rank)
    return np.asarray(sorted(scores, key=lambda number: -scores[number]), dtype=np.int64)


def _wrong_ones(
    example: Example, ranked: NDArray[Any], out: set[int], texts: Sequence[str], passages: Vectors, depth: int
) -> list[int]:
    answers = [answer.casefold() for answer in example.answers]
    holds = re.compile("|".join(rf"(?<!\w){re.escape(answer)}(?!\w)" for answer in answers)) if answers else None
    found: list[int] = []
    for number in map(int, ranked):
        if number in out or (holds is not None and holds.search(texts[number])):
            continue
        if texts[number] == texts[example.positive]:
            continue
        if example.within is None and passages[number] @ passages[example.positive] > NEAR_DUPLICATE:
            continue
        found.append(number)
        if len(found) == depth:
            break
    return found


def words(text: str) -> list[str]:
    """Lower-case runs of letters and digits.

    >>> words("Mach 2.5-flow")
    ['mach', '2', '5', 'flow']
    """
    return re.findall(r"\w+", text.lower())


def _plain(question: str) -> str:
    return " ".join(words(question))


def lexical_ranking(one: TrainingSet) -> Numbers:
    """For each example the numbers of the best passages by BM25, (examples, LOOKED_AT) with -1 for nothing.

    Weights: Robertson and Zaragoza 2009, "The Probabilistic Relevance Framework", with Lucene's idf.
    """
    from scipy.sparse import csr_matrix

    counted = [Counter(words(passage)) for passage in one.passages]
    in_passages: Counter[str] = Counter(word for counts in counted for word in counts)
    total = len(counted)
    kept = {word: n for n, word in enumerate(w for w, df in in_passages.items() if df <= max(20, _COMMON * total))}
    lengths = np.asarray([sum(counts.values()) for counts in counted], dtype=np.float64)
    average = max(lengths.mean(), 1.0)
    columns: list[int] = []
    rows: list[int] = []
    weights: list[float] = []
    for number, counts in enumerate(counted):
        norm = _K1 * (1 - _B + _B * lengths[number] / average)
        for word, count in counts.items():
            if word in kept:
                idf = np.log(1 + (total - in_passages[word] + 0.5) / (in_passages[word] + 0.5))
                rows.append(kept[word])
                columns.append(number)
                weights.append(float(idf * count * (_K1 + 1) / (count + norm)))
    by_word: Any = csr_matrix((weights, (rows, columns)), shape=(len(kept), total), dtype=np.float32)
    looked_at = min(LOOKED_AT, total)
    ranking = np.full((len(one.examples), LOOKED_AT), -1, dtype=np.int32)
    for start in range(0, len(one.examples), _BLOCK):
        block = [
            sorted({kept[w] for w in words(e.question) if w in kept}) for e in one.examples[start : start + _BLOCK]
        ]
        places = np.repeat(np.arange(len(block)), [len(terms) for terms in block])
        terms = np.asarray([term for asked in block for term in asked], dtype=np.int64)
        asked: Any = csr_matrix((np.ones(len(terms), np.float32), (places, terms)), shape=(len(block), len(kept)))
        scores: NDArray[np.float32] = (asked @ by_word).toarray()
        best = np.argpartition(-scores, looked_at - 1, axis=1)[:, :looked_at]
        values = np.take_along_axis(scores, best, axis=1)
        order = np.argsort(-values, axis=1, kind="stable")
        best = np.take_along_axis(best, order, axis=1)
        best[np.take_along_axis(values, order, axis=1) <= 0] = -1
        ranking[start : start + len(block), :looked_at] = best
    return ranking
