"""Is this run better than that one? Question by question, on the questions that both were asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from ragkit.errors import RagkitError
from ragkit.evaluate.power import smallest_difference
from ragkit.evaluate.record import GOOD, Outcome, Record
from ragkit.evaluate.remarks import on_synthetic
from ragkit.evaluate.statistics import Interval, McNemarTest, holm, mcnemar_test, paired_difference, permutation_test
from ragkit.evaluate.summary import ENOUGH_ALIKE, FAILED, all_metrics

Verdict = Literal["better", "worse", "differs", "no difference shown", "too small a set"]
"""differs: of a metric that is neither better high nor low."""

LOWER_IS_BETTER = frozenset({FAILED, "false_refusals", "unsupported_share", "attack_succeeded"})
NEITHER_IS_BETTER = frozenset({"refused", "words", "verbatim_share"})
_LEVEL = 0.05


@dataclass(frozen=True, slots=True)
class Difference:
    """A metric of both runs over the questions that both have it for, the mean of second - first with its 95% interval,
    the p of a paired permutation test adjusted for all metrics that were compared (Holm), and what that shows.

    `shows` is the smallest difference that these pairs show in four of five cases, when each document counts once; None
    if there is none."""

    metric: str
    first: float
    second: float
    interval: Interval
    p: float
    questions: int
    shows: float | None
    verdict: Verdict

    @property
    def can_show(self) -> str:
        """`shows` in words."""
        return "-" if self.shows is None else f"{self.shows:.3f}"


@dataclass(frozen=True, slots=True)
class Flip:
    """A question that ended otherwise in the second run."""

    id: str
    question: str
    before: Outcome
    after: Outcome

    @property
    def gained(self) -> bool:
        return self.after in GOOD and self.before not in GOOD

    @property
    def lost(self) -> bool:
        return self.before in GOOD and self.after not in GOOD


@dataclass(frozen=True, slots=True)
class RunComparison:
    """All differences, flips, and how many questions only one of the runs had."""

    questions: int
    only_first: int
    only_second: int
    synthetic: int
    """Questions of these that nobody wrote or checked."""
    differences: tuple[Difference, ...]
    flips: tuple[Flip, ...]

    @property
    def flipped(self) -> McNemarTest:
        """Questions that only one of the runs got right, and McNemar's test of their numbers, which takes questions
        about one document for independent."""
        gained = sum(flip.gained for flip in self.flips)
        lost = sum(flip.lost for flip in self.flips)
        return mcnemar_test([False] * gained + [True] * lost, [True] * gained + [False] * lost)

    @property
    def verdict(self) -> Verdict:
        """worse if a metric is worse, else better if one is better, else too small a set if any was, else no difference
        shown; metrics that are neither better high nor low do not count."""
        found = [each.verdict for each in self.differences if each.metric not in NEITHER_IS_BETTER]
        for verdict in ("worse", "better", "too small a set"):
            if verdict in found:
                return verdict
        return "no difference shown" if found else "too small a set"


def compare_runs(
    first: Sequence[Record],
    second: Sequence[Record],
    metrics: Sequence[str],
    *,
    seed: int = 0,
    relevant: float = 0.05,
) -> RunComparison:
    """Compare two runs by the metrics that both have.

    A difference counts as shown when its interval leaves out 0 and its adjusted p is below .05. Where none is shown,
    and even a true difference of `relevant` would be missed in one of five such sets, the set is too small. Raises
    RagkitError when the runs share no question, or one has changed between them.
    """
    before = {record.case.id: record for record in first}
    after = {record.case.id: record for record in second}
    common = [identity for identity in before if identity in after]
    if not common:
        raise RagkitError("the runs have no question in common", mend="compare runs of the same suite")
    changed = [identity for identity in common if before[identity].case != after[identity].case]
    if changed:
        raise RagkitError(
            f"question {changed[0]!r} or its labels are others in the second run", mend="run both on one suite"
        )
    pairs = [(before[identity], after[identity]) for identity in common]
    if any(record.error is not None for pair in pairs for record in pair):
        metrics = [FAILED, *metrics]
    measured = {metric: _pairs_with(metric, pairs) for metric in metrics}
    used = {metric: found for metric, found in measured.items() if len(found) > 1}
    tests = {metric: _test(found, seed) for metric, found in used.items()}
    adjusted = holm({metric: p for metric, (_, p) in tests.items()})
    differences = tuple(
        _difference(metric, used[metric], tests[metric][0], adjusted[metric], relevant) for metric in used
    )
    flips = tuple(
        Flip(one.case.id, one.case.question, one.outcome, other.outcome)
        for one, other in pairs
        if one.outcome != other.outcome
    )
    return RunComparison(
        questions=len(common),
        only_first=len(before) - len(common),
        only_second=len(after) - len(common),
        synthetic=sum(one.case.synthetic for one, _ in pairs),
        differences=differences,
        flips=flips,
    )


Pair = tuple[float, float, str]


def _pairs_with(metric: str, pairs: Sequence[tuple[Record, Record]]) -> list[Pair]:
    """(first, second, cluster) of the questions for which both runs have the metric."""
    found: list[Pair] = []
    for one, other in pairs:
        before, after = _value(one, metric), _value(other, metric)
        if before is not None and after is not None:
            found.append((before, after, one.cluster))
    return found


def _value(record: Record, metric: str) -> float | None:
    return all_metrics(record).get(metric)


def _test(pairs: Sequence[Pair], seed: int) -> tuple[Interval, float]:
    first, second = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    clusters = [pair[2] for pair in pairs]
    interval = paired_difference(first, second, clusters=clusters, seed=seed)
    return interval, permutation_test(first, second, clusters=clusters, seed=seed).p


def _difference(metric: str, pairs: Sequence[Pair], interval: Interval, p: float, relevant: float) -> Difference:
    first = sum(pair[0] for pair in pairs) / len(pairs)
    second = sum(pair[1] for pair in pairs) / len(pairs)
    verdict: Verdict
    shows = _shows(pairs)
    if interval.excludes_zero and p < _LEVEL:
        better = (interval.mean > 0) != (metric in LOWER_IS_BETTER)
        verdict = "differs" if metric in NEITHER_IS_BETTER else "better" if better else "worse"
    else:
        verdict = "no difference shown" if shows is not None and shows <= relevant else "too small a set"
    return Difference(metric, first, second, interval, p, len(pairs), shows, verdict)


def _shows(pairs: Sequence[Pair]) -> float | None:
    """The smallest difference that these pairs show; documents count once."""
    import statistics

    clusters = len({pair[2] for pair in pairs})
    deviation = statistics.stdev([pair[1] - pair[0] for pair in pairs])
    if deviation == 0:
        return 0.0 if clusters >= ENOUGH_ALIKE else None
    return smallest_difference(deviation, clusters) if clusters > 2 else None


def changed_keys(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The keys, dotted, whose values differ between two configs as a run keeps them, with both values.

    >>> changed_keys({"retrieval": {"top_k": 5, "strategy": "dense"}}, {"retrieval": {"top_k": 8, "strategy": "dense"}})
    {'retrieval.top_k': (5, 8)}
    """
    found: dict[str, tuple[Any, Any]] = {}
    for key in dict.fromkeys((*first, *second)):
        one, other = first.get(key), second.get(key)
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            below = changed_keys(cast("Mapping[str, Any]", one), cast("Mapping[str, Any]", other))
            found |= {f"{key}.{rest}": values for rest, values in below.items()}
        elif one != other:
            found[key] = (one, other)
    return found


def as_markdown(
    comparison: RunComparison, first: str, second: str, changed: Mapping[str, tuple[Any, Any]] | None = None
) -> str:
    """The comparison for a pull request: what is set otherwise, a table of metrics, and the questions that flipped."""
    lines = [
        f"**{comparison.verdict}**: run `{second}` against `{first}` on {comparison.questions} questions",
        "",
        *(f"{remark}\n" for remark in on_synthetic(comparison.synthetic, comparison.questions)),
        *(f"- `{key}`: {_plain(str(one))} → {_plain(str(other))}" for key, (one, other) in (changed or {}).items()),
        *([""] if changed else []),
        "| metric | n | can show | first | second | difference (95% interval) | p (Holm) | |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {d.metric} | {d.questions} | {d.can_show} | {d.first:.3f} | {d.second:.3f} | {d.interval.mean:+.3f}"
        f" ({d.interval.low:+.3f} to {d.interval.high:+.3f}) | {d.p:.3f} | {d.verdict} |"
        for d in comparison.differences
    ]
    for title, flips in (
        ("Gained", [flip for flip in comparison.flips if flip.gained]),
        ("Lost", [flip for flip in comparison.flips if flip.lost]),
    ):
        if flips:
            lines += ["", f"{title} ({len(flips)}):", ""]
            lines += [f"- `{flip.id}` {_plain(flip.question)} ({flip.before} → {flip.after})" for flip in flips]
    return "\n".join(lines) + "\n"


def _plain(text: str) -> str:
    """Text of users in Markdown: on one line, without what would start markup."""
    return "".join(f"\\{sign}" if sign in "\\`*_[]<>|#" else sign for sign in " ".join(text.split()))
