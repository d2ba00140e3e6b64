"""How far a judge can be believed: agreement with people, and its verdicts corrected by theirs.

Intervals of agreement are bootstrap intervals like those of `statistics`, by cluster if clusters are given.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ragkit.evaluate.statistics import (
    RESAMPLES,
    Interval,
    check_options,
    even_clusters,
    expanded_percentiles,
    finite,
    numbered,
    resampled_sums,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Measure = Callable[[NDArray[np.float64]], NDArray[np.float64]]


@dataclass(frozen=True, slots=True)
class CorrectedMean:
    """What people would have said on average: `interval`, from `labels` human labels and all judgments.

    `weight` is how far the judgments were used, from 0 (they tell nothing: the labels alone) to 1.
    """

    interval: Interval
    weight: float
    labels: int


def cohen_kappa(
    first: Sequence[Hashable],
    second: Sequence[Hashable],
    *,
    clusters: Sequence[Hashable] | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """Agreement of two raters beyond chance: 1 is full, 0 what chance gives, below 0 less than that.

    `first` and `second` are labels of the same items in the same order (Cohen 1960, "A coefficient of agreement
    for nominal scales"). Raters who agree everywhere get the interval (1, 1), which says nothing of the items
    that were not rated.

    Raises ValueError if lengths differ, there are no items, both raters know only one and the same label (kappa
    is not defined then), or an option is out of range.

    >>> kappa = cohen_kappa(["yes"] * 25 + ["no"] * 25, ["yes"] * 20 + ["no"] * 5 + ["yes"] * 10 + ["no"] * 15)
    >>> round(kappa.mean, 3)
    0.4
    """
    tables = _Tables(first, second, clusters)
    if len(tables.labels) < 2:
        raise ValueError("kappa is not defined where both raters give one and the same label to everything")
    return tables.interval(_kappa, even_clusters(tables.counts.sum(axis=(1, 2))), resamples, seed, level)


def balanced_accuracy(
    truth: Sequence[Hashable],
    predicted: Sequence[Hashable],
    *,
    clusters: Sequence[Hashable] | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """Mean over the classes of `truth` of the share that was predicted right; 1 / classes is guessing.

    A judge that always says "good" is right in 90% of answers if 90% are good; its balanced accuracy is 0.5
    (Brodersen et al. 2010, "The balanced accuracy and its posterior distribution").

    Raises ValueError if lengths differ, there are no items, `truth` has fewer than two classes or an option is
    out of range.

    >>> balanced_accuracy(["good", "good", "good", "bad"], ["good", "good", "good", "good"]).mean
    0.5
    """
    if len(set(truth)) < 2:
        raise ValueError("balanced accuracy needs at least two classes")
    tables = _Tables(truth, predicted, clusters)
    classes = [place for place, label in enumerate(tables.labels) if label in set(truth)]
    # The recall of the rarest class is the least certain; what it was drawn from decides how far to expand.
    least = min(even_clusters(tables.counts[:, place].sum(axis=1)) for place in classes)
    return tables.interval(lambda counts: _mean_recall(counts, classes), least, resamples, seed, level)


def corrected_mean(
    judged: Sequence[float],
    human: Sequence[float | None],
    *,
    clusters: Sequence[Hashable] | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
    level: float = 0.95,
) -> CorrectedMean:
    """Mean that human labels would have over all items, from judgments of all and labels of a few of them.

    `judged` holds the judge's value of every item, `human` the label of the same item or None; which items get
    a label must have been left to chance. Prediction-powered inference (Angelopoulos et al. 2023, Science 382)
    takes the mean judgment of the other items and corrects it by the judge's mean error on the labelled ones, so
    the interval holds however bad the judge is. How much weight the judgments get is chosen for the smallest
    variance, by the formula for means of PPI++ (Angelopoulos, Duchi and Zrnic 2023, arXiv 2311.01453): a judge
    that tells nothing is left aside.

    The interval is an expanded percentile one (Zrnic 2024, "A note on the prediction-powered bootstrap", arXiv
    2405.18379) that chooses the weight anew in every draw. With fewer than about 30 labels, and if the judge errs
    on none of them, it is still too narrow.

    Raises ValueError if lengths differ, a value is not finite, fewer than three items or two clusters have a
    label, or an option is out of range.

    >>> found = corrected_mean([1.0, 1.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0], [1, 0, 0, 1, 0, None, None, None])
    >>> round(found.interval.mean, 3), round(found.weight, 3), found.labels
    (0.417, 0.256, 5)
    """
    import numpy as np

    check_options(resamples, level)
    if len(human) != len(judged):
        raise ValueError(f"{len(judged)} judgments but {len(human)} labels; the label of an item without one is None")
    scores, groups = finite(judged), numbered(clusters, len(judged))
    # Only differences of judgments count; around 0 their squares keep their digits.
    scores -= scores.mean()
    known = np.asarray([label is not None for label in human])
    if known.sum() < 3 or len(set(groups[known].tolist())) < 2:
        raise ValueError("at least three items and two clusters need a human label")
    labels = np.zeros(scores.size)
    labels[known] = finite([label for label in human if label is not None])

    parts = (known, labels, known * scores, labels * scores, ~known, ~known * scores, scores**2)
    columns = [np.bincount(groups, weights=part) for part in parts]
    means, weights = _corrected(np.asarray(columns).sum(axis=1, keepdims=True))
    drawn, _ = _corrected(resampled_sums(columns, resamples=resamples, seed=seed))
    low, high = expanded_percentiles(_defined(drawn), draws_of=even_clusters(columns[0]), level=level)
    return CorrectedMean(Interval(float(means[0]), float(low), float(high)), float(weights[0]), int(known.sum()))


def _corrected(sums: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Corrected means and the weights of the judgments, from sums in the order of `parts`, shape (7, draws).

    A draw without a label has no mean: NaN.
    """
    import numpy as np

    known, labels, judged, products, others, others_judged, squares = sums
    total = known + others
    with np.errstate(divide="ignore", invalid="ignore"):
        covariance = products / known - labels / known * judged / known
        spread = squares / total - ((judged + others_judged) / total) ** 2
        # All judgments equal, or no item without a label: there is nothing to choose.
        useful = (spread > 1e-12 * squares / total) & (others > 0)
        weight = np.where(useful, np.clip(covariance / spread / (1 + known / others), 0.0, 1.0), 0.0)
        rest = np.where(others > 0, others_judged / others, 0.0)
        return (labels - weight * judged) / known + weight * rest, weight


def _defined(drawn: NDArray[np.float64]) -> NDArray[np.float64]:
    """The estimates of draws that have one. Raises ValueError if none has."""
    import numpy as np

    drawn = drawn[~np.isnan(drawn)]
    if not drawn.size:
        raise ValueError("no draw has all labels in it: more resamples or more items are needed")
    return drawn


class _Tables:
    """How often each pair of labels was given, one table for each cluster."""

    def __init__(
        self, first: Sequence[Hashable], second: Sequence[Hashable], clusters: Sequence[Hashable] | None
    ) -> None:
        import numpy as np

        if len(first) != len(second):
            raise ValueError(f"{len(first)} labels cannot be paired with {len(second)}")
        if not len(first):
            raise ValueError("no items")
        self.labels = list(dict.fromkeys((*first, *second)))
        kinds = len(self.labels)
        place = {label: number for number, label in enumerate(self.labels)}
        cells = np.asarray([place[one] * kinds + place[other] for one, other in zip(first, second, strict=True)])
        groups = numbered(clusters, len(first))
        size = int(groups.max()) + 1
        counts = np.bincount(groups * kinds**2 + cells, minlength=size * kinds**2)
        self.counts = counts.reshape(size, kinds, kinds)

    def interval(self, measure: Measure, draws_of: float, resamples: int, seed: int, level: float) -> Interval:
        """`measure` of the counts of all clusters, shape (labels, labels, ...), and its interval.

        Draws of which the measure is not defined, as one of its labels is missing, are left out.
        """
        check_options(resamples, level)
        kinds = len(self.labels)
        columns = list(self.counts.reshape(-1, kinds**2).T)
        value = float(measure(self.counts.sum(axis=0)[:, :, None])[0])
        drawn = measure(resampled_sums(columns, resamples=resamples, seed=seed).reshape(kinds, kinds, -1))
        low, high = expanded_percentiles(_defined(drawn), draws_of=draws_of, level=level)
        return Interval(value, float(low), float(high))


def _kappa(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    import numpy as np

    total = counts.sum(axis=(0, 1))
    agreed = np.trace(counts) / total
    by_chance = (counts.sum(axis=1) * counts.sum(axis=0)).sum(axis=0) / total**2
    with np.errstate(invalid="ignore"):
        return (agreed - by_chance) / (1 - by_chance)


def _mean_recall(counts: NDArray[np.float64], classes: list[int]) -> NDArray[np.float64]:
    import numpy as np

    with np.errstate(invalid="ignore"):
        recalls: NDArray[Any] = np.stack([counts[place, place] / counts[place].sum(axis=0) for place in classes])
    return recalls.mean(axis=0)
