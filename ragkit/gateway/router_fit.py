"""Fit a cascade to recorded answers: how likely each cheap answer is good enough, and from which chance on it is taken.

The bound is the user's: "at most 1 point of accuracy lost against the dearest endpoint alone". A threshold holds it if
the upper end of the interval of the loss does, with one lost document added to those seen (the correction of
conformal risk control, Angelopoulos et al. 2022, arXiv:2208.02814, which also keeps a threshold from passing because
nothing was lost yet among few). A document and not a question: those of one document fail together, so documents are
what is drawn at random, and how many there are decides what can be shown. Thresholds are tested from the safest on and
the search ends at the first that does not hold (fixed-sequence testing, as in "Learn then Test", Angelopoulos et al.
2021, arXiv:2110.01052), so that the many looks need no correction. A second search begins at the other end, where the
cheap endpoints answer all that they can: they may be no worse, and the few answers that the safest thresholds take show
little of it. Each of the two has half of the 5%, so their bounds are the upper ends of two-sided 95% intervals.

The 95% are about right and no more: they are of models that did not see the question's document, and what is installed
is fitted to all of them; and where no document was lost at all, the correction leaves one search nearer to 5% than to
its half (the rule of three).
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ragkit.config.routing import Score
from ragkit.errors import RagkitError
from ragkit.evaluate.statistics import mean_intervals
from ragkit.gateway.cascade import SIGNALS, chance
from ragkit.gateway.router_log import Logged
from ragkit.gateway.router_replay import Chances, always, columns, replay

FOLDS = 5
_RIDGE = 1.0
_STEPS = 40
"""Thresholds that are tried: so many quantiles of the chances."""
LEAST_DOCUMENTS = 10
"""Fewer do not show how documents differ, and an interval over them means nothing."""
_NONE_LOST = 3.0
"""The rule of three: where none of n documents was lost, about so many of n may be (at 95%)."""


@dataclass(frozen=True, slots=True)
class Step:
    """A threshold on the questions that it was chosen on: accuracy lost against the dearest endpoint (below 0 where it
    was gained), the upper end of its 95% interval, and the cost as a share of the dearest's."""

    threshold: float
    lost: float
    at_most: float
    cost_share: float


@dataclass(frozen=True, slots=True)
class Fit:
    """`scores` for the cheap endpoints in their order; the `threshold` that holds the bound, None if none but "always
    the dearest" does; every step that was tried, the safest first; the questions and their documents; what each
    endpoint costs, in nano-dollars a question."""

    scores: tuple[Score, ...]
    threshold: float | None
    steps: tuple[Step, ...]
    questions: int
    clusters: int
    nano_usd: tuple[float, ...]

    @property
    def step(self) -> Step | None:
        """That of the threshold."""
        return next((step for step in self.steps if step.threshold == self.threshold), None)


def fit(logged: Sequence[Logged], most_lost: float, *, seed: int = 0) -> Fit:
    """Scores and threshold for a bound on the accuracy lost (0.01 is a point).

    Raises ValueError without questions, and RagkitError for those of fewer than `LEAST_DOCUMENTS` documents.
    """
    if not logged:
        raise ValueError("there is no question to fit to")
    clusters = len({row.cluster for row in logged})
    check_documents(clusters)
    steps = _steps(logged, _out_of_fold(logged, seed), seed)
    safe = list(takewhile(lambda step: step.at_most <= most_lost, steps))
    held = steps[-1:] if steps and steps[-1].at_most <= most_lost else safe[-1:]
    return Fit(
        fit_scores(logged),
        held[0].threshold if held else None,
        tuple(steps),
        len(logged),
        clusters,
        tuple(columns(logged)[1].mean(axis=0).tolist()),
    )


def check_documents(count: int) -> None:
    """Raises RagkitError where so few documents with labelled questions show nothing."""
    if count < LEAST_DOCUMENTS:
        raise RagkitError(
            f"the questions to fit to are about {count} documents, and those of one document fail together",
            mend=f"label questions about {LEAST_DOCUMENTS} documents at least, better about hundreds",
        )


def documents_for(most_lost: float) -> int | None:
    """About how many documents show that a threshold keeps to a bound if no question of theirs is lost; None for 0.

    >>> documents_for(0.01), documents_for(0.0)
    (300, None)
    """
    return math.ceil(round(_NONE_LOST / most_lost, 6)) if most_lost > 0 else None


def fit_scores(logged: Sequence[Logged]) -> tuple[Score, ...]:
    """For each cheap endpoint a logistic model (ridge) of whether its answer is as right as that of the dearest."""
    return tuple(_fit_score(logged, place) for place in range(len(logged[0].right) - 1))


def chances_of(scores: Sequence[Score], logged: Sequence[Logged]) -> Chances:
    """The chance of every cheap answer; -1 for a refusal."""
    return np.array(
        [
            [
                -1.0 if values is None else chance(score, values)
                for score, values in zip(scores, row.signals, strict=False)
            ]
            for row in logged
        ]
    )


def _steps(logged: Sequence[Logged], chances: Chances, seed: int) -> list[Step]:
    """Thresholds from the safest on, each with what it loses."""
    strong = always(logged, len(logged[0].right) - 1)
    highest = chances.max(axis=1)
    answered = highest[highest >= 0]
    if not answered.size:
        return []
    quantiles: list[float] = np.quantile(answered, np.linspace(0, 1, _STEPS)).tolist()
    # Rounded down: up, it would not take the very answer that it stands for.
    thresholds = sorted({math.floor(value * 1e4) / 1e4 for value in quantiles}, reverse=True)
    routes = [replay(logged, chances, threshold) for threshold in thresholds]
    # One more document, of as many questions as the others have, every one of them lost.
    added = max(1, round(len(logged) / len({row.cluster for row in logged})))
    lost = {
        str(number): [*(strong.right - route.right).tolist(), *added * [1.0]] for number, route in enumerate(routes)
    }
    clusters: list[Hashable] = [*(row.cluster for row in logged), *added * [None]]
    intervals = mean_intervals(lost, clusters=clusters, seed=seed)
    spent = float(strong.nano_usd.mean())
    return [
        Step(
            threshold,
            float((strong.right - route.right).mean()),
            intervals[str(number)].high,
            float(route.nano_usd.mean()) / spent if spent else 1.0,
        )
        for number, (threshold, route) in enumerate(zip(thresholds, routes, strict=True))
    ]


def _out_of_fold(logged: Sequence[Logged], seed: int) -> Chances:
    """The chances of each question by models that saw no question of its cluster."""
    clusters = sorted({row.cluster for row in logged})
    order = np.random.default_rng(seed).permutation(len(clusters))
    fold_of = {clusters[int(place)]: number % FOLDS for number, place in enumerate(order.tolist())}
    chances = np.full((len(logged), len(logged[0].right) - 1), -1.0)  # what no model judged is not taken
    for fold in range(FOLDS):
        inside = [number for number, row in enumerate(logged) if fold_of[row.cluster] == fold]
        others = [row for row in logged if fold_of[row.cluster] != fold]
        if inside and others:
            chances[inside] = chances_of(fit_scores(others), [logged[number] for number in inside])
    return chances


def _fit_score(logged: Sequence[Logged], place: int) -> Score:
    from scipy import optimize

    rows = [(row, values) for row in logged if (values := row.signals[place]) is not None]
    if not rows:
        return Score(intercept=-9.0)  # it only ever refused
    table = np.array([[values[name] for name in SIGNALS] for _, values in rows])
    good = np.array([row.right[place] >= row.right[-1] for row, _ in rows], dtype=np.float64)
    means, spreads = table.mean(axis=0), table.std(axis=0)
    spreads[spreads < 1e-9] = np.inf  # one that is always the same says nothing
    scaled = (table - means) / spreads

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        totals = weights[0] + scaled @ weights[1:]
        off = 0.5 * (1 + np.tanh(0.5 * totals)) - good
        value = float(np.sum(np.logaddexp(0, totals) - good * totals)) + 0.5 * _RIDGE * float(weights[1:] @ weights[1:])
        return value, np.concatenate([[off.sum()], scaled.T @ off + _RIDGE * weights[1:]])

    start = np.zeros(len(SIGNALS) + 1)
    bounds = [(-9.0, 9.0)] + [(None, None)] * len(SIGNALS)
    untyped: Any = optimize
    found: NDArray[np.float64] = untyped.minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    weights = found[1:] / spreads
    written: Mapping[str, float] = {
        name: round(float(weight), 4) for name, weight in zip(SIGNALS, weights, strict=True)
    }
    return Score(intercept=round(float(found[0] - weights @ means), 4), **written)
