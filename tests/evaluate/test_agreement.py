"""Agreement with people, and the corrected mean of a judge, by simulation and by hand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ragkit.evaluate.agreement import CorrectedMean, balanced_accuracy, cohen_kappa, corrected_mean
from ragkit.evaluate.statistics import Interval

RUNS = 1000
PAIRS = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abc")), min_size=2, max_size=40)


def test_kappa_by_hand() -> None:
    # 20 yes-yes, 5 yes-no, 10 no-yes, 15 no-no: 0.70 agree, 0.50 would by chance.
    first = [True] * 25 + [False] * 25
    second = [True] * 20 + [False] * 5 + [True] * 10 + [False] * 15
    kappa = cohen_kappa(first, second)
    assert kappa.mean == pytest.approx(0.4)
    # Its standard error is 0.127 (Fleiss, Cohen and Everitt 1969).
    assert (kappa.low, kappa.high) == pytest.approx((0.4 - 1.96 * 0.127, 0.4 + 1.96 * 0.127), abs=0.03)


def test_kappa_of_three_labels_by_hand() -> None:
    first = ["a"] * 50 + ["b"] * 30 + ["c"] * 20
    second = ["a"] * 40 + ["b"] * 10 + ["b"] * 25 + ["c"] * 5 + ["c"] * 15 + ["a"] * 5
    chance = (50 * 45 + 30 * 35 + 20 * 20) / 100**2
    assert cohen_kappa(first, second).mean == pytest.approx((0.8 - chance) / (1 - chance))


@given(PAIRS)
def test_kappa_does_not_care_who_is_first_or_what_labels_are_called(pairs: list[tuple[str, str]]) -> None:
    first, second = [one for one, _ in pairs], [other for _, other in pairs]
    if len({*first, *second}) < 2:
        return
    found = cohen_kappa(first, second, resamples=100)
    renamed = {"a": 3, "b": 1, "c": 2}
    assert found == cohen_kappa([renamed[one] for one in first], [renamed[one] for one in second], resamples=100)
    turned = cohen_kappa(second, first, resamples=100)
    assert (found.mean, found.low, found.high) == pytest.approx((turned.mean, turned.low, turned.high))
    assert -1.0 <= found.mean <= 1.0
    assert -1.0 - 1e-9 <= found.low <= found.high <= 1.0 + 1e-9


@given(PAIRS)
def test_raters_who_agree_have_a_kappa_of_1(pairs: list[tuple[str, str]]) -> None:
    labels = [one for one, _ in pairs] + ["d"]
    assert cohen_kappa(labels, labels, resamples=20) == Interval(1.0, 1.0, 1.0)


def test_kappa_is_not_defined_for_one_label() -> None:
    with pytest.raises(ValueError, match="not defined"):
        cohen_kappa([1, 1, 1], [1, 1, 1])


def test_balanced_accuracy_is_a_half_for_one_answer_to_everything() -> None:
    truth = [True] * 90 + [False] * 10
    assert balanced_accuracy(truth, [True] * 100) == Interval(0.5, 0.5, 0.5)
    assert balanced_accuracy(truth, truth).mean == 1.0


def test_balanced_accuracy_by_hand() -> None:
    # Right: 9 of 10, 3 of 4, 1 of 2; "d" is no class of the truth and only ever wrong.
    truth = ["a"] * 10 + ["b"] * 4 + ["c"] * 2
    predicted = ["a"] * 9 + ["d"] + ["b"] * 3 + ["a"] + ["c", "a"]
    assert balanced_accuracy(truth, predicted).mean == pytest.approx((0.9 + 0.75 + 0.5) / 3)


@given(PAIRS)
def test_balanced_accuracy_does_not_care_how_often_a_class_occurs(pairs: list[tuple[str, str]]) -> None:
    if len({one for one, _ in pairs}) < 2:
        return
    often = [pair for pair in pairs for _ in range(3 if pair[0] == "a" else 1)]
    found, again = (
        balanced_accuracy([one for one, _ in items], [other for _, other in items], resamples=100).mean
        for items in (pairs, often)
    )
    assert 0.0 <= found <= 1.0
    assert found == pytest.approx(again)


def test_balanced_accuracy_needs_two_classes() -> None:
    with pytest.raises(ValueError, match="two classes"):
        balanced_accuracy([1, 1], [1, 0])


@pytest.mark.parametrize("measure", [cohen_kappa, balanced_accuracy])
def test_labels_must_pair(measure: Callable[..., Interval]) -> None:
    with pytest.raises(ValueError, match="cannot be paired"):
        measure([True, False], [True])


@pytest.mark.integration  # simulates for seconds
@pytest.mark.parametrize("measure", [cohen_kappa, balanced_accuracy])
@pytest.mark.parametrize(("size", "good", "sensitivity", "specificity"), [(100, 0.5, 0.8, 0.7), (200, 0.8, 0.9, 0.7)])
def test_intervals_of_agreement_cover_the_truth_in_93_to_97_of_100_runs(
    measure: Callable[..., Interval], size: int, good: float, sensitivity: float, specificity: float
) -> None:
    said_good = good * sensitivity + (1 - good) * (1 - specificity)
    agreed = good * sensitivity + (1 - good) * specificity
    chance = good * said_good + (1 - good) * (1 - said_good)
    true = (agreed - chance) / (1 - chance) if measure is cohen_kappa else (sensitivity + specificity) / 2
    random = np.random.default_rng(5)
    hits = 0
    for run in range(RUNS):
        truth = random.random(size) < good
        judged = np.where(truth, random.random(size) < sensitivity, random.random(size) >= specificity)
        found = measure(truth.tolist(), judged.tolist(), resamples=500, seed=run)
        hits += found.low <= true <= found.high
    assert 0.93 <= hits / RUNS <= 0.97


def test_answers_to_one_document_widen_the_interval_of_agreement() -> None:
    truth = [True, False] * 60
    judged = [right if number // 6 % 3 else not right for number, right in enumerate(truth)]
    documents = [number // 6 for number in range(120)]
    for measure in (cohen_kappa, balanced_accuracy):
        single, clustered = measure(truth, judged), measure(truth, judged, clusters=documents)
        assert single.mean == clustered.mean
        assert clustered.low < single.low < single.high < clustered.high


def labelled(labels: NDArray[np.float64], count: int) -> list[float | None]:
    """The first `count` labels; nothing of the rest is known."""
    return [float(label) if place < count else None for place, label in enumerate(labels)]


def judge(random: np.random.Generator, size: int, bias: float, noise: float) -> tuple[NDArray[np.float64], list[float]]:
    """Verdicts of people, right in 0.7 of all items, and those of a judge that errs."""
    truth = (random.random(size) < 0.7).astype(float)
    return truth, (truth + bias + random.normal(0, noise, size)).tolist()


@pytest.mark.integration  # simulates for seconds
@pytest.mark.parametrize(
    ("items", "labels", "bias", "noise"),
    [(330, 30, 0.2, 0.3), (450, 50, 0.0, 0.1), (330, 30, -0.3, 2.0), (200, 100, 0.2, 0.3)],
)
def test_the_interval_of_a_judge_that_errs_covers_the_truth_in_93_to_97_of_100_runs(
    items: int, labels: int, bias: float, noise: float
) -> None:
    random = np.random.default_rng(3)
    hits = 0
    for run in range(RUNS):
        truth, judged = judge(random, items, bias, noise)
        found = corrected_mean(judged, labelled(truth, labels), resamples=500, seed=run).interval
        hits += found.low <= 0.7 <= found.high
    assert 0.93 <= hits / RUNS <= 0.97


@pytest.mark.integration  # simulates for seconds
@pytest.mark.parametrize("per_document", [1, 5])
def test_the_interval_of_a_judge_of_shares_covers_the_truth(per_document: int) -> None:
    documents = np.repeat(np.arange(300 // per_document), per_document)
    random = np.random.default_rng(4)
    hits = 0
    for run in range(RUNS):
        ease = random.beta(1.4, 0.6, 300)[documents] if per_document > 1 else 0.7
        truth = (random.random(300) < ease).astype(float)
        judged = np.where(random.random(300) < 0.85, truth, 1 - truth)
        found = corrected_mean(
            judged.tolist(), labelled(truth, 60), clusters=documents.tolist(), resamples=500, seed=run
        ).interval
        hits += found.low <= 0.7 <= found.high
    assert 0.93 <= hits / RUNS <= 0.97


def test_a_good_judge_makes_the_interval_narrower_and_a_bad_one_no_wider() -> None:
    random = np.random.default_rng(5)
    truth, good = judge(random, 2000, 0.2, 0.1)
    human = labelled(truth, 60)

    def width(found: CorrectedMean) -> float:
        return found.interval.high - found.interval.low

    alone = corrected_mean(good[:60], human[:60])
    helped = corrected_mean(good, human)
    hindered = corrected_mean(random.normal(0, 1, 2000).tolist(), human)
    assert alone.weight == 0
    assert alone.interval.mean == pytest.approx(truth[:60].mean())
    assert width(helped) < 0.5 * width(alone)
    assert width(hindered) < 1.1 * width(alone)
    assert hindered.weight < 0.2 < 0.8 < helped.weight <= 1
    assert (helped.labels, hindered.labels) == (60, 60)


def test_the_weight_is_that_of_the_paper() -> None:
    random = np.random.default_rng(6)
    truth, judged = judge(random, 100, 0.1, 0.5)
    found = corrected_mean(judged, labelled(truth, 40))
    # PPI++: covariance over the labelled by the variance over all, times 1 + labelled / others.
    known, others = np.asarray(judged[:40]), np.asarray(judged[40:])
    covariance = float(((truth[:40] - truth[:40].mean()) * (known - known.mean())).mean())
    weight = covariance / (float(np.var(judged)) * (1 + 40 / 60))
    assert found.weight == pytest.approx(weight)
    assert found.interval.mean == pytest.approx(weight * others.mean() + (truth[:40] - weight * known).mean())


def test_the_interval_is_that_of_the_paper_where_labels_are_many() -> None:
    random = np.random.default_rng(8)
    truth, judged = judge(random, 2000, 0.1, 0.3)
    found = corrected_mean(judged, labelled(truth, 1000))
    errors = truth[:1000] - found.weight * np.asarray(judged[:1000])
    spread = np.sqrt(errors.var() / 1000 + found.weight**2 * np.var(judged[1000:]) / 1000)
    assert found.interval.low == pytest.approx(found.interval.mean - 1.96 * spread, abs=0.002)
    assert found.interval.high == pytest.approx(found.interval.mean + 1.96 * spread, abs=0.002)


@given(
    st.lists(st.floats(0, 1), min_size=12, max_size=20),
    st.lists(st.floats(0, 1), min_size=4, max_size=10),
    st.floats(-100, 100),
)
def test_a_shift_of_all_judgments_changes_nothing(judged: list[float], labels: list[float], shift: float) -> None:
    human = [*labels, *[None] * (len(judged) - len(labels))]
    found = corrected_mean(judged, human, resamples=100)
    assert found.interval.low <= found.interval.high
    assert 0 <= found.weight <= 1
    if np.ptp(judged) > 1e-3:
        shifted = corrected_mean([value + shift for value in judged], human, resamples=100)
        assert shifted.interval.mean == pytest.approx(found.interval.mean, abs=1e-6)
        assert shifted.weight == pytest.approx(found.weight, abs=1e-6)


def test_a_judge_that_says_the_same_of_everything_is_left_aside() -> None:
    found = corrected_mean([0.1] * 20, [1.0, 0.0, 1.0, 1.0, *[None] * 16])
    assert (found.weight, found.interval.mean) == (0.0, 0.75)


@pytest.mark.parametrize(
    ("judged", "human", "clusters"),
    [
        ([0.5] * 10, [1.0, 0.0, *[None] * 8], None),
        ([0.5] * 10, [1.0, 0.0, 1.0, *[None] * 7], [0] * 5 + [1] * 5),
        ([0.5] * 3, [1.0, 0.0], None),
        ([float("nan")] * 3, [1.0, 0.0, 1.0], None),
        ([0.5] * 3, [1.0, float("inf"), 1.0], None),
        ([0.5] * 3, [1.0, 0.0, 1.0], [1]),
    ],
)
def test_refuses_what_cannot_be_corrected(
    judged: list[float], human: list[float | None], clusters: list[int] | None
) -> None:
    with pytest.raises(ValueError, match=r"at least|labels|finite|clusters"):
        corrected_mean(judged, human, clusters=clusters)
