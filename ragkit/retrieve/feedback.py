"""Pseudo-relevance feedback: the words of what was found first are searched too (RM3).

Relevance model: Lavrenko and Croft (2001), "Relevance-Based Language Models"; mixed with the question: Abdul-Jaleel et
al. (2004), "UMass at TREC 2004: Novelty and HARD":

    p(t | R)  = sum over the first chunks d of  p(t | d) * p(d),   p(t | d) = tf(t, d) / |d|,   p(d) ~ score of d
    p'(t | q) = weight * p(t | q) + (1 - weight) * p(t | R), of the `terms` likeliest t

The weights p' go to BM25 in place of 1 for each term of the question. Terms are those of `Bm25Encoder`: stemmed,
without stop words.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ragkit.config.schema import Feedback, Filter, Retrieval
from ragkit.retrieve.fusion import Fused
from ragkit.store import Hit, StoreReader, WeightedTerms
from ragkit.store.bm25 import Bm25Encoder


def search_again(
    texts: Iterable[str],
    ranked: Fused,
    store: StoreReader,
    retrieval: Retrieval,
    conditions: Sequence[Filter],
    limit: int,
) -> list[Hit]:
    """BM25's best `limit` chunks for the questions `texts` with the terms of the first chunks of `ranked`."""
    encoder = Bm25Encoder(retrieval.bm25)
    asked = {term: 1.0 for text in texts for term in encoder.terms(text)}
    head = ranked[: retrieval.feedback.documents]
    chunks = store.chunks([chunk_id for chunk_id, _ in head])
    found = [
        (max(score, 0.0), encoder.terms(chunks[chunk_id].indexed_text))
        for chunk_id, score in head
        if chunk_id in chunks
    ]
    return store.search(limit, None, expanded(asked, found, retrieval.feedback), conditions)[1]


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


def _scaled(weights: Mapping[int, float]) -> dict[int, float]:
    """The weights, so that they sum to 1."""
    total = sum(weights.values())
    return {term: weight / total for term, weight in weights.items()} if total > 0 else {}
