"""Fit the chance that evidence answers, and the threshold for refusals, to the user's own questions.

The chance of `ragkit.generate.answerability` was fitted on encyclopedia articles. Here its logit is moved along a line
(Platt 1999, "Probabilistic Outputs for Support Vector Machines"): two numbers that never change which of two questions
counts as the more answerable, so that fifty questions are enough to fit them. The threshold is the chance below which
the wished share of the answerable questions lies (`generation.refusal.max_false_refusals`).

Each answerable question counts twice: as it is, and with its documents taken out of the results, as a question that is
not answered. Questions labelled as unanswerable come beside them. Figures are from cross-validation: each question is
judged by what was fitted on questions about other documents.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ragkit.config.edit import Scalar
from ragkit.config.keys import KeyPath
from ragkit.config.schema import Generation
from ragkit.errors import RagkitError
from ragkit.evaluate.cases import Case
from ragkit.evaluate.examine import conditions_of
from ragkit.evaluate.statistics import Interval, clustered_share, paired_difference
from ragkit.generate.answerability import READ, confidence, least_confidence, scaled
from ragkit.retrieve.lists import kept_by_rerank
from ragkit.retrieve.retriever import retrieve
from ragkit.train.questions import Labelled

if TYPE_CHECKING:
    from ragkit.system import Ragkit
    from ragkit.types import ScoredChunk

Floats = NDArray[np.float64]

LEAST_QUESTIONS = 50
LEAST_ANSWERABLE = 20
FOLDS = 5
KINDS = ("answerable", "document taken out", "labelled unanswerable")
_RIDGE = 1e-3
_TIMED = 3


@dataclass(frozen=True, slots=True)
class Row:
    """A question with what was found for it: its kind of `KINDS`, the chance before any scaling, its document."""

    kind: str
    raw: float
    cluster: str

    @property
    def answerable(self) -> bool:
        return self.kind == KINDS[0]


@dataclass(frozen=True, slots=True)
class Scale:
    """What the config gets: logits are multiplied by `slope` and moved by `intercept`; below `threshold` is refused."""

    slope: float
    intercept: float
    threshold: float

    @property
    def changes(self) -> dict[KeyPath, Scalar]:
        refusal = ("generation", "refusal")
        return {
            (*refusal, "slope"): self.slope,
            (*refusal, "intercept"): self.intercept,
            (*refusal, "min_confidence"): self.threshold,
        }


@dataclass(frozen=True, slots=True)
class Judged:
    """How chances and refusals do: the calibration error, the mean squared error of the chance (both kinds of questions
    weighing the same), and of each kind of `KINDS` the share that is refused."""

    error: float
    squared: float
    refused: dict[str, Interval]


@dataclass(frozen=True, slots=True)
class Calibrated:
    """What was fitted, and what it changes. `brier` is the difference of the squared errors of the chances, after less
    before, both kinds of questions weighing the same; below zero is better."""

    scale: Scale
    counts: dict[str, int]
    documents: int
    before: Judged
    after: Judged
    brier: Interval
    wished: float

    @property
    def better(self) -> bool:
        """Chances are nearer to the truth, the whole interval of the difference below zero; and answerable questions
        are not clearly refused more often than is wished for, or than they are now."""
        return self.brier.high < 0 and not self._refuses_more

    @property
    def _refuses_more(self) -> bool:
        now = self.before.refused[KINDS[0]].mean
        return self.after.refused[KINDS[0]].low > max(self.wished, now)

    def why_not(self) -> str:
        """Why it is not better; empty if it is."""
        if self._refuses_more:
            return "it would refuse more answerable questions than is wished for"
        if self.brier.low > 0:
            return "the chances would be farther from the truth than they are"
        return "" if self.better else "the chances are not shown to be nearer to the truth (the interval holds zero)"


def rows_of(
    rag: Ragkit,
    labelled: Sequence[Labelled],
    unanswerable: Sequence[Case],
    told: Callable[[str, str], None],
    progress: Callable[[int, int, float], None] | None = None,
) -> list[Row]:
    """Ask all questions, without an answer being written. Raises RagkitError for too few of them."""
    total = len(labelled) + len(unanswerable)
    if total < LEAST_QUESTIONS or len(labelled) < LEAST_ANSWERABLE:
        raise RagkitError(
            f"{total} labelled questions, {len(labelled)} of them answerable, are too few to calibrate on",
            mend=f"label {LEAST_QUESTIONS}, {LEAST_ANSWERABLE} of them answerable, and name them with --questions",
        )
    retrieval = rag.config.retrieval
    # `reranking.top_n` would leave next to nothing where documents are taken out: it cuts afterwards here.
    kept = kept_by_rerank(retrieval) if rag.reranker is not None else retrieval.top_k
    kept, deep = min(kept, retrieval.top_k), 3 * retrieval.top_k
    searched = retrieval.model_copy(
        update={
            "top_k": deep,
            "candidates": max(deep, retrieval.candidates),
            "reranking": retrieval.reranking.model_copy(update={"top_n": None}),
        }
    )
    store, rewriter = rag.snapshot().store, rag.rewriter()
    rows: list[Row] = []
    began = time.perf_counter()
    for number, (case, without) in enumerate(
        [*((each.case, each.documents) for each in labelled), *((case, None) for case in unanswerable)], start=1
    ):
        found = retrieve(
            case.question, store, rag.embedder, searched, rag.reranker, conditions_of(case), rewriter
        ).results
        if without is None:
            rows.append(Row(KINDS[2], _chance(rag, case.question, found[:kept]), case.cluster))
        else:
            others = [result for result in found if result.chunk.document_id not in without]
            rows.append(Row(KINDS[0], _chance(rag, case.question, found[:kept]), case.cluster))
            rows.append(Row(KINDS[1], _chance(rag, case.question, others[:kept]), case.cluster))
        if number == 1:  # the first one loads the models
            began = time.perf_counter()
        if number == 1 + _TIMED:
            left = (time.perf_counter() - began) / _TIMED * (total - number)
            told("time", f"about {max(1, round(left))} s to search for {total} questions; nothing is trained")
        if progress is not None:
            progress(number, total, math.nan)
    return rows


def _chance(rag: Ragkit, question: str, results: list[ScoredChunk]) -> float:
    reader = rag.reader
    readings = reader.read(question, [each.chunk.indexed_text for each in results[:READ]]) if reader else None
    return confidence(question, results, readings)


def calibrate(rows: Sequence[Row], generation: Generation, seed: int = 0) -> Calibrated:
    """Fit to the rows, and judge by cross-validation over documents what that changes."""
    raw, labels = np.array([row.raw for row in rows]), np.array([row.answerable for row in rows], dtype=float)
    clusters = [row.cluster for row in rows]
    wished = generation.refusal.max_false_refusals
    now, threshold = np.array([scaled(value, generation.refusal) for value in raw]), least_confidence(generation)
    after, refused = np.empty(len(rows)), np.zeros(len(rows), dtype=bool)
    fold_of = np.array([_fold(cluster, seed) for cluster in clusters])
    for fold in sorted(set(fold_of.tolist())):
        own = fold_of == fold
        fitted = fit(raw[~own], labels[~own], wished)
        after[own] = moved(raw[own], fitted)
        refused[own] = after[own] < fitted.threshold
    # Each kind weighs as much as the other: which of them users ask more often is not known.
    weights = _evened(labels) * len(rows)
    losses: list[list[float]] = [(weights * (chances - labels) ** 2).tolist() for chances in (now, after)]
    return Calibrated(
        scale=fit(raw, labels, wished),
        counts={kind: sum(row.kind == kind for row in rows) for kind in KINDS},
        documents=len(set(clusters)),
        before=_judged(rows, now, now < threshold, losses[0]),
        after=_judged(rows, after, refused, losses[1]),
        brier=paired_difference(*losses, clusters=clusters, seed=seed),
        wished=wished,
    )


def _fold(cluster: str, seed: int) -> int:
    digest = hashlib.sha256(f"{seed} {cluster}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:4], "big") % FOLDS


def _judged(rows: Sequence[Row], chances: Floats, refused: NDArray[np.bool_], losses: Sequence[float]) -> Judged:
    labels = np.array([row.answerable for row in rows])
    shares: dict[str, Interval] = {}
    for kind in KINDS:
        own = [n for n, row in enumerate(rows) if row.kind == kind]
        if own:
            shares[kind] = clustered_share([float(refused[n]) for n in own], [rows[n].cluster for n in own])
    return Judged(calibration_error(chances[labels], chances[~labels]), float(np.mean(losses)), shares)


def fit(raw: Floats, labels: Floats, wished: float) -> Scale:
    """Slope and intercept of a logistic regression of the labels on the logits of the chances, answerable questions and
    others in equal parts; the threshold is the quantile `wished` of the answerable ones' new chances."""
    from scipy import optimize

    logits = _logits(raw)
    weights = _evened(labels)
    signs = 1 - 2 * labels

    def loss(parameters: Floats) -> float:
        signed = (np.exp(parameters[0]) * logits + parameters[1]) * signs
        return float(weights @ np.logaddexp(0.0, signed)) + _RIDGE * float(parameters @ parameters)

    untyped: Any = optimize
    found = untyped.minimize(loss, np.zeros(2)).x  # the slope as its logarithm: it cannot turn the order round
    plain = Scale(round(float(np.exp(found[0])), 4), round(float(found[1]), 4), 0.0)
    threshold = float(np.quantile(moved(raw[labels == 1], plain), wished))
    # Rounded down: up, it would refuse the very questions that it is to let through.
    return Scale(plain.slope, plain.intercept, math.floor(threshold * 1e4) / 1e4)


def _evened(labels: Floats) -> Floats:
    """Weights that add up to 1, a half for each label."""
    share = np.array([0.5 / (1 - labels).sum(), 0.5 / labels.sum()])
    return np.asarray(share[labels.astype(int)], dtype=np.float64)


def moved(raw: Floats, scale: Scale) -> Floats:
    """The chances that a scale makes of raw ones."""
    return np.where(raw <= 0, 0.0, 1 / (1 + np.exp(-(scale.slope * _logits(raw) + scale.intercept))))


def _logits(raw: Floats) -> Floats:
    clipped = np.clip(raw, 1e-9, 1 - 1e-9)
    return np.log(clipped / (1 - clipped))


def calibration_error(positive: Floats, negative: Floats) -> float:
    """The mean distance of chance and truth over ten bins of equal width, positive and negative ones in equal parts
    (expected calibration error: Naeini et al. 2015, "Obtaining Well Calibrated Probabilities Using Bayesian Binning").

    >>> round(calibration_error(np.array([0.95, 0.95]), np.array([0.05])), 3)
    0.05
    """
    values = np.concatenate([positive, negative])
    truth = np.concatenate([np.ones_like(positive), np.zeros_like(negative)])
    weight = np.concatenate([np.full(len(one), 0.5 / len(one)) for one in (positive, negative)])
    bins = np.minimum((values * 10).astype(int), 9)
    return float(
        sum(
            abs(np.dot(weight[bins == b], values[bins == b] - truth[bins == b])) for b in range(10) if (bins == b).any()
        )
    )
