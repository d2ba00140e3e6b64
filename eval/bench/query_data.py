"""Made corpora for the query benchmark: as many chunks as one likes, with the exact answers to the questions.

Vectors (384 dimensions) lie in clusters, as those of real texts do: a centre, and noise of 48 directions with a
little in all. Words are those of the real texts with their real frequencies; each cluster prefers a hundred of its
own. No two words share a stem and none is a stop word, so that every tokenizer cuts the same terms. A question is
some words of one chunk with two others, and that chunk's vector with noise.

The ten best by cosine and by BM25 (Lucene's form, k1 1.2, b 0.75) are computed here over all chunks, in blocks.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from eval.bench.corpus import chunk_rows, chunk_texts, has_data, peps
from eval.bench.spec import WORK

if TYPE_CHECKING:
    from numpy.typing import NDArray

DIMENSIONS, BLOCK, BEST = 384, 10_000, 10
K1, B = 1.2, 0.75


@dataclass(frozen=True, slots=True)
class Made:
    """`good` has for each question the chunks that are no worse than the tenth best by that search, ties included."""

    folder: Path
    questions: list[str]
    vectors: NDArray[np.float32]
    sources: list[int]
    good: dict[str, list[set[int]]]

    @property
    def rows(self) -> Path:
        return self.folder / "texts.jsonl"

    def texts(self) -> list[str]:
        return chunk_texts(self.rows)

    def passage_vectors(self) -> NDArray[np.float32]:
        return np.load(self.folder / "vectors.npy", mmap_mode="r")


def made(count: int, questions: int) -> Made:
    """The corpus of so many chunks; made at the first call."""
    folder = WORK / "data" / f"query-{count}-{questions}"
    if not (folder / "exact.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        _make(folder, count, questions)
    told: dict[str, Any] = json.loads((folder / "exact.json").read_text(encoding="utf-8"))
    good = {kind: [set(ids) for ids in each] for kind, each in told["good"].items()}
    return Made(folder, told["questions"], np.load(folder / "question_vectors.npy"), told["sources"], good)


def found_share(found: list[int], good: set[int]) -> float:
    """Recall at ten: the share of the ten best that are there; fewer where fewer chunks have any of the words.

    >>> found_share([1, 2, 3], {1, 2, 7, 8})
    0.5
    """
    return min(1.0, len(good.intersection(found[:BEST])) / max(1, min(BEST, len(good))))


def _make(folder: Path, count: int, questions: int) -> None:
    rng = np.random.default_rng(count)
    words, shares = vocabulary()
    clusters = max(8, int(count**0.5))
    lengths = np.clip(rng.lognormal(4.2, 0.3, count), 30, 110).astype(np.int64)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    centres = _unit(rng.standard_normal((clusters, DIMENSIONS)).astype(np.float32))
    basis = np.linalg.qr(rng.standard_normal((DIMENSIONS, 48)))[0].T.astype(np.float32)
    topics = rng.choice(len(words), (clusters, 100), p=shares)
    members = rng.integers(0, clusters, count)
    vectors: Any = np.lib.format.open_memmap(folder / "vectors.npy", "w+", dtype=np.float32, shape=(count, DIMENSIONS))
    tokens: Any = np.lib.format.open_memmap(folder / "tokens.npy", "w+", dtype=np.int32, shape=(int(starts[-1]),))
    with (folder / "texts.jsonl").open("w", encoding="utf-8") as file:
        for begin in range(0, count, BLOCK):
            end = min(count, begin + BLOCK)
            vectors[begin:end] = _unit(centres[members[begin:end]] + _noise(rng, end - begin, basis))
            drawn = _draw(rng, shares, topics, np.repeat(members[begin:end], lengths[begin:end]))
            tokens[starts[begin] : starts[end]] = drawn
            for number in range(begin, end):
                ids = drawn[starts[number] - starts[begin] : starts[number + 1] - starts[begin]]
                file.write(json.dumps({"_id": f"c{number}", "text": _sentences(words, ids)}) + "\n")
    sources = rng.choice(count, questions, replace=False)
    asked = np.stack([_unit(vectors[source] + 0.8 * _noise(rng, 1, basis)[0]) for source in sources])
    terms: list[NDArray[np.int64]] = [
        np.unique(
            np.concatenate(
                [rng.choice(tokens[starts[source] : starts[source + 1]], 6), rng.choice(len(words), 2, p=shares)]
            )
        )
        for source in sources
    ]
    np.save(folder / "question_vectors.npy", asked.astype(np.float32))
    exact = {
        "questions": [" ".join(words[int(each)] for each in ids) for ids in terms],
        "sources": sources.tolist(),
        "good": {"dense": exact_dense(vectors, asked), "sparse": exact_sparse(tokens, starts, terms)},
    }
    (folder / "tokens.npy").unlink()
    (folder / "exact.json").write_text(json.dumps(exact), encoding="utf-8")


@cache
def vocabulary() -> tuple[list[str], NDArray[np.float64]]:
    """Words of the real texts, one for each stem, and how often each occurs as a share of all."""
    stemmer: Any = import_module("Stemmer")
    stopwords: Any = import_module("bm25s.stopwords")

    counts: Counter[str] = Counter()
    for path in peps():
        counts.update(re.findall(r"\b[a-z]{3,14}\b", path.read_text(encoding="utf-8").lower()))
    if has_data():
        for text in chunk_texts(chunk_rows(240)):
            counts.update(re.findall(r"\b[a-z]{3,14}\b", text.lower()))
    stem: Callable[[str], str] = stemmer.Stemmer("english").stemWord
    stops: set[str] = set(stopwords.STOPWORDS_EN_PLUS)
    kept: dict[str, tuple[str, int]] = {}
    for word, number in counts.most_common(60_000):
        # Tokenizers with another list of stop words would leave out others; a short word is on one of them.
        if word not in stops and len(word) > 3:
            kept.setdefault(stem(word), (word, number))
    shares = np.array([number for _, number in kept.values()], dtype=np.float64)
    return [word for word, _ in kept.values()], shares / shares.sum()


def exact_dense(vectors: NDArray[np.float32], asked: NDArray[np.float32]) -> list[list[int]]:
    """For each question the chunks whose cosine is no less than the tenth best, but for rounding."""
    best = np.full((len(asked), BEST), -2.0, dtype=np.float32)
    for begin in range(0, len(vectors), BLOCK):
        cosines = asked @ vectors[begin : begin + BLOCK].T
        best = np.sort(np.concatenate([best, cosines], axis=1), axis=1)[:, -BEST:]
    good: list[list[int]] = [[] for _ in asked]
    for begin in range(0, len(vectors), BLOCK):
        for question, row in zip(
            *np.nonzero(asked @ vectors[begin : begin + BLOCK].T >= best[:, :1] - 1e-6), strict=True
        ):
            good[int(question)].append(begin + int(row))
    return good


def exact_sparse(
    tokens: NDArray[np.int32], starts: NDArray[np.int64], terms: list[NDArray[np.int64]]
) -> list[list[int]]:
    """For each question (numbers of its words) the chunks whose BM25 is above 0 and no less than the tenth best,
    but for a thousandth: weights are kept in fewer digits here and there."""
    count, wanted = len(starts) - 1, np.unique(np.concatenate(terms))
    postings: dict[int, tuple[Any, Any]] = {}
    parts: dict[int, list[tuple[Any, Any]]] = {int(term): [] for term in wanted}
    for begin in range(0, count, BLOCK):
        end = min(count, begin + BLOCK)
        drawn = np.asarray(tokens[starts[begin] : starts[end]])
        owner = np.repeat(np.arange(begin, end), np.diff(starts[begin : end + 1]))
        asked = np.isin(drawn, wanted)
        pairs, times = np.unique(np.stack([drawn[asked], owner[asked]]), axis=1, return_counts=True)
        for term in np.unique(pairs[0]):
            here = pairs[0] == term
            parts[int(term)].append((pairs[1][here], times[here]))
    for term, each in parts.items():
        if each:
            postings[term] = (np.concatenate([a for a, _ in each]), np.concatenate([b for _, b in each]))
    lengths = np.diff(starts)
    norm = K1 * (1 - B + B * lengths / lengths.mean())
    good: list[list[int]] = []
    for ids in terms:
        scores = np.zeros(count, dtype=np.float64)
        for term in ids:
            owners, times = postings.get(int(term), (np.empty(0, dtype=np.int64), np.empty(0)))
            idf = np.log(1 + (count - len(owners) + 0.5) / (len(owners) + 0.5))
            scores[owners] += idf * times * (K1 + 1) / (times + norm[owners])
        tenth = np.partition(scores, -min(BEST, count))[-min(BEST, count)]
        good.append(np.flatnonzero((scores > 0) & (scores >= tenth * 0.999)).tolist())
    return good


def _draw(rng: Any, shares: NDArray[np.float64], topics: Any, members: NDArray[np.int64]) -> NDArray[np.int32]:
    """A word for each place: four in ten by the topic of its chunk (earlier ones more often), the others by
    frequency."""
    sums = np.cumsum(shares)
    places: NDArray[np.float64] = rng.random(len(members)) * sums[-1]
    drawn = np.searchsorted(sums, places).astype(np.int32)
    own = rng.random(len(members)) < 0.4
    place = (100 * rng.random(int(own.sum())) ** 2).astype(np.int64)
    drawn[own] = topics[members[own], place]
    return drawn


def _sentences(words: list[str], ids: NDArray[np.int32]) -> str:
    parts: Iterator[str] = (" ".join(words[int(each)] for each in ids[at : at + 12]) for at in range(0, len(ids), 12))
    return " ".join(f"{part.capitalize()}." for part in parts)


def _noise(rng: Any, count: int, basis: NDArray[np.float32]) -> NDArray[np.float32]:
    """Of about length 1."""
    low = rng.standard_normal((count, len(basis))).astype(np.float32) @ basis / len(basis) ** 0.5
    return 0.9 * low + 0.3 * rng.standard_normal((count, DIMENSIONS)).astype(np.float32) / DIMENSIONS**0.5


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)
