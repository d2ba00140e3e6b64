"""Put the page together: verdicts, remarks, where answers are lost, segments, refusals, time, and the worst questions.

Texts of documents, questions and answers are data: all of it is escaped, and the page's policy allows no script.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from html import escape
from importlib import resources

from ragkit.evaluate.ordering import worst_first
from ragkit.evaluate.page.plots import Point, Step, Whisker, curve, histogram, waterfall, whiskers
from ragkit.evaluate.record import Outcome, PassageRow, Record
from ragkit.evaluate.remarks import (
    SYNTHETIC,
    asked_part,
    judged_metrics,
    marked,
    measured_in_words,
    remarks,
    synthetic_share,
)
from ragkit.evaluate.runs import Run
from ragkit.evaluate.statistics import share_interval
from ragkit.evaluate.summary import LOSSES, Summary

_WORST = 50
_PASSAGES = 4
_BINS = 8
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_CLASS = {"pass": "pass", "fail": "fail", "not shown": "shown"}
_ENDS: frozenset[Outcome] = frozenset({"right", "refused rightly", "answered without evidence", "not judged"})


def page(run: Run, records: Sequence[Record], summary: Summary, metrics: Sequence[str]) -> str:
    """The whole report as HTML. The same records give the same bytes."""
    body = "\n".join(
        (
            _head(run, summary),
            _remarks(remarks(run, summary, metrics)),
            _gates(summary),
            _cards("Figures with 95% intervals", summary, metrics),
            _cards("What judges scored, with 95% intervals", summary, judged_metrics(summary)),
            _losses(records),
            _segments(summary, metrics),
            _refusing(records),
            _time(records, summary),
            _worst(records),
            _foot(run),
        )
    )
    return document(f"{run.suite}: run {run.id}", body)


def document(title: str, body: str) -> str:
    """A page that is complete in itself: style inside, no script, nothing loaded."""
    style = resources.files("ragkit.evaluate.page").joinpath("style.css").read_text(encoding="utf-8")
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def _head(run: Run, summary: Summary) -> str:
    verdicts = [result.verdict for result in summary.gates]
    if not verdicts:
        said = "no gates are set"
    else:
        said = ", ".join(
            f'<span class="{_CLASS[kind]}">{verdicts.count(kind)} {kind}</span>' for kind in _CLASS if kind in verdicts
        )
    asked = f"{summary.questions} questions"
    if part := asked_part(run):
        asked += f" ({escape(part)})"
    if summary.failed:
        asked += f", {summary.failed} failed to run"
    share = synthetic_share(summary.synthetic, summary.questions)
    mark = f', <span class="shown">{share} {SYNTHETIC}</span>' if share else ""
    return f"<h1>{escape(run.suite)}: {said}{mark}</h1><p>{asked}; run {escape(run.id)}, begun {escape(run.began)}.</p>"


def _remarks(said: Sequence[str]) -> str:
    lines = "".join(f"<li>{escape(line)}</li>" for line in said)
    return f'<ul class="remarks">{lines}</ul>' if lines else ""


def _gates(summary: Summary) -> str:
    if not summary.gates:
        return ""
    rows: list[str] = []
    for result in summary.gates:
        gate = result.gate
        # Three columns, so that the verdict is in sight on a phone.
        rows.append(
            f"<tr><td>{escape(gate.metric)} {escape(gate.segment)}<div class='faint'>{gate.demanded}</div></td>"
            f'<td>{measured_in_words(result)}</td><td class="{_CLASS[result.verdict]}">{result.verdict}</td></tr>'
        )
    head = "<tr><th>gate</th><th>measured (95% interval)</th><th>verdict</th></tr>"
    return f'<div class="scroll"><table>{head}{"".join(rows)}</table></div>'


def _cards(title: str, summary: Summary, metrics: Sequence[str]) -> str:
    """A card for each metric that some question has; nothing without one."""
    cards = [
        f'<div class="card"><span>{escape(name)}</span><b>{figure.mean:.3f}</b>'
        f"<span>{figure.interval}, {figure.questions} questions in {figure.clusters} documents</span></div>"
        for name in metrics
        if (figure := summary.figures.get(name)) is not None
    ]
    return f'<section><h2>{title}</h2><div class="cards">{"".join(cards)}</div></section>' if cards else ""


def _losses(records: Sequence[Record]) -> str:
    answerable = [record for record in records if record.case.answerable]
    counts = {kind: sum(record.outcome == kind for record in answerable) for kind in LOSSES}
    steps = [Step("answerable questions", len(answerable), False)]
    steps += [Step(kind, count, True) for kind, count in counts.items() if count and kind not in _ENDS]
    if counts["not judged"]:
        steps.append(Step("not judged", counts["not judged"], True))
    steps.append(Step("right", counts["right"], False))
    plot = waterfall(steps, "Where answers are lost, from parsing to citing")
    return f"<section><h2>Where answers are lost</h2>{plot}</section>"


def _segments(summary: Summary, metrics: Sequence[str]) -> str:
    shown = [name for name in metrics if any(name in figures for figures in summary.segments.values())]
    figures = "".join(
        f"<figure><figcaption>{escape(name)}</figcaption>{whiskers(rows, f'{name} by segment')}</figure>"
        for name in shown
        if (rows := _by_segment(summary, name))
    )
    return f'<section><h2>Segments</h2><div class="plots">{figures}</div></section>' if figures else ""


def _by_segment(summary: Summary, metric: str) -> list[Whisker]:
    return [
        Whisker(segment, figure.mean, figure.low, figure.high, f"(n={figure.questions})")
        for segment, figures in summary.segments.items()
        if (figure := figures.get(metric)) is not None and 0 <= figure.mean <= 1
    ]


def _refusing(records: Sequence[Record]) -> str:
    judged = [record for record in records if record.confidence is not None and record.outcome != "not judged"]
    if not judged:
        return ""
    placed = [record for record in judged if _is_placed(record)]
    calibration = curve(
        calibration_points(placed),
        "Calibration of the confidence",
        "confidence",
        "share with the answer",
        diagonal=True,
    )
    risk = curve(risk_coverage(judged), "Risk against coverage", "share of questions answered", "share of them wrong")
    without = len(judged) - len(placed)
    counted = f"{len(placed)} questions" + (f"; {without} without a labelled place left out" if without else "")
    return (
        '<section><h2>Does it know when it does not?</h2><div class="plots">'
        "<figure><figcaption>Calibration: of questions with this confidence, how many have the answer among the results"
        f" ({counted})</figcaption>{calibration}</figure>"
        f"<figure><figcaption>Risk and coverage: answering only the surest questions</figcaption>{risk}</figure>"
        "</div></section>"
    )


def _is_placed(record: Record) -> bool:
    """Whether labels say where the answer stands, or that it stands nowhere."""
    return bool(record.places) or not record.case.answerable


def calibration_points(records: Sequence[Record]) -> list[Point]:
    """In bins of the confidence: its mean, and the share (with its interval) of questions whose labelled place was
    among the results. Unanswerable questions have none there; answerable ones without a labelled place, of which
    nobody knows, are left out, and so are bins without questions."""
    bins: dict[int, list[Record]] = {}
    for record in filter(_is_placed, records):
        bins.setdefault(min(_BINS - 1, int((record.confidence or 0.0) * _BINS)), []).append(record)
    points: list[Point] = []
    for _, found in sorted(bins.items()):
        hits = sum(any(place.reached in ("results", "prompt") for place in record.places) for record in found)
        share = share_interval(hits, len(found))
        mean = sum(record.confidence or 0.0 for record in found) / len(found)
        points.append(Point(mean, share.mean, share.low, share.high))
    return points


def risk_coverage(records: Sequence[Record]) -> list[Point]:
    """For each number of most confident answers: the share of all questions that they are, and the share of them that
    is wrong (El-Yaniv and Wiener 2010). Refusals are never among them."""
    answered = [record for record in records if not record.refused and record.error is None]
    points: list[Point] = []
    wrong = 0
    for count, record in enumerate(sorted(answered, key=lambda record: -(record.confidence or 0.0)), start=1):
        wrong += record.outcome not in ("right", "right but wrongly cited")
        points.append(Point(count / len(records), wrong / count))
    return points


def _time(records: Sequence[Record], summary: Summary) -> str:
    totals = [record.timings_ms["total"] for record in records if "total" in record.timings_ms]
    rows = "".join(
        f'<tr><td>{escape(stage)}</td><td class="n">{each.p50:,.1f}</td><td class="n">{each.p95:,.1f}</td>'
        f'<td class="n">{each.p99:,.1f}</td></tr>'
        for stage, each in summary.latency.items()
    )
    head = '<tr><th>stage</th><th class="n">p50 ms</th><th class="n">p95 ms</th><th class="n">p99 ms</th></tr>'
    if summary.unpriced:
        cost = f"{summary.unpriced} answers have no known price."
    else:
        cost = f"All answers together cost ${summary.cost_usd or 0.0:.4f}."
    plot = histogram(totals, "Milliseconds a question", "milliseconds a question") if totals else ""
    table = f'<div class="scroll"><table>{head}{rows}</table></div>'
    return f"<section><h2>Time and cost</h2>{plot}{table}<p>{cost}</p></section>"


def _worst(records: Sequence[Record]) -> str:
    lost = worst_first(records)[:_WORST]
    if not lost:
        return "<section><h2>Questions that went wrong</h2><p>None.</p></section>"
    return f"<section><h2>Questions that went wrong ({len(lost)})</h2>{''.join(map(_question, lost))}</section>"


def _question(record: Record) -> str:
    case = record.case
    labelled = " | ".join(case.answers) or ("nothing: it is not answerable" if not case.answerable else "-")
    places = "".join(
        f"<li>{escape(place.document)}{_pages(place.pages)}: came to {place.reached}; "
        f"{escape(', '.join(f'{stage} {rank}' for stage, rank in place.ranks.items()) or 'ranked nowhere')}</li>"
        for place in record.places
    )
    cited = "".join(
        f"<li>{escape(c.document)}{_pages((c.page,) if c.page else ())}, support {c.support:.2f}"
        f"{'' if c.resolves else ', does not resolve'}</li>"
        for c in record.citations
    )
    passages = "".join(map(_passage, record.passages[:_PASSAGES]))
    return (
        f"<details><summary>{escape(case.question)}"
        f"<span class='faint'>{escape(case.id)}: {escape(marked(record))}</span></summary>"
        f"<div class='side'><div><h3>Labelled</h3><p>{escape(labelled)}</p><ul>{places}</ul>"
        f"<h3>Answered</h3><blockquote>{escape(record.error or record.text)}</blockquote><ul>{cited}</ul></div>"
        f"<div><h3>Retrieved</h3>{passages or '<p>nothing</p>'}</div></div></details>"
    )


def _passage(passage: PassageRow) -> str:
    kind = ' class="labelled"' if passage.labelled else ""
    ranks = ", ".join(f"{stage} {rank}" for stage, rank in passage.ranks.items())
    where = f"{escape(passage.document)}{_pages((passage.page,) if passage.page else ())}"
    note = "in the prompt" if passage.in_prompt else "not in the prompt"
    mark = ", labelled" if passage.labelled else ""
    return f"<blockquote{kind}>{escape(passage.text)}</blockquote><p class='faint'>{where}; {ranks}; {note}{mark}</p>"


def _pages(pages: Sequence[int]) -> str:
    return f", page {', '.join(map(str, pages))}" if pages else ""


def _foot(run: Run) -> str:
    return f"<footer><h2>What was measured</h2><ul class='faint'>{''.join(_facts(run))}</ul></footer>"


def _facts(run: Run) -> Iterator[str]:
    hashes = {"config": run.config_hash, "questions": run.data_hash, "documents": run.index_hash, "seed": str(run.seed)}
    for name, value in {**hashes, **run.details.get("versions", {})}.items():
        yield f"<li>{escape(name)} {escape(str(value))}</li>"
    config = json.dumps(run.details.get("config", {}), indent=1, ensure_ascii=False)
    yield f"<li><details><summary>the config</summary><blockquote>{escape(config)}</blockquote></details></li>"
