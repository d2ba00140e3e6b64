"""Measure a run against relevance judgments with ir-measures, query by query.

A run maps each query to its documents, best first. The order of that list is what counts and what is
measured: scores are replaced by the ranks, because trec_eval re-sorts a run by score, breaks ties by its own
rule (by id, descending) and keeps scores in single precision, where close scores become ties.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby

Ranking = Sequence[tuple[str, float]]
"""(id, score) pairs, best first."""

Run = Mapping[str, Ranking]
Qrels = Mapping[str, Mapping[str, int]]
PerQuery = dict[str, dict[str, float]]
"""Measure to query to value."""

# ir-measures' name of each of our measures.
MEASURES = {
    "ndcg@10": "nDCG@10",
    "recall@10": "R@10",
    "recall@100": "R@100",
    "mrr@10": "RR@10",
    "map@100": "AP@100",
    "precision@3": "P@3",
    "success@1": "Success@1",
    "success@3": "Success@3",
}

_DEEPEST = 100  # no measure looks deeper


def documents_from_chunks(chunks: Ranking) -> list[tuple[str, float]]:
    """Rank documents by their best chunk (MaxP: Dai and Callan 2019, "Deeper Text Understanding for IR").

    `chunks` holds (document id, score of one of its chunks), best first. A document takes the place and the
    score of its first chunk; the order is kept even where scores do not fall (a reranker scores the top
    only). Neighbours with the same score are put in the order of their ids, so that the result does not
    depend on how a store breaks ties.

    >>> documents_from_chunks([("b", 0.9), ("c", 0.5), ("b", 0.5), ("a", 0.5), ("c", 0.1)])
    [('b', 0.9), ('a', 0.5), ('c', 0.5)]
    """
    best: dict[str, float] = {}
    for document, score in chunks:
        best.setdefault(document, score)
    ranked: list[tuple[str, float]] = []
    for _, tied in groupby(best.items(), key=lambda pair: pair[1]):
        ranked.extend(sorted(tied))
    return ranked


def evaluate_run(run: Run, qrels: Qrels, *, ignore_identical_ids: bool = True) -> PerQuery:
    """Every measure of `MEASURES` for every query of `qrels`.

    A judged query that the run lacks counts as 0; a query of the run without judgments is left out. Grades
    below 0 count as not relevant. With `ignore_identical_ids` a document that has the id of the query is
    taken out of its result, as BEIR does (there such a document is the query itself).

    Raises ValueError if a document stands twice in one result: rank chunks as documents first.

    >>> values = evaluate_run({"q1": [("d2", 3.5), ("d1", 3.1)]}, {"q1": {"d1": 1}, "q2": {"d3": 1}})
    >>> values["mrr@10"]
    {'q1': 0.5, 'q2': 0.0}
    >>> values["success@1"]
    {'q1': 0.0, 'q2': 0.0}
    """
    import ir_measures

    scores: dict[str, dict[str, float]] = {}
    for query in qrels:
        ids = [id_ for id_, _ in run.get(query, ()) if not (ignore_identical_ids and id_ == query)]
        if len(set(ids)) < len(ids):
            raise ValueError(f"a document stands twice in the result of query {query!r}; use documents_from_chunks")
        ids = ids[:_DEEPEST]
        # Whole numbers this small are exact in single precision, so no two of them tie.
        scores[query] = {id_: float(len(ids) - rank) for rank, id_ in enumerate(ids)}
    # pytrec_eval crashes the process on a query whose grades are all below 0.
    grades = {query: {id_: max(0, grade) for id_, grade in judged.items()} for query, judged in qrels.items()}

    names = {ir_measures.parse_measure(theirs): ours for ours, theirs in MEASURES.items()}
    values: PerQuery = {name: dict.fromkeys(qrels, 0.0) for name in MEASURES}
    for metric in ir_measures.iter_calc(list(names), grades, scores):
        values[names[metric.measure]][metric.query_id] = float(metric.value)
    return values
