"""What a run amounts to: every metric with its interval, segments, where answers were lost, time, cost, and the gates.

Computed from the records alone, the same bytes every time.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from ragkit.errors import RagkitError
from ragkit.evaluate.power import smallest_difference
from ragkit.evaluate.record import Outcome, Record
from ragkit.evaluate.statistics import clustered_share, mean_intervals
from ragkit.evaluate.suite import Gate, Suite

Verdict = Literal["pass", "fail", "not shown"]

FAILED = "failed"
"""The metric of questions that ended in an error."""

ENOUGH_ALIKE = 10
"""Documents whose values are all the same, for that to show anything."""

LOSSES: tuple[Outcome, ...] = get_args(Outcome)


@dataclass(frozen=True, slots=True)
class Figure:
    """The mean of a metric and its 95% interval, over so many questions in so many clusters (documents).

    `deviation` is the standard deviation of its values.
    """

    metric: str
    mean: float
    low: float
    high: float
    questions: int
    clusters: int
    deviation: float

    @property
    def is_known(self) -> bool:
        """Whether the interval says how the mean varies: one document says nothing of how documents vary, nor do values
        that are all the same, unless there are many."""
        return self.clusters > 1 and (self.low < self.high or self.clusters >= ENOUGH_ALIKE)

    @property
    def interval(self) -> str:
        """The interval in words, "-" where it is not known."""
        return f"{self.low:.3f} to {self.high:.3f}" if self.is_known else "-"

    @property
    def shows(self) -> float:
        """The smallest difference between two systems that questions like these show in four of five cases, when each
        document counts once and the systems' values correlate by a half, so that their differences vary as the values
        do; infinite for fewer than three documents."""
        if self.deviation == 0 or self.clusters < 3:
            return math.inf
        return smallest_difference(self.deviation, self.clusters)


@dataclass(frozen=True, slots=True)
class GateResult:
    """A gate and its verdict: pass when the whole interval is within the bound, fail when the mean is not or no
    question has the metric, and not shown when only the mean is: too few questions, or too close."""

    gate: Gate
    figure: Figure | None
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Latency:
    """Percentiles in milliseconds over the questions."""

    p50: float
    p95: float
    p99: float


@dataclass(frozen=True, slots=True)
class Summary:
    """All of it. `segments` has figures by segment, for segments that have a name; `losses` counts outcomes, and
    `failed_judgements` verdicts that did not come about, by judge."""

    questions: int
    failed: int
    figures: dict[str, Figure]
    segments: dict[str, dict[str, Figure]] = field(default_factory=dict[str, dict[str, Figure]])
    losses: dict[Outcome, int] = field(default_factory=dict[Outcome, int])
    failed_judgements: dict[str, int] = field(default_factory=dict[str, int])
    latency: dict[str, Latency] = field(default_factory=dict[str, Latency])
    cost_usd: float | None = None
    unpriced: int = 0
    synthetic: int = 0
    """Questions that nobody wrote or checked."""
    gates: tuple[GateResult, ...] = ()
    reranking: Figure | None = None
    """What reranking adds to precision@3, question by question; None where nothing was reranked."""

    @property
    def passed(self) -> bool:
        return all(result.verdict != "fail" for result in self.gates)


def summarise(records: Sequence[Record], suite: Suite) -> Summary:
    """The summary of a run's records under the gates of its suite. Raises RagkitError without records."""
    if not records:
        raise RagkitError("the run has no answered question yet", mend="go on with ragkit eval run --resume")
    figures = figures_of(records, suite.seed)
    segments = {
        name: figures_of([record for record in records if record.case.segment == name], suite.seed)
        for name in sorted({record.case.segment for record in records} - {""})
        if not suite.segments or name in suite.segments or any(gate.segment == name for gate in suite.gates)
    }
    counted = Counter(record.outcome for record in records)
    costs = [record.cost_usd for record in records if record.error is None]
    return Summary(
        questions=len(records),
        failed=counted["failed"],
        figures=figures,
        segments=segments,
        losses={outcome: counted[outcome] for outcome in LOSSES if counted[outcome]},
        failed_judgements=dict(Counter(j.judge for r in records for j in r.judgements if j.score is None)),
        latency=latencies(records),
        cost_usd=sum(cost for cost in costs if cost is not None),
        unpriced=sum(cost is None for cost in costs),
        synthetic=sum(record.case.synthetic for record in records),
        gates=tuple(
            _judged(gate, (segments.get(gate.segment, {}) if gate.segment else figures).get(gate.metric))
            for gate in suite.gates
        )
        + _on_failures(figures, suite),
        reranking=reranking_gain(records, suite.seed),
    )


def reranking_gain(records: Sequence[Record], seed: int = 0) -> Figure | None:
    """What the reranker adds to the precision@3 of fusion, question by question; None where nothing was reranked.

    Questions of which it leaves fewer than three passages (`reranking.top_n`) say nothing: what is cut is no loss of
    its order.
    """
    before, after = (f"{stage}.chunk.precision@3" for stage in ("fused", "reranked"))
    gains = [
        (record.metrics[after] - record.metrics[before], record.cluster)
        for record in records
        if after in record.metrics and sum("reranked" in each.ranks for each in record.passages) >= 3
    ]
    return figure_of("gain in precision@3", gains, seed) if gains else None


def figures_of(records: Sequence[Record], seed: int = 0) -> dict[str, Figure]:
    """Every metric over the records that have it. Failed questions have none but "failed", the share of them, which is
    given where there are some.

    Refusals are shown both ways: `refusal_recall` over unanswerable questions, `false_refusals` over answerable ones,
    `refusal_precision` over refusals.
    """
    values: dict[str, list[tuple[float, str]]] = {}
    for record in records:
        for metric, value in all_metrics(record).items():
            values.setdefault(metric, []).append((value, record.cluster))
    if not any(value for value, _ in values.get(FAILED, ())):
        values.pop(FAILED, None)
    # Metrics of the same questions share their draws.
    alike: dict[tuple[str, ...], dict[str, list[float]]] = {}
    for metric, found in values.items():
        clusters = tuple(cluster for _, cluster in found)
        alike.setdefault(clusters, {})[metric] = [value for value, _ in found]
    figures = [figure for clusters, columns in alike.items() for figure in _figures(columns, clusters, seed)]
    return {figure.metric: figure for figure in sorted(figures, key=lambda figure: figure.metric)}


def all_metrics(record: Record) -> dict[str, float]:
    """What was measured of a question, the measures of refusing that it counts for, what judges scored, and whether it
    ended in an error, of which nothing else was measured."""
    if record.error is not None:
        return {FAILED: 1.0}
    values = {**record.metrics, "false_refusals" if record.case.answerable else "refusal_recall": float(record.refused)}
    if record.refused:
        values["refusal_precision"] = float(not record.case.answerable)
    values |= {each.judge: each.score for each in record.judgements if each.score is not None}
    return {**values, FAILED: 0.0}


def figure_of(metric: str, found: Sequence[tuple[float, str]], seed: int = 0) -> Figure:
    """A figure from values, each with the cluster that it belongs to. Raises ValueError without values.

    Values are shares between 0 and 1 or anything else, such as dollars; where all are 0 or 1 the interval is that of
    `clustered_share`, else a bootstrap's.

    >>> figure_of("contained", [(1.0, "a.md"), (1.0, "b.md"), (1.0, "b.md")]).low > 0
    True
    """
    return _figures({metric: [value for value, _ in found]}, [cluster for _, cluster in found], seed)[0]


_NO_SHARES = frozenset({"words", "dollars a question"})


def _figures(columns: Mapping[str, Sequence[float]], clusters: Sequence[str], seed: int) -> list[Figure]:
    count = len(set(clusters))
    intervals = mean_intervals(columns, clusters=clusters, seed=seed)
    figures: list[Figure] = []
    for metric, values in columns.items():
        # A bootstrap is too sure of shares near 0 or 1, and certain of those that are.
        is_share = set(values) <= {0.0, 1.0} and metric not in _NO_SHARES
        interval = clustered_share(values, clusters) if is_share else intervals[metric]
        deviation = statistics.stdev(values) if len(values) > 1 else 0.0
        figures.append(Figure(metric, interval.mean, interval.low, interval.high, len(values), count, deviation))
    return figures


def latencies(records: Sequence[Record]) -> dict[str, Latency]:
    """Percentiles by stage and "total"; questions that a stage did not see do not count for it."""
    import numpy as np

    by_stage: dict[str, list[float]] = {}
    for record in records:
        for stage, milliseconds in record.timings_ms.items():
            by_stage.setdefault(stage, []).append(milliseconds)
    return {
        stage: Latency(*(float(value) for value in np.percentile(found, [50, 95, 99])))
        for stage, found in by_stage.items()
    }


def _on_failures(figures: Mapping[str, Figure], suite: Suite) -> tuple[GateResult, ...]:
    """The gate that every suite has: metrics are of what did not fail, so that too many failures would make it good."""
    figure = figures.get(FAILED)
    if figure is None:
        return ()
    verdict = "fail" if figure.mean > suite.max_failed else "pass"
    return (GateResult(Gate(metric=FAILED, at_most=suite.max_failed), figure, verdict),)


def _judged(gate: Gate, figure: Figure | None) -> GateResult:
    return GateResult(gate, figure, "fail" if figure is None else verdict(figure, gate.at_least, gate.at_most))


def verdict(figure: Figure, at_least: float | None = None, at_most: float | None = None) -> Verdict:
    """pass, fail or not shown, as `GateResult` says.

    >>> figure = Figure("recall", mean=0.93, low=0.88, high=0.97, questions=60, clusters=40, deviation=0.2)
    >>> verdict(figure, at_least=0.9), verdict(figure, at_least=0.95), verdict(figure, at_least=0.8)
    ('not shown', 'fail', 'pass')
    """
    if at_least is not None:
        mean, worst, bound = figure.mean, figure.low, at_least
    else:
        mean, worst, bound = -figure.mean, -figure.high, -(at_most if at_most is not None else float("inf"))
    if mean < bound:
        return "fail"
    return "pass" if worst >= bound and figure.is_known else "not shown"
