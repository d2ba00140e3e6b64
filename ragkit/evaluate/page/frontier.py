"""The trials of a sweep as one page: quality against time, with those that nothing else beats in both."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from ragkit.evaluate.page.plots import Dot, scatter
from ragkit.evaluate.page.report import document
from ragkit.evaluate.sweep import Sweep, Trial


def frontier(sweep: Sweep) -> str:
    """The page. Time is the median of retrieval outside the embedding model, in milliseconds."""
    trials = [sweep.base, *sweep.trials]
    best = unbeaten(trials)
    dots = [Dot(trial.milliseconds, trial.mean, trial.name, trial in best) for trial in trials]
    plot = scatter(dots, f"{sweep.metric} against milliseconds", "milliseconds a question", sweep.metric)
    rows = "".join(
        f'<tr><td>{escape(trial.name)}</td><td class="n">{trial.mean:.4f}</td>'
        f'<td class="n">{trial.milliseconds:.1f}</td><td>{"unbeaten" if trial in best else ""}</td></tr>'
        for trial in sorted(trials, key=lambda trial: -trial.mean)
    )
    head = f'<tr><th>settings</th><th class="n">{escape(sweep.metric)}</th><th class="n">ms</th><th></th></tr>'
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


def unbeaten(trials: Sequence[Trial]) -> list[Trial]:
    """Trials for which no other is at least as good and as quick, and better in one of the two (Pareto)."""
    return [
        trial
        for trial in trials
        if not any(
            other.mean >= trial.mean
            and other.milliseconds <= trial.milliseconds
            and (other.mean > trial.mean or other.milliseconds < trial.milliseconds)
            for other in trials
        )
    ]
