"""The page of a sweep: which trials nothing beats, and cost beside time."""

from __future__ import annotations

from ragkit.evaluate.page.frontier import frontier, unbeaten
from ragkit.evaluate.sweep import Sweep, Trial


def trial(name: str, mean: float, milliseconds: float, usd: float | None = 0.0) -> Trial:
    return Trial({name: 1}, mean, {"q": mean}, milliseconds, usd)


def page(base: Trial, *trials: Trial) -> str:
    return frontier(Sweep("m", base, trials, trials[0], 0.5, 0.5, None, 1.0, 1, 1))


def test_what_is_worse_in_one_and_better_in_another_is_not_beaten() -> None:
    quick, good, cheap = trial("quick", 0.5, 1, 0.2), trial("good", 0.9, 9, 0.2), trial("cheap", 0.5, 2, 0.1)
    beaten = trial("beaten", 0.5, 2, 0.2)
    unknown = trial("unknown", 0.9, 9, None)
    assert unbeaten([quick, good, cheap, beaten, unknown]) == [quick, good, cheap]


def test_equals_do_not_beat_one_another() -> None:
    one, other = trial("one", 0.5, 1), trial("other", 0.5, 1)
    assert unbeaten([one, other]) == [one, other]


def test_cost_has_a_plot_where_it_differs() -> None:
    free, paid, unknown = trial("free", 0.5, 1), trial("paid", 0.6, 1, 0.25), trial("unknown", 0.6, 1, None)
    assert "m against cost" in page(free, paid)
    assert "m against cost" not in page(free, trial("free too", 0.6, 2))
    assert "not known" in page(free, unknown)
