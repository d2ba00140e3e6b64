"""Plots as SVG text: few kinds, axes labelled, colours by the page's style sheet so that they follow light and dark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from textwrap import wrap
from unicodedata import east_asian_width

_WIDTH = 360
"""About the width of a phone, so that text keeps its size there; the style sheet gives a plot no less elsewhere."""
_LINE = 12
"""Pixels of a line of text."""


@dataclass(frozen=True, slots=True)
class Step:
    """A bar of a waterfall: how many questions, whether they are lost here (`lost`) or are a total."""

    label: str
    count: int
    lost: bool


def waterfall(steps: Sequence[Step], title: str) -> str:
    """Bars from top to bottom; what a step loses is missing in the next.

    >>> steps = [Step("all", 4, False), Step("not retrieved", 1, True), Step("right", 3, False)]
    >>> "not retrieved" in waterfall(steps, "where answers are lost")
    True
    """
    most = max((step.count for step in steps), default=1) or 1
    left, row = 160, 26
    scale = (_WIDTH - left - 75) / most
    parts: list[str] = []
    level = 0
    for number, step in enumerate(steps):
        y = number * row + 4
        start = level - step.count if step.lost else 0
        level = start if step.lost else step.count
        x, width = left + start * scale, max(1.0, step.count * scale)
        kind = "lost" if step.lost else "kept"
        share = f"{step.count} ({step.count / most:.0%})"
        parts.append(
            f'<text x="{left - 8}" y="{y + 14}" class="end">{escape(step.label)}</text>'
            f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="18" class="{kind}" rx="2"/>'
            f'<text x="{x + width + 6:.1f}" y="{y + 14}">{share}</text>'
        )
    return _svg(len(steps) * row + 8, "".join(parts), title)


@dataclass(frozen=True, slots=True)
class Whisker:
    """A value with its interval; `demanded` is a bound to draw."""

    label: str
    value: float
    low: float
    high: float
    note: str = ""


_LABEL = 44
"""Signs of a label on one line: what fits the width in capitals; of wide ones, such as Japanese, half as many do."""


def whiskers(rows: Sequence[Whisker], title: str) -> str:
    """Values from 0 to 1, each with its interval as a line, one below the other, under its label.

    >>> whiskers([Whisker("questions about the warranty of older units", 0.5, 0.4, 0.6)], "t").count("of older units")
    1
    """
    left, right = 10, 115
    scale = _WIDTH - left - right
    parts: list[str] = []
    y = 0
    for each in rows:
        is_wide = any(east_asian_width(sign) in "WF" for sign in each.label)
        for line in wrap(each.label, _LABEL // 2 if is_wide else _LABEL) or [""]:
            y += _LINE + 3
            parts.append(f'<text x="{left}" y="{y}">{escape(line)}</text>')
        y += _LINE + 2
        x, low, high = (left + scale * min(1.0, max(0.0, value)) for value in (each.value, each.low, each.high))
        parts.append(
            f'<line x1="{low:.1f}" x2="{high:.1f}" y1="{y}" y2="{y}" class="whisker"/>'
            f'<circle cx="{x:.1f}" cy="{y}" r="5" class="dot"/>'
            f'<text x="{left + scale + 12}" y="{y + 4}">{each.value:.3f} {escape(each.note)}</text>'
        )
        y += 13
    axis = _axis_x(left, scale, y, [0.0, 0.25, 0.5, 0.75, 1.0])
    return _svg(y + 22, axis + "".join(parts), title)


@dataclass(frozen=True, slots=True)
class Point:
    """A point of a curve, with an interval where it has one."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None


def curve(points: Sequence[Point], title: str, x_label: str, y_label: str, *, diagonal: bool = False) -> str:
    """Points from 0 to 1 in both directions, joined; with `diagonal` the line where both are equal."""
    left, top, size = 60, 10, 280
    width = left + size + 20

    def at(x: float, y: float) -> tuple[float, float]:
        return left + size * min(1.0, max(0.0, x)), top + size * (1 - min(1.0, max(0.0, y)))

    parts = [_axis_x(left, size, top + size, [0.0, 0.25, 0.5, 0.75, 1.0], grid=size)]
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        y = top + size * (1 - tick)
        parts.append(f'<text x="{left - 8}" y="{y + 4:.1f}" class="end tick">{tick:g}</text>')
    if diagonal:
        parts.append(f'<line x1="{left}" y1="{top + size}" x2="{left + size}" y2="{top}" class="guide"/>')
    for point in points:
        if point.low is not None and point.high is not None:
            (x, low), (_, high) = at(point.x, point.low), at(point.x, point.high)
            parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{low:.1f}" y2="{high:.1f}" class="whisker thin"/>')
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (at(point.x, point.y) for point in points))
    parts.append(f'<polyline points="{path}" class="curve"/>')
    if len(points) <= 20:
        dots = (at(point.x, point.y) for point in points)
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" class="dot"/>' for x, y in dots]
    parts.append(f'<text x="{left + size / 2}" y="{top + size + 36}" class="middle">{escape(x_label)}</text>')
    parts.append(_turned(y_label, 16, top + size / 2))
    return _svg(top + size + 46, "".join(parts), title, width)


@dataclass(frozen=True, slots=True)
class Dot:
    """A point of a scatter plot; `label` shows when the pointer rests on it, `marked` ones stand out."""

    x: float
    y: float
    label: str
    marked: bool


def scatter(dots: Sequence[Dot], title: str, x_label: str, y_label: str) -> str:
    """Points on axes from the least to the greatest value, a little room around them."""
    left, top, width, height = 70, 10, _WIDTH - 90, 260
    xs, ys = [dot.x for dot in dots] or [0.0], [dot.y for dot in dots] or [0.0]
    room_x, room_y = (max(values) - min(values) or abs(max(values)) or 1.0 for values in (xs, ys))
    low_x, low_y = min(xs) - room_x * 0.08, min(ys) - room_y * 0.08
    parts: list[str] = []
    for share in (0.0, 0.5, 1.0):
        x, y = left + width * share, top + height * (1 - share)
        parts.append(f'<line x1="{x}" x2="{x}" y1="{top}" y2="{top + height}" class="grid"/>')
        parts.append(f'<line x1="{left}" x2="{left + width}" y1="{y}" y2="{y}" class="grid"/>')
        across, up = low_x + share * room_x * 1.16, low_y + share * room_y * 1.16
        parts.append(f'<text x="{x}" y="{top + height + 16}" class="middle tick">{across:.4g}</text>')
        parts.append(f'<text x="{left - 6}" y="{y + 4}" class="end tick">{up:.4g}</text>')
    for dot in dots:
        x = left + width * (dot.x - low_x) / (room_x * 1.16)
        y = top + height * (1 - (dot.y - low_y) / (room_y * 1.16))
        kind = "dot" if dot.marked else "dot plain"
        label = f"<title>{escape(dot.label)}</title>"
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" class="{kind}">{label}</circle>')
    parts.append(f'<text x="{left + width / 2}" y="{top + height + 36}" class="middle">{escape(x_label)}</text>')
    parts.append(_turned(y_label, 12, top + height / 2))
    return _svg(top + height + 46, "".join(parts), title)


def histogram(values: Sequence[float], title: str, x_label: str, bins: int = 24) -> str:
    """How many questions fall into ranges of one width; the longest hundredth is drawn at the right end."""
    left, height = 60, 180
    width = _WIDTH - left - 20
    ordered = sorted(values)
    top = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))] if ordered else 1.0
    top = top or 1.0
    counts = [0] * bins
    for value in ordered:
        counts[min(bins - 1, int(value / top * bins))] += 1
    most = max(counts, default=1) or 1
    bar = width / bins
    parts: list[str] = []
    for number, count in enumerate(counts):
        tall = count / most * (height - 20)
        place = f'x="{left + number * bar + 1:.1f}" y="{height - tall:.1f}" width="{bar - 2:.1f}" height="{tall:.1f}"'
        parts.append(f'<rect {place} class="kept"/>')
    for number in range(5):
        x = left + width * number / 4
        parts.append(f'<text x="{x:.1f}" y="{height + 16}" class="middle tick">{top * number / 4:,.0f}</text>')
    for count, y in ((most, 24), (0, height)):
        parts.append(f'<text x="{left - 6}" y="{y}" class="end tick">{count}</text>')
    parts.append(_turned("questions", 16, height / 2))
    parts.append(f'<text x="{left + width / 2}" y="{height + 36}" class="middle">{escape(x_label)}</text>')
    return _svg(height + 46, "".join(parts), title)


def _turned(label: str, x: float, y: float) -> str:
    """The label of an upright axis."""
    return f'<text x="{x}" y="{y}" class="middle" transform="rotate(-90 {x} {y})">{escape(label)}</text>'


def _axis_x(left: float, scale: float, y: float, ticks: Sequence[float], grid: float = 0.0) -> str:
    parts: list[str] = []
    for tick in ticks:
        x = left + scale * tick
        up = y - (grid or y - 4)
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{up:.1f}" y2="{y:.1f}" class="grid"/>')
        parts.append(f'<text x="{x:.1f}" y="{y + _LINE + 4:.1f}" class="middle tick">{tick:g}</text>')
    return "".join(parts)


def _svg(height: float, content: str, title: str, width: float = _WIDTH) -> str:
    name = escape(title)
    return (
        f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{name}"'
        f' style="max-width:{width:g}px"><title>{name}</title>{content}</svg>'
    )
