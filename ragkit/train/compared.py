"""Two ways of retrieval over the same questions, through the same path as everybody's: nDCG@10 of labelled places."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ragkit.config.schema import Reranking, Retrieval
from ragkit.embed.known import KnownQuestions
from ragkit.evaluate.examine import conditions_of
from ragkit.evaluate.stage_metrics import Places, stage_metrics
from ragkit.evaluate.statistics import FEW, Interval, mean_interval, paired_difference
from ragkit.retrieve.retriever import retrieve
from ragkit.train.questions import Labelled
from ragkit.types import Stage

if TYPE_CHECKING:
    from ragkit.embed import Embedder
    from ragkit.rerank import Reranker
    from ragkit.retrieve.query_transforms import Rewriter
    from ragkit.store import StoreReader

MEASURE = "ndcg@10"
LEAST_QUESTIONS = 20
"""Held-out questions below which no gain is taken for shown."""
WEIGHTS = (0.1, 0.2, 0.3, 0.5, 0.7, 1.0)
"""Shares of a reranker's scores that are tried."""


def known_questions(embedder: Embedder, labelled: Sequence[Labelled]) -> KnownQuestions:
    """An embedder that has embedded these questions already, in one go."""
    texts = sorted({each.case.question for each in labelled})
    return KnownQuestions(embedder, dict(zip(texts, embedder.embed_questions(texts), strict=True)) if texts else {})


class KnownScores:
    """A reranker that scores each pair once, however often it is asked with another weight."""

    def __init__(self, reranker: Reranker) -> None:
        self._reranker = reranker
        self._known: dict[tuple[str, str], float] = {}

    def scores(self, question: str, texts: Sequence[str]) -> list[float]:
        missing = [text for text in dict.fromkeys(texts) if (question, text) not in self._known]
        if missing:
            for text, score in zip(missing, self._reranker.scores(question, missing), strict=True):
                self._known[question, text] = score
        return [self._known[question, text] for text in texts]


@dataclass(frozen=True, slots=True)
class Searched:
    """What questions are searched with."""

    store: StoreReader
    embedder: Embedder
    retrieval: Retrieval
    reranker: Reranker | None = None
    rewriter: Rewriter | None = None

    def weighing(self, reranker: Reranker | None, weight: float) -> Searched:
        """The same with another reranker, its scores with this weight; None for none."""
        reranking = Reranking() if reranker is None else self.retrieval.reranking.model_copy(update={"weight": weight})
        retrieval = self.retrieval.model_copy(update={"reranking": reranking})
        return replace(self, retrieval=retrieval, reranker=reranker)


def values(labelled: Sequence[Labelled], searched: Searched, done: Callable[[], None] | None = None) -> list[float]:
    """nDCG@10 of each question's labelled places in the last ranking, by chunk, ten results deep whatever `top_k`.

    Nor does `reranking.top_n` cut the list: cut shorter than ten, a reranker that keeps the order would seem to lose
    against one whose list is not cut, or against none.
    """
    reranking = searched.retrieval.reranking.model_copy(update={"top_n": None})
    top_k = max(10, searched.retrieval.top_k)
    retrieval = searched.retrieval.model_copy(update={"top_k": top_k, "reranking": reranking})
    places = Places(searched.store)
    found: list[float] = []
    for each in labelled:
        ranked = retrieve(
            each.case.question,
            searched.store,
            searched.embedder,
            retrieval,
            searched.reranker,
            conditions_of(each.case),
            searched.rewriter,
        ).ranked
        last: Stage = "diversified" if "diversified" in ranked else "reranked" if "reranked" in ranked else "fused"
        metrics = stage_metrics({last: ranked.get(last, ())}, each.gold, places)
        found.append(metrics.get(f"{last}.chunk.{MEASURE}", 0.0))
        if done is not None:
            done()
    return found


@dataclass(frozen=True, slots=True)
class Gain:
    """What one way adds to another over the same questions: both means and the paired difference with its interval."""

    over: str
    before: Interval
    after: Interval
    difference: Interval
    questions: int
    documents: int

    @property
    def shown(self) -> bool:
        """Whether the lower bound is above zero, over enough questions about enough documents."""
        return self.difference.low > 0 and self.questions >= LEAST_QUESTIONS and self.documents >= FEW

    def in_words(self) -> str:
        """One line for people.

        >>> Gain("x", Interval(.5, .4, .6), Interval(.6, .5, .7), Interval(.1, .05, .15), 40, 20).in_words()
        'nDCG@10 0.500 to 0.600: +0.100 (95% interval +0.050 to +0.150) over x, 40 questions about 20 documents'
        """
        one = self.difference
        return (
            f"nDCG@10 {self.before.mean:.3f} to {self.after.mean:.3f}: {one.mean:+.3f} (95% interval {one.low:+.3f} to"
            f" {one.high:+.3f}) over {self.over}, {self.questions} questions about {self.documents} documents"
        )

    def why_not(self) -> str:
        """Why it is not shown; empty if it is."""
        if self.difference.high < 0:
            return "it ranks worse on your documents"
        if self.difference.low <= 0:
            return "the interval holds zero: no gain is shown"
        if not self.shown:
            return (
                f"{self.questions} questions about {self.documents} documents are too few to show a gain; it takes"
                f" {LEAST_QUESTIONS} about {FEW}"
            )
        return ""

    def as_dict(self) -> dict[str, Any]:
        return {
            "over": self.over,
            "measure": MEASURE,
            "before": self.before.mean,
            "after": self.after.mean,
            "difference": self.difference.mean,
            "ci95": [self.difference.low, self.difference.high],
            "questions": self.questions,
            "documents": self.documents,
            "shown": self.shown,
        }


def gain(
    over: str, labelled: Sequence[Labelled], before: Sequence[float], after: Sequence[float], seed: int = 0
) -> Gain:
    """The gain of `after` over `before`; questions about one document count together."""
    clusters = [each.case.cluster for each in labelled]
    return Gain(
        over,
        mean_interval(before, clusters=clusters, seed=seed),
        mean_interval(after, clusters=clusters, seed=seed),
        paired_difference(before, after, clusters=clusters, seed=seed),
        len(labelled),
        len(set(clusters)),
    )


def best_weight(
    labelled: Sequence[Labelled], searched: Searched, reranker: Reranker
) -> tuple[float, dict[float, float]]:
    """The weight with the highest mean on these questions, the smallest of equals, and the mean of each."""
    means = {weight: float(np.mean(values(labelled, searched.weighing(reranker, weight)))) for weight in WEIGHTS}
    return max(WEIGHTS, key=lambda weight: (round(means[weight], 6), -weight)), means
