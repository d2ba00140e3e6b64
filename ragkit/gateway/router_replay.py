"""What routers would have done on recorded answers: the cascade, and those that it must beat.

All are asked of the same questions with the same answers, so that nothing but the choice of the endpoint differs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ragkit.evaluate.statistics import Interval, mean_interval, paired_difference
from ragkit.gateway.router_log import Logged

Chances = NDArray[np.float64]
"""How likely each cheap answer is good enough, -1 for a refusal: one row a question, one column a cheap endpoint."""


@dataclass(frozen=True, slots=True)
class Route:
    """How a router did on each question: how right, at which cost in nano-dollars, answered by which endpoint."""

    right: NDArray[np.float64]
    nano_usd: NDArray[np.float64]
    by: NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Compared:
    """A router's figures over all questions: how often it was right, how that differs from the dearest endpoint alone
    (both with 95% intervals over documents), dollars for 1,000 questions, the share of the dearest's cost that it
    saves, and the share of the questions that each endpoint answered."""

    name: str
    right: Interval
    change: Interval
    usd_per_1000: float
    saved: float
    answered: tuple[float, ...]


def compare(logged: Sequence[Logged], routes: Mapping[str, Route], seed: int = 0) -> list[Compared]:
    """The figures of each route, by its name."""
    endpoints = len(logged[0].right)
    strong = always(logged, endpoints - 1)
    spent = float(strong.nano_usd.mean())
    clusters = [row.cluster for row in logged]
    return [
        Compared(
            name,
            mean_interval(route.right.tolist(), clusters=clusters, seed=seed),
            paired_difference(strong.right.tolist(), route.right.tolist(), clusters=clusters, seed=seed),
            float(route.nano_usd.mean()) / 1e6,
            1 - float(route.nano_usd.mean()) / spent if spent else 0.0,
            tuple(float((route.by == place).mean()) for place in range(endpoints)),
        )
        for name, route in routes.items()
    ]


def replay(logged: Sequence[Logged], chances: Chances, threshold: float) -> Route:
    """The cascade over recorded answers: each cheap endpoint in turn until an answer does, and all of them are paid."""
    right, nano = columns(logged)
    takes = (chances >= threshold) & (chances >= 0)  # no threshold takes a refusal
    dearest = right.shape[1] - 1
    by = takes.argmax(axis=1)
    by[~takes.any(axis=1)] = dearest
    rows = np.arange(len(logged))
    return Route(right[rows, by], np.cumsum(nano, axis=1)[rows, by], by)


def always(logged: Sequence[Logged], place: int) -> Route:
    """One endpoint for every question."""
    right, nano = columns(logged)
    return Route(right[:, place], nano[:, place], np.full(len(logged), place))


def mixed(logged: Sequence[Logged], spend: float) -> Route:
    """The best that chance can do for this spend (nano-dollars a question): two endpoints, each with the share of the
    questions at which both together cost so much. Its `right` are expected values."""
    right, nano = columns(logged)
    means, costs = right.mean(axis=0), nano.mean(axis=0)
    best: tuple[float, int, int, float] | None = None
    for cheap in range(len(costs)):
        for dear in range(len(costs)):
            if costs[cheap] <= spend <= costs[dear]:
                share = (spend - costs[cheap]) / (costs[dear] - costs[cheap]) if costs[dear] > costs[cheap] else 0.0
                mean = float((1 - share) * means[cheap] + share * means[dear])
                if best is None or mean > best[0]:
                    best = (mean, cheap, dear, float(share))
    if best is None:  # more is spent than the dearest costs
        return always(logged, int(means.argmax()))
    _, cheap, dear, share = best
    by = np.full(len(logged), cheap)
    return Route(
        (1 - share) * right[:, cheap] + share * right[:, dear],
        (1 - share) * nano[:, cheap] + share * nano[:, dear],
        by,
    )


def by_neighbours(
    seen: Sequence[Logged],
    seen_vectors: NDArray[np.float32],
    logged: Sequence[Logged],
    vectors: NDArray[np.float32],
    spend: float,
    k: int = 20,
) -> Route:
    """A router that sees only the question: how right each endpoint was on the `k` nearest of the questions seen, less
    what it costs at the price of accuracy at which all together cost `spend` (Li 2025, arXiv:2505.12601)."""
    known, costs = columns(seen)
    nearest = np.argsort(-(vectors @ seen_vectors.T), axis=1)[:, :k]
    expected = known[nearest].mean(axis=1)
    usual = costs.mean(axis=0)
    right, nano = columns(logged)
    rows = np.arange(len(logged))
    low, high = 0.0, 1.0 / max(1.0, float(usual.max()))
    choice = np.argmax(expected - high * usual, axis=1)
    for _ in range(60):
        price = (low + high) / 2
        choice = np.argmax(expected - price * usual, axis=1)
        if nano[rows, choice].mean() > spend:
            low = price
        else:
            high = price
    choice = np.argmax(expected - high * usual, axis=1)
    return Route(right[rows, choice], nano[rows, choice], choice)


def columns(logged: Sequence[Logged]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How right and how dear each endpoint was: one row a question."""
    return np.array([row.right for row in logged]), np.array([row.nano_usd for row in logged], dtype=np.float64)
