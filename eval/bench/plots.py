"""Plots as SVG files of their own: bars with their spread, and curves over sizes. No script, no font, no style
sheet."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from eval.bench.summary import Spread

_WIDTH, _LABEL, _VALUE, _ROW = 720, 210, 150, 24
_OURS, _THEIRS, _FLOOR, _INK, _FAINT = "#1f6feb", "#8b949e", "#c9d1d9", "#24292f", "#6e7781"
_COLOURS = ("#1f6feb", "#d1242f", "#1a7f37", "#9a6700", "#8250df", "#0a7f8f", "#bf3989", "#57606a", "#bc4c00")
_DASHES = ("", "6 3", "2 3")


@dataclass(frozen=True, slots=True)
class Bar:
    label: str
    value: Spread
    kind: str
    """`ours`, `theirs` or `floor`."""


def bars(groups: Mapping[str, Sequence[Bar]], title: str, unit: str) -> str:
    """Bars from 0 under the name of each case, each case with a scale of its own; lines from the least to the greatest.

    >>> "ragkit" in bars({"240 chunks": [Bar("ragkit", Spread(2, 1, 3, 5), "ours")]}, "Indexing", "seconds")
    True
    """
    y, parts = 40.0, list[str]()
    for case, rows in groups.items():
        top = max((row.value.high for row in rows), default=1.0) or 1.0
        scale = (_WIDTH - _LABEL - _VALUE) / top
        parts.append(_text(8, y + 14, case, "700", _FAINT))
        y += 24
        for row in rows:
            colour = {"ours": _OURS, "floor": _FLOOR}.get(row.kind, _THEIRS)
            middle, low, high = (_LABEL + value * scale for value in (row.value.median, row.value.low, row.value.high))
            centre = y + 9
            parts.append(_text(_LABEL - 8, y + 14, row.label, "600" if row.kind == "ours" else "400", _INK, "end"))
            parts.append(
                f'<rect x="{_LABEL}" y="{y:.0f}" width="{max(1.0, middle - _LABEL):.1f}" height="18" rx="2" '
                f'fill="{colour}"/>'
            )
            if row.value.count > 1:
                parts.append(
                    f'<path d="M{low:.1f} {centre:.0f}H{high:.1f}M{low:.1f} {centre - 4:.0f}v8M{high:.1f} '
                    f'{centre - 4:.0f}v8" stroke="{_INK}" fill="none"/>'
                )
            parts.append(_text(max(middle, high) + 6, y + 14, f"{number(row.value.median)} {unit}", "400", _INK))
            y += _ROW
        y += 8
    return _svg(y, title, parts)


def curves(lines: Mapping[str, Sequence[tuple[float, Spread]]], title: str, x_label: str) -> str:
    """Values over sizes, both axes logarithmic; each line has a name beside its end, and colour
    and dashes by its place; one without values only takes its place.

    >>> line = [(1000, Spread(1, 1, 1, 5)), (10000, Spread(2, 2, 2, 5))]
    >>> curves({"ragkit": line}, "t", "chunks").count("<path")
    3
    """
    left, right, top, height = 64, 200, 44, 300
    width = _WIDTH - left - right
    xs = [x for line in lines.values() for x, _ in line]
    ys = [value for line in lines.values() for _, each in line for value in (each.low, each.high) if value > 0]
    low_x, high_x = math.log10(min(xs)), math.log10(max(xs))
    low_y, high_y = math.floor(math.log10(min(ys))), math.ceil(math.log10(max(ys)))
    span_x, span_y = high_x - low_x or 1.0, high_y - low_y or 1

    def at(x: float, y: float) -> tuple[float, float]:
        share = (math.log10(max(y, 10.0**low_y)) - low_y) / span_y
        return left + width * (math.log10(x) - low_x) / span_x, top + height * (1 - share)

    parts: list[str] = []
    for exponent in range(low_y, low_y + span_y + 1):
        _, y = at(min(xs), 10.0**exponent)
        parts.append(f'<path d="M{left} {y:.1f}H{left + width}" stroke="#d8dee4"/>')
        parts.append(_text(left - 8, y + 4, f"{10.0**exponent:g}", "400", _FAINT, "end"))
    for x in sorted(set(xs)):
        place, _ = at(x, 10.0**low_y)
        parts.append(_text(place, top + height + 18, f"{x:,.0f}", "400", _FAINT, "middle"))
    ends: list[tuple[float, int, str, float]] = []
    for number_, (name, line) in enumerate(lines.items()):
        if not line:
            continue
        colour, dash = _COLOURS[number_ % len(_COLOURS)], _DASHES[number_ // 3 % len(_DASHES)]
        places = [at(x, each.median) for x, each in line]
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
        thick = 3 if number_ == 0 else 1.5
        parts.append(
            f'<path d="M{path}" stroke="{colour}" stroke-width="{thick}" stroke-dasharray="{dash}" fill="none"/>'
        )
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places]
        ends.append((places[-1][1], number_, name, places[-1][0]))
    for (y, number_, name, x), label in zip(sorted(ends), _apart([y for y, *_ in sorted(ends)], 15), strict=True):
        colour = _COLOURS[number_ % len(_COLOURS)]
        if x < left + width - 1 or abs(label - y) > 1:
            parts.append(
                f'<path d="M{x:.1f} {y:.1f}L{left + width + 8} {label:.1f}" stroke="{colour}" stroke-width=".5"/>'
            )
        parts.append(_text(left + width + 12, label + 4, name, "600" if number_ == 0 else "400", colour))
    parts.append(_text(left + width / 2, top + height + 38, x_label, "400", _INK, "middle"))
    return _svg(top + height + 50, title, parts)


def number(value: float) -> str:
    """Three digits that say something, without an exponent; a whole number as one.

    >>> number(0.01234), number(1.5), number(23456.7), number(2.0)
    ('0.0123', '1.50', '23,457', '2')
    """
    if value == round(value):
        return f"{value:,.0f}"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{digits}f}"


def _apart(places: Sequence[float], least: float) -> list[float]:
    """Sorted places moved so far that labels there do not touch."""
    moved: list[float] = []
    for place in places:
        moved.append(max(place, moved[-1] + least) if moved else place)
    # What was pushed down as a whole goes up by half of it.
    shift = (moved[-1] - places[-1]) / 2 if moved else 0.0
    return [place - shift for place in moved]


def _text(x: float, y: float, text: str, weight: str, colour: str, anchor: str = "start") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-weight="{weight}" fill="{colour}" text-anchor="{anchor}">'
        f"{escape(text)}</text>"
    )


def _svg(height: float, title: str, parts: Sequence[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height:.0f}" width="{_WIDTH}" role="img" '
        f'font-family="system-ui, sans-serif" font-size="13"><title>{escape(title)}</title>'
        f'<rect width="100%" height="100%" rx="6" fill="#ffffff"/>{_text(8, 22, title, "600", _INK)}'
        f"{''.join(parts)}</svg>\n"
    )
