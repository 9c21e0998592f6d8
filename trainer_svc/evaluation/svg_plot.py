"""Plots as inline SVG: lines, points and intervals on two axes. No script, no file beside the page."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

WIDTH, HEIGHT = 460, 320
LEFT, RIGHT, TOP, BOTTOM = 52, 14, 34, 44
COLOURS: Final = ("#1763b6", "#d1690a", "#2f8f5b", "#8e44ad", "#b3261e", "#0f8b8d", "#8a7400", "#555d66")
_GREY: Final = "#9aa5b1"
_ROW: Final = 26
_NAMES: Final = 150


@dataclass(frozen=True, slots=True)
class Line:
    """One line.

    Attributes:
        x, y: its points.
        colour: of `COLOURS`.
        tips: what a point says under the pointer; none: no points are drawn.
        sizes: radii of the points; none: 2.5 each.
        dashed: it is a reference, not a finding.
    """

    x: Sequence[float]
    y: Sequence[float]
    colour: str
    tips: Sequence[str] = ()
    sizes: Sequence[float] = ()
    dashed: bool = False


@dataclass(frozen=True, slots=True)
class Span:
    """A value with its interval, in a row of its own."""

    name: str
    value: float
    low: float
    high: float
    colour: str


@dataclass(frozen=True, slots=True)
class Axes:
    """What the axes are, and how far they go."""

    across: str
    up: str
    x: tuple[float, float]
    y: tuple[float, float]
    x_text: Callable[[float], str] | None = None
    x_ticks: Sequence[float] | None = None


def number(value: float) -> str:
    """As short as a tick wants it.

    >>> number(0.25), number(1500.0), number(0.0)
    ('0.25', '1,500', '0')
    """
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.4g}"  # noqa: PLR2004


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """About so many round values in [low, high].

    >>> ticks(0.0, 1.0)
    [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    """
    rough = max(high - low, 1e-12) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = power * min((1, 2, 5, 10), key=lambda factor: abs(power * factor - rough))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(step * n, 12) for n in range(first, last + 1)]


def padded(values: Sequence[float], share: float = 0.08) -> tuple[float, float]:
    """A range that shows all values, with some air."""
    low, high = min(values), max(values)
    air = (high - low) * share or abs(high) * share or share
    return low - air, high + air


def line_chart(title: str, axes: Axes, lines: Sequence[Line]) -> str:
    """Lines on two axes."""

    def x(value: float) -> float:
        return LEFT + (value - axes.x[0]) / ((axes.x[1] - axes.x[0]) or 1.0) * (WIDTH - LEFT - RIGHT)

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - (value - axes.y[0]) / ((axes.y[1] - axes.y[0]) or 1.0) * (HEIGHT - TOP - BOTTOM)

    across = ticks(*axes.x) if axes.x_ticks is None else axes.x_ticks
    parts = [_grid(LEFT, WIDTH - RIGHT, y(value)) + _text(LEFT - 6, y(value) + 4, number(value), "end")
             for value in ticks(*axes.y)]  # fmt: skip
    for value in across:  # the last one must not stand out of the picture
        anchor = "end" if x(value) > WIDTH - RIGHT - 12 else "middle"
        parts.append(_text(x(value), HEIGHT - BOTTOM + 17, (axes.x_text or number)(value), anchor))
    parts += [_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, axes.across, "middle"), _text(LEFT, TOP - 8, axes.up)]
    parts += [_drawn(line, x, y) for line in lines]
    return _svg(WIDTH, HEIGHT, title, parts)


def interval_chart(title: str, spans: Sequence[Span], reference: float | None = None) -> str:
    """Values with their intervals, one below the other; a dashed line where `reference` stands."""
    values = [value for span in spans for value in (span.low, span.value, span.high)]
    low, high = padded([*values, reference] if reference is not None else values)
    height = TOP + _ROW * len(spans) + BOTTOM - 14

    def x(value: float) -> float:
        return _NAMES + (value - low) / (high - low) * (WIDTH - _NAMES - RIGHT - 8)

    foot = TOP + _ROW * len(spans)
    parts = [
        f'<line x1="{x(value):.1f}" x2="{x(value):.1f}" y1="{TOP}" y2="{foot}" stroke="#e7ecf0"/>'
        + _text(x(value), foot + 16, number(value), "middle")
        for value in ticks(low, high, 4)
    ]
    if reference is not None:
        at = x(reference)
        parts.append(f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{TOP}" y2="{foot}" stroke="{_GREY}" {_DASHES}/>')
    for place, span in enumerate(spans):
        up = TOP + _ROW * (place + 0.5)
        tip = f"{span.name}: {span.value:.5g} [{span.low:.5g}, {span.high:.5g}]"
        parts.append(
            f"<g><title>{escape(tip)}</title>{_text(_NAMES - 10, up + 4, span.name, 'end')}"
            f'<line x1="{x(span.low):.1f}" x2="{x(span.high):.1f}" y1="{up}" y2="{up}" stroke="{span.colour}" '
            f'stroke-width="3" stroke-linecap="round"/>'
            f'<circle cx="{x(span.value):.1f}" cy="{up}" r="5" fill="{span.colour}" stroke="#fff"/></g>'
        )
    return _svg(WIDTH, height, title, parts)


_DASHES: Final = 'stroke-dasharray="5 4"'


def _drawn(line: Line, x: Callable[[float], float], y: Callable[[float], float]) -> str:
    path = " ".join(f"{x(across):.1f},{y(up):.1f}" for across, up in zip(line.x, line.y, strict=True))
    dashes = _DASHES if line.dashed else ""
    width = 1.2 if line.dashed else 2
    drawn = f'<polyline points="{path}" fill="none" stroke="{line.colour}" stroke-width="{width}" {dashes}/>'
    sizes = line.sizes or [2.5] * len(line.tips)
    for across, up, tip, size in zip(line.x, line.y, line.tips, sizes, strict=False):
        drawn += (
            f'<circle cx="{x(across):.1f}" cy="{y(up):.1f}" r="{size:.1f}" fill="{line.colour}" stroke="#fff" '
            f'stroke-width=".8"><title>{escape(tip)}</title></circle>'
        )
    return drawn


def _grid(start: float, end: float, up: float) -> str:
    return f'<line x1="{start}" x2="{end}" y1="{up:.1f}" y2="{up:.1f}" stroke="#e7ecf0"/>'


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _svg(width: float, height: float, title: str, parts: Sequence[str]) -> str:
    heading = f'<text x="{width / 2}" y="15" text-anchor="middle" class="title">{escape(title)}</text>'
    return (
        f'<figure><svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}">{heading}'
        f"{''.join(parts)}</svg></figure>"
    )
