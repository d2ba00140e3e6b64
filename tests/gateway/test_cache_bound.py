"""Trust in an entry, by the labels of its hits; and the bound on all of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.gateway.cache_bound import Label, probability_right, share_bound, stopped, trusted

LEAST = 0.7
similarities = st.floats(LEAST, 1.0)
labels = st.lists(st.tuples(similarities, st.booleans()), max_size=12)
bounds = st.sampled_from([0.001, 0.01, 0.02, 0.05, 0.2])


@given(st.floats(0, 1), st.floats(0, 1), bounds)
def test_without_labels_the_threshold_is_that_of_the_config(similarity: float, least: float, bound: float) -> None:
    assert trusted(similarity, [], least, bound) is (similarity >= least)


@pytest.mark.parametrize("bound", [0.001, 0.01, 0.05, 0.2])
@pytest.mark.parametrize("least", [0.0, 0.7, 0.95])
def test_the_prior_is_right_at_the_threshold_as_often_as_the_bound_asks(least: float, bound: float) -> None:
    assert probability_right(least, [], least, bound) == pytest.approx(1 - bound, abs=1e-6)


@given(labels, similarities, similarities, bounds)
def test_a_right_hit_never_takes_trust_and_a_wrong_one_never_gives_any(
    known: list[Label], at: float, similarity: float, bound: float
) -> None:
    before = probability_right(similarity, known, LEAST, bound)
    assert probability_right(similarity, [*known, (at, True)], LEAST, bound) >= before - 1e-9
    assert probability_right(similarity, [*known, (at, False)], LEAST, bound) <= before + 1e-9


@given(labels, similarities, similarities, bounds)
def test_a_nearer_question_is_trusted_no_less(known: list[Label], one: float, other: float, bound: float) -> None:
    near, far = max(one, other), min(one, other)
    assert probability_right(near, known, LEAST, bound) >= probability_right(far, known, LEAST, bound) - 1e-9


@given(labels, similarities, bounds)
def test_the_order_of_labels_does_not_matter(known: list[Label], similarity: float, bound: float) -> None:
    there = probability_right(similarity, known, LEAST, bound)
    assert probability_right(similarity, known[::-1], LEAST, bound) == pytest.approx(there, abs=1e-9)


@given(similarities, similarities, bounds)
def test_an_entry_that_was_wrong_once_is_not_trusted_that_far_again(wrong: float, asked: float, bound: float) -> None:
    assert not trusted(min(wrong, asked), [(wrong, False)], LEAST, bound)


def test_right_hits_win_trust_back() -> None:
    known: list[Label] = [(0.9, False)]
    assert not trusted(0.99, known, LEAST, 0.01)
    assert trusted(0.99, [*known, *[(0.95, True)] * 20], LEAST, 0.01)
    assert not trusted(0.9, [*known, *[(0.95, True)] * 20], LEAST, 0.01)


@given(st.integers(0, 400), st.integers(1, 2000), bounds)
def test_hits_stop_only_after_a_wrong_one_and_while_the_bound_is_over_the_users(
    wrong: int, right: int, bound: float
) -> None:
    told = stopped(wrong, wrong + right, bound)
    assert told is (wrong > 0 and share_bound(wrong, wrong + right) > bound)
    if told:
        assert stopped(wrong + 1, wrong + 1 + right, bound), "one more wrong hit opens nothing"


def test_how_many_hits_without_a_further_wrong_one_open_again() -> None:
    # P(at most 1 of n) = (1 - p)^n + n p (1 - p)^(n - 1) falls to 5% at n = 473 for p = 1%.
    assert stopped(1, 472, 0.01)
    assert not stopped(1, 473, 0.01)
