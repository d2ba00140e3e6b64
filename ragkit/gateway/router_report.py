"""A fitted cascade beside what it must beat, as figures and as a page with the curve of accuracy against cost."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from ragkit.embed import Embedder
from ragkit.evaluate.page.plots import Dot, scatter
from ragkit.evaluate.page.report import document
from ragkit.gateway.router_fit import Fit, chances_of
from ragkit.gateway.router_log import Logged
from ragkit.gateway.router_replay import Compared, Route, always, by_neighbours, compare, mixed, replay

CASCADE = "cascade"
SAME_SPEND = (
    "* at the cascade's spend: the best mix of two endpoints by chance; by how right each was on near questions"
)


def rivals(
    names: Sequence[str],
    embedder: Embedder,
    found: Fit,
    seen: Sequence[Logged],
    logged: Sequence[Logged],
    seed: int = 0,
) -> list[Compared]:
    """The cascade on questions that it was not fitted to, and beside it each endpoint alone, the best mix by chance at
    the same spend, and a router by the nearest questions, which learned from those that the cascade was fitted to.
    `names` are those of the endpoints."""
    threshold = 1.1 if found.threshold is None else found.threshold
    cascade = replay(logged, chances_of(found.scores, logged), threshold)
    spend = float(cascade.nano_usd.mean())
    seen_vectors = embedder.embed_questions([row.question for row in seen])
    vectors = embedder.embed_questions([row.question for row in logged])
    routes: dict[str, Route] = {f"always {name}": always(logged, place) for place, name in enumerate(names)}
    routes["at random*"] = mixed(logged, spend)
    routes["by neighbours*"] = by_neighbours(seen, seen_vectors, logged, vectors, spend)
    return compare(logged, {CASCADE: cascade, **routes}, seed)


def page(found: Fit, compared: Sequence[Compared], names: Sequence[str], questions: int) -> str:
    """The page: every threshold on the questions it was chosen on, and the rivals on those it was not fitted to."""
    dots = [
        Dot(step.cost_share, -100 * step.lost, f"threshold {step.threshold:.3f}", step.threshold == found.threshold)
        for step in found.steps
    ]
    plot = scatter(
        dots, "what each threshold loses and costs", f"cost, as a share of {names[-1]} alone", "points of accuracy"
    )
    rows = "".join(
        f'<tr><td>{escape(each.name)}</td><td class="n">{each.right.mean:.3f} ({each.right.low:.3f} to'
        f' {each.right.high:.3f})</td><td class="n">{100 * each.change.mean:+.1f} ({100 * each.change.low:+.1f} to'
        f' {100 * each.change.high:+.1f})</td><td class="n">{each.usd_per_1000:.3f}</td>'
        f'<td class="n">{each.saved:.0%}</td></tr>'
        for each in compared
    )
    if compared:
        apart = [Dot(each.usd_per_1000, each.right.mean, each.name, each.name == CASCADE) for each in compared]
        plot += scatter(apart, f"{questions} test questions", "dollars for 1,000 questions", "right")
    said = (
        f"Threshold {found.threshold:.3f}."
        if found.threshold is not None
        else "No threshold is shown to hold the bound: every question goes to the last endpoint."
    )
    head = (
        '<tr><th></th><th class="n">right (95%)</th><th class="n">points against the last endpoint (95%)</th>'
        '<th class="n">$ for 1,000</th><th class="n">saved</th></tr>'
    )
    table = f'<div class="scroll"><table>{head}{rows}</table></div><p>{SAME_SPEND}</p>' if compared else ""
    title = f"a cascade of {len(names)} endpoints, fitted to {found.questions} questions"
    return document("cascade", f"<h1>{escape(title)}</h1><p>{escape(said)}</p>{plot}{table}")
