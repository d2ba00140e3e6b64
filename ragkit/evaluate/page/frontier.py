"""The trials of a sweep as one page: quality against time and cost, with those that nothing else beats in all three."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from ragkit.evaluate.page.plots import Dot, scatter
from ragkit.evaluate.page.report import document
from ragkit.evaluate.sweep import Sweep, Trial


def frontier(sweep: Sweep) -> str:
    """The page. Time is the median of retrieval outside the embedding model, in milliseconds.

    Cost is that of the models of retrieval for a thousand questions, in dollars; its plot is left out where all cost
    the same."""
    trials = [sweep.base, *sweep.trials]
    best = unbeaten(trials)
    dots = [Dot(trial.milliseconds, trial.mean, trial.name, trial in best) for trial in trials]
    plot = scatter(dots, f"{sweep.metric} against milliseconds", "milliseconds a question", sweep.metric)
    priced = [trial for trial in trials if trial.usd_per_1000 is not None]
    if len({trial.usd_per_1000 for trial in priced}) > 1:
        dots = [Dot(trial.usd_per_1000 or 0.0, trial.mean, trial.name, trial in best) for trial in priced]
        plot += scatter(dots, f"{sweep.metric} against cost", "dollars for 1,000 questions", sweep.metric)
    rows = "".join(
        f'<tr><td>{escape(trial.name)}</td><td class="n">{trial.mean:.4f}</td>'
        f'<td class="n">{trial.milliseconds:.1f}</td><td class="n">{dollars(trial)}</td>'
        f"<td>{'unbeaten' if trial in best else ''}</td></tr>"
        for trial in sorted(trials, key=lambda trial: -trial.mean)
    )
    head = (
        f'<tr><th>settings</th><th class="n">{escape(sweep.metric)}</th><th class="n">ms</th>'
        '<th class="n">$ for 1,000</th><th></th></tr>'
    )
    if sweep.gain is None:
        said = "Nothing was better on the tuning part than the config as it is."
    else:
        said = (
            f"Winner: {sweep.winner.name}. On {sweep.test_questions} test questions {sweep.winner_test:.4f} against"
            f" {sweep.base_test:.4f}: gain {sweep.gain.mean:+.4f} ({sweep.gain.low:+.4f} to {sweep.gain.high:+.4f})."
        )
    body = (
        f"<h1>{len(sweep.trials)} trials on {sweep.tuning_questions} tuning questions</h1><p>{escape(said)}</p>{plot}"
        f'<div class="scroll"><table>{head}{rows}</table></div>'
    )
    return document(f"sweep: {sweep.metric}", body)


def dollars(trial: Trial) -> str:
    """What a thousand questions cost, in words."""
    return "not known" if trial.usd_per_1000 is None else f"{trial.usd_per_1000:.4f}"


def unbeaten(trials: Sequence[Trial]) -> list[Trial]:
    """Trials for which no other is at least as good, as quick and as cheap, and better in one of these (Pareto).

    What has no known cost counts as dearer than all else.
    """
    return [trial for trial in trials if not any(_beats(other, trial) for other in trials)]


def _beats(one: Trial, other: Trial) -> bool:
    first, second = _prices(one), _prices(other)
    return first != second and all(mine <= its for mine, its in zip(first, second, strict=True))


def _prices(trial: Trial) -> tuple[float, float, float]:
    return -trial.mean, trial.milliseconds, math.inf if trial.usd_per_1000 is None else trial.usd_per_1000
