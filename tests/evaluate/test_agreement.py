"""Agreement with people, and the corrected mean of a judge, by simulation and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.evaluate.agreement import balanced_accuracy, cohen_kappa, corrected_mean

LABELS = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40)


def test_kappa_by_hand() -> None:
    # 20 yes-yes, 5 yes-no, 10 no-yes, 15 no-no: observed .70, by chance .50 (Cohen's own example).
    first = [True] * 25 + [False] * 25
    second = [True] * 20 + [False] * 5 + [True] * 10 + [False] * 15
    kappa = cohen_kappa(first, second)
    assert kappa.mean == pytest.approx(0.4)
    assert 0.1 < kappa.low < 0.4 < kappa.high < 0.65


def test_raters_who_know_one_label_only_agree_by_chance() -> None:
    assert cohen_kappa([1, 1, 1], [1, 1, 1]).mean == 0.0


@given(LABELS)
def test_kappa_does_not_care_who_is_first_or_what_labels_are_called(pairs: list[tuple[bool, bool]]) -> None:
    first, second = [one for one, _ in pairs], [other for _, other in pairs]
    kappa = cohen_kappa(first, second).mean
    assert kappa == pytest.approx(cohen_kappa(second, first).mean)
    assert kappa == pytest.approx(cohen_kappa([not one for one in first], [not other for other in second]).mean)
    assert -1.0 <= kappa <= 1.0


def test_balanced_accuracy_is_a_half_for_one_answer_to_everything() -> None:
    truth = [True] * 90 + [False] * 10
    assert balanced_accuracy(truth, [True] * 100).mean == 0.5
    assert balanced_accuracy(truth, truth).mean == 1.0


@pytest.mark.parametrize("measure", [cohen_kappa, balanced_accuracy])
def test_labels_must_pair(measure: type) -> None:
    with pytest.raises(ValueError, match="cannot be paired"):
        measure([1, 2], [1])


def judged(random: np.random.Generator, size: int, bias: float, noise: float) -> tuple[list[float], list[float]]:
    truth = (random.random(size) < 0.7).astype(float)
    return truth.tolist(), (truth + bias + random.normal(0, noise, size)).tolist()


@pytest.mark.parametrize(("bias", "noise"), [(0.0, 0.1), (0.2, 0.3), (-0.3, 2.0)])
def test_a_biased_judge_is_corrected_and_its_interval_covers(bias: float, noise: float) -> None:
    random = np.random.default_rng(3)
    hits = 0
    for _ in range(1000):
        truth, scores = judged(random, 500, bias, noise)
        found = corrected_mean(scores[50:], truth[:50], scores[:50])
        hits += found.low <= 0.7 <= found.high
    assert 0.93 <= hits / 1000 <= 0.97


def test_a_good_judge_makes_the_interval_narrower_and_a_bad_one_no_wider() -> None:
    random = np.random.default_rng(5)
    truth, good = judged(random, 2000, 0.2, 0.1)
    bad = random.normal(0, 1, 2000).tolist()
    alone = corrected_mean([], truth[:60], good[:60])
    helped = corrected_mean(good[60:], truth[:60], good[:60])
    hindered = corrected_mean(bad[60:], truth[:60], bad[:60])
    assert helped.high - helped.low < 0.5 * (alone.high - alone.low)
    assert hindered.high - hindered.low < 1.1 * (alone.high - alone.low)


def test_two_labels_are_the_least() -> None:
    with pytest.raises(ValueError, match="at least two"):
        corrected_mean([0.5] * 10, [1.0], [0.9])
