"""The course of a run that trains: the packages it takes, how many steps it has time for, what it tells, its card."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from importlib.util import find_spec
from typing import Any

from ragkit.errors import MissingExtra
from ragkit.train.folder import RunFolder

Told = Callable[[str, str], None]
"""Hears what comes out of each step: a word for it, and a line."""
Steps = Callable[[int, int, float], None]
"""Told after each step of the training: how many are done, of how many, and the loss (mostly NaN)."""

PASSES = 4
"""How often training sees each question, unless it has no time for that."""
SAVE_EVERY_S = 60.0
"""Seconds of training between two checkpoints."""
_FEWEST_STEPS = 30


def check_packages(*modules: str, extra: str) -> None:
    """Raise MissingExtra for the first of the modules that is not installed; none is imported."""
    for module in modules:
        if find_spec(module) is None:
            raise MissingExtra(module, extra)


def planned(
    folder: RunFolder,
    wanted: int | None,
    minutes: float,
    passes: float,
    seconds_of_a_step: Callable[[], float],
    told: Told,
) -> dict[str, Any]:
    """The plan of the run in this folder: `steps` and `seconds_a_step`; `done` once it is trained.

    A run that was begun keeps its plan. Else it takes the steps that are `wanted`, or as many as `minutes` allow, but
    at most `passes`, or a few where those are fewer still.
    """
    plan = folder.plan()
    if plan:
        if "done" in plan or folder.checkpoint.is_file():
            told("training", "goes on from its checkpoint")
        return plan
    step_s = seconds_of_a_step()
    most = max(_FEWEST_STEPS, math.ceil(passes))
    steps = wanted or max(1, min(most, int(minutes * 60 / step_s)))
    plan = {"steps": steps, "seconds_a_step": round(step_s, 3)}
    folder.decide(plan)
    return plan


def time_to_train(plan: Mapping[str, Any], device: str) -> str:
    """The forecast of the training alone.

    >>> time_to_train({"steps": 1200, "seconds_a_step": 0.25}, "cpu")
    'about 5 minutes to train (1,200 steps of 0.25 s on cpu)'
    """
    steps, step_s = plan["steps"], plan["seconds_a_step"]
    return f"about {in_time(steps * step_s)} to train ({steps:,} steps of {step_s:.2g} s on {device})"


def in_time(seconds: float) -> str:
    """Rounded for people.

    >>> in_time(8), in_time(95), in_time(1500), in_time(9000)
    ('8 s', '2 minutes', '25 minutes', '2.5 hours')
    """
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"


def trained_in_words(done: Mapping[str, Any]) -> str:
    """What came out of the training.

    >>> trained_in_words({"steps": 40, "seconds": 90, "loss": 0.25})
    '40 steps in 1.5 minutes, loss 0.250'
    """
    return f"{done['steps']} steps in {done['seconds'] / 60:.1f} minutes, loss {done['loss']:.3f}"


def listed(counts: Mapping[str, int]) -> str:
    """
    >>> listed({"questions": 1200, "headings": 3})
    '1,200 questions, 3 headings'
    """
    return ", ".join(f"{count:,} {name}" for name, count in counts.items())


def outcome(helps: bool) -> str:
    """The sentence of a model's card that says whether to use it."""
    return "It helps there." if helps else "No gain was shown there: do not use it."


def card_rows(facts: Mapping[str, Any], own: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The lines of a model's card: how it was trained, `own` ones of its kind, and what it gains."""
    rows: dict[str, Any] = {
        "base": facts.get("base"),
        "trained on": listed(facts.get("trained_on", {})),
        "steps": facts.get("steps"),
        "seconds": f"{facts.get('seconds')} on {facts.get('device')}",
        "seed": facts["settings"]["seed"],
        **(own or {}),
        "measured on": "made questions only" if facts["synthetic_test"] else "labelled questions",
    }
    gains: Iterable[dict[str, Any]] = facts["gains"]
    for each in gains:
        low, high = each["ci95"]
        rows[f"nDCG@10 over {each['over']}"] = (
            f"{each['before']:.3f} to {each['after']:.3f}, {each['difference']:+.3f} ({low:+.3f} to {high:+.3f}),"
            f" {each['questions']} questions about {each['documents']} documents"
        )
    return rows
