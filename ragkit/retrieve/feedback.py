"""Pseudo-relevance feedback: the words of what was found first are searched too (RM3), or its meaning is (Rocchio).

Relevance model: Lavrenko and Croft (2001), "Relevance-Based Language Models"; mixed with the question: Abdul-Jaleel et
al. (2004), "UMass at TREC 2004: Novelty and HARD":

    p(t | R)  = sum over the first chunks d of  p(t | d) * p(d),   p(t | d) = tf(t, d) / |d|,   p(d) ~ score of d
    p'(t | q) = weight * p(t | q) + (1 - weight) * p(t | R), of the `terms` likeliest t

The weights p' go to BM25 in place of 1 for each term of the question. Terms are those of `Bm25Encoder`: stemmed,
without stop words.

Rocchio (1971), "Relevance feedback in information retrieval", over vectors of a model: Li et al. (2023), "Pseudo
Relevance Feedback with Deep Language Models and Dense Retrievers". There is no part for what is not relevant:

    q' = weight * q + (1 - weight) * sum over the first chunks d of  d * p(d)      p(d) ~ score of d, all of length 1
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ragkit.config.schema import Feedback, Filter, Retrieval
from ragkit.retrieve.fusion import Fused
from ragkit.retrieve.lists import by_bm25
from ragkit.store import Hit, StoreReader, WeightedTerms
from ragkit.store.bm25 import Bm25Encoder

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def by_words(retrieval: Retrieval) -> bool:
    """Whether the words are searched a second time."""
    return retrieval.feedback.method in ("rm3", "both") and by_bm25(retrieval)


def by_meaning(retrieval: Retrieval) -> bool:
    """Whether the meaning is searched a second time."""
    return retrieval.feedback.method in ("rocchio", "both") and retrieval.strategy != "sparse"


@dataclass(frozen=True, slots=True)
class SecondSearch:
    """The second searches of one question: for the texts and the vectors that were searched first."""

    texts: Sequence[str]
    vectors: Sequence[NDArray[np.float32]]
    store: StoreReader
    conditions: Sequence[Filter]
    limit: int

    def __call__(self, ranked: Fused, retrieval: Retrieval) -> tuple[list[Hit] | None, list[Hit] | None]:
        """The best `limit` chunks by meaning and by words, learned from the first of `ranked`; None for what is not
        searched again."""
        return (
            self._by_meaning(ranked, retrieval.feedback) if by_meaning(retrieval) else None,
            self._by_words(ranked, retrieval) if by_words(retrieval) else None,
        )

    def _by_words(self, ranked: Fused, retrieval: Retrieval) -> list[Hit]:
        head = ranked[: retrieval.feedback.documents]
        encoder = Bm25Encoder(retrieval.bm25)
        asked = {term: 1.0 for text in self.texts for term in encoder.terms(text)}
        chunks = self.store.chunks([chunk_id for chunk_id, _ in head])
        found = [
            (max(score, 0.0), encoder.terms(chunks[chunk_id].indexed_text))
            for chunk_id, score in head
            if chunk_id in chunks
        ]
        weights = expanded(asked, found, retrieval.feedback)
        return self.store.search(self.limit, None, weights, self.conditions)[1]

    def _by_meaning(self, ranked: Fused, feedback: Feedback) -> list[Hit]:
        head = ranked[: feedback.rocchio_documents]
        vectors = self.store.vectors([chunk_id for chunk_id, _ in head])
        found = [(score, vectors[chunk_id]) for chunk_id, score in head if chunk_id in vectors]
        vector = moved(self.vectors, found, feedback.rocchio_weight)
        return self.store.search(self.limit, vector, None, self.conditions)[0]


def expanded(
    asked: Mapping[int, float], found: Sequence[tuple[float, Mapping[int, int]]], feedback: Feedback
) -> WeightedTerms:
    """The question's terms and those of what was found, by weight; the weights sum to 1.

    `found` has for each chunk its score and how often each term occurs in it. Without any, the question stays alone;
    one without terms stays so.

    >>> weights = expanded({1: 1.0}, [(2.0, {1: 1, 2: 3})], Feedback(method="rm3"))
    >>> {term: round(weight, 3) for term, weight in sorted(weights.items())}
    {1: 0.625, 2: 0.375}
    """
    question = _scaled(asked)
    model: dict[int, float] = {}
    # Scores of 0 alone say nothing of one chunk against another.
    even = not any(score for score, _ in found)
    for score, terms in found:
        length = sum(terms.values())
        for term, count in terms.items():
            model[term] = model.get(term, 0.0) + (1.0 if even else score) * count / length
    likeliest = sorted(model.items(), key=lambda item: (-item[1], item[0]))[: feedback.terms]
    relevant = _scaled(dict(likeliest))
    if not relevant or not question:
        return question
    mixed = {term: feedback.weight * weight for term, weight in question.items()}
    for term, weight in relevant.items():
        mixed[term] = mixed.get(term, 0.0) + (1.0 - feedback.weight) * weight
    return {term: weight for term, weight in mixed.items() if weight > 0}


def moved(
    asked: Sequence[NDArray[np.float32]], found: Sequence[tuple[float, NDArray[np.float32]]], weight: float
) -> NDArray[np.float32]:
    """The mean of the question's vectors, moved towards those of what was found; of length 1, as all of them are taken.

    `found` has for each chunk its score and its vector; vectors have the shape (d,). Without any, the question stays.

    >>> import numpy as np
    >>> [round(float(part), 3) for part in moved([np.array([1, 0])], [(2.0, np.array([0, 3.0]))], weight=0.5)]
    [0.707, 0.707]
    """
    import numpy as np

    vector = np.mean([each / (np.linalg.norm(each) or 1.0) for each in asked], axis=0)
    vector /= np.linalg.norm(vector) or 1.0
    if found:
        scores = np.asarray([max(score, 0.0) for score, _ in found])
        shares = scores / scores.sum() if scores.any() else np.full(len(found), 1 / len(found))
        theirs = np.stack([each / (np.linalg.norm(each) or 1.0) for _, each in found])
        vector = weight * vector + (1.0 - weight) * (shares @ theirs)
        vector /= np.linalg.norm(vector) or 1.0
    return vector.astype(np.float32)


def _scaled(weights: Mapping[int, float]) -> dict[int, float]:
    """The weights, so that they sum to 1."""
    total = sum(weights.values())
    return {term: weight / total for term, weight in weights.items()} if total > 0 else {}
