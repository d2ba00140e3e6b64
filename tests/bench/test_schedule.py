"""Every round has everybody in another order, and goes on where a run ended."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from eval.bench.schedule import left, order

NAMES = st.lists(st.text(min_size=1, max_size=3), min_size=1, max_size=6, unique=True)


@given(NAMES, st.integers(0, 50))
def test_each_round_has_everybody_once(names: list[str], number: int) -> None:
    assert sorted(order(names, number)) == sorted(names)


@given(NAMES)
def test_over_all_turns_each_contender_runs_as_often_before_another_as_behind_it(names: list[str]) -> None:
    rounds = [order(names, number) for number in range(2 * len(names))]
    for one in names:
        for other in names:
            if one != other:
                assert sum(each.index(one) < each.index(other) for each in rounds) == len(names)


def test_two_contenders_alternate() -> None:
    assert [order(["a", "b"], number)[0] for number in range(4)] == ["a", "b", "b", "a"]


def test_what_is_done_or_given_up_is_left_out() -> None:
    assert list(left(["a", "b"], 2, {("a", 0)}, {"b"})) == [(1, "a")]
    assert list(left(["a", "b"], 1, set())) == [(0, "a"), (0, "b")]


def test_nothing_is_left_after_a_whole_run() -> None:
    todo = list(left(["a", "b", "c"], 5, set()))
    assert list(left(["a", "b", "c"], 5, {(name, number) for number, name in todo})) == []
