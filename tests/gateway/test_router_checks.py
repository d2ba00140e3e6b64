"""What is refused before a fit asks anybody, and what after it is not installed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from ragkit import Config
from ragkit.cli.router import why_not
from ragkit.config.routing import Score
from ragkit.errors import RagkitError
from ragkit.evaluate.cases import Case, Evidence
from ragkit.evaluate.suite import LoadedSuite, Suite
from ragkit.gateway.router_checks import check
from ragkit.gateway.router_fit import Fit, Step

NAMES = ("small", "large")
PRICES = {name: {"input": 1.0, "output": 2.0} for name in NAMES}
ENDPOINTS = [{"name": name, "model": name, "base_url": "http://127.0.0.1:9/v1"} for name in NAMES]


def loaded(documents: int = 12, *, answers: tuple[str, ...] = ("10",), tuning: bool = True) -> LoadedSuite:
    cases = tuple(
        Case(id=f"q{number}", question="How hot?", answers=answers, evidence=(Evidence(document=f"{number}.md"),))
        for number in range(documents)
    )
    suite = Suite.model_validate({"name": "s", "data": [{"path": "q.jsonl"}]})
    return LoadedSuite(suite, Path("s.yaml"), cases, (), frozenset(case.id for case in cases if tuning))


def config(*, endpoints: Sequence[object] = ENDPOINTS, prices: object = PRICES, **routing: object) -> Config:
    return Config.model_validate(
        {
            "generation": {"backend": "openai", "model": "none"},
            "routing": {"endpoints": endpoints, **routing},
            "costs": {"prices": prices},
        }
    )


@pytest.mark.parametrize(
    ("suite", "settings", "said"),
    [
        (loaded(), config(endpoints=ENDPOINTS[:1]), "fewer than two"),
        (loaded(), config(prices={"small": PRICES["small"]}), "what large costs is not known"),
        (loaded(), config(endpoints=[ENDPOINTS[0], {"name": "d", "backend": "extractive"}]), "d, .* costs nothing"),
        (loaded(), config(paid_attempts=1), "routing.paid_attempts is 1"),
        (loaded(), config(attempts=1), "routing.attempts is 1"),
        (loaded(answers=()), config(), "no question of s.yaml that may be tuned on has labelled answers"),
        (loaded(tuning=False), config(), "no question of s.yaml that may be tuned on has labelled answers"),
        (loaded(9), config(), "about 9 documents"),
    ],
)
def test_what_cannot_come_to_anything_is_refused(suite: LoadedSuite, settings: Config, said: str) -> None:
    with pytest.raises(RagkitError, match=said):
        check(suite, settings)


def test_what_can_is_not() -> None:
    check(loaded(), config())
    check(loaded(), config(endpoints=[{"name": "cheap", "backend": "extractive"}, *ENDPOINTS], paid_attempts=3))


def found(
    step: Step, *, threshold: float | None = 0.9, costs: tuple[float, ...] = (1e3, 1e6), documents: int = 50
) -> Fit:
    return Fit((Score(),), threshold, (step,), 2 * documents, documents, costs)


def test_a_cascade_that_saves_something_within_the_bound_is_installed() -> None:
    assert why_not(found(Step(0.9, 0.0, 0.009, 0.4)), NAMES, 1.0) == ""


def test_one_that_saves_nothing_is_not() -> None:
    assert "costs 100% of large" in why_not(found(Step(0.9, 0.0, 0.009, 1.0)), NAMES, 1.0)
    assert "large costs nothing" in why_not(found(Step(0.9, 0.0, 0.009, 1.0), costs=(0.0, 0.0)), NAMES, 1.0)


def test_a_cheap_endpoint_that_is_dearer_than_the_last_is_named() -> None:
    said = why_not(found(Step(0.9, 0.0, 0.009, 0.4), costs=(2e6, 1e6)), NAMES, 1.0)
    assert said.startswith("1,000 answers of small cost $2.000 and those of large, the last endpoint, $1.000;")


def test_what_is_not_shown_is_told_by_the_safest_threshold_and_by_documents() -> None:
    wide, narrow = Step(0.9, -0.004, 0.06, 0.4), Step(0.9, 0.02, 0.03, 0.4)
    said = why_not(found(wide, threshold=None), NAMES, 1.0)
    assert "0.900, lost -0.4 on 50 documents, which shows 6.0; 1 takes about 300 documents" in said
    assert "a cheap endpoint that is right more often" in why_not(
        found(narrow, threshold=None, documents=400), NAMES, 1.0
    )
    none = Fit((Score(),), None, (), 100, 50, (1.0, 2.0))
    assert "only refused" in why_not(none, NAMES, 1.0)
