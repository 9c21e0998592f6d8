"""Line plots as SVG, for curves that should be flat: the horizontal axis is logarithmic, the vertical begins at 0."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log10
from typing import Final
from xml.sax.saxutils import escape

WIDTH: Final = 640
HEIGHT: Final = 360
LEFT, RIGHT, TOP, BOTTOM = 70, 110, 40, 50
COLOURS: Final = ("#4c78a8", "#f58518", "#54a24b", "#333333")


@dataclass(frozen=True, slots=True)
class Series:
    """One line: its name, where its points stand (above 0), and their values."""

    name: str
    at: Sequence[float]
    values: Sequence[float]


def line_plot(title: str, across: str, up: str, series: Sequence[Series]) -> str:
    """The plot as one SVG document."""
    lowest, highest = (log10(pick(point for one in series for point in one.at)) for pick in (min, max))
    top = max(value for one in series for value in one.values) * 1.1 or 1.0

    def x(point: float) -> float:
        return LEFT + (log10(point) - lowest) / ((highest - lowest) or 1.0) * (WIDTH - LEFT - RIGHT)

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - value / top * (HEIGHT - TOP - BOTTOM)

    parts = [_text(WIDTH / 2, 20, title, "middle"), _text(WIDTH / 2, HEIGHT - 10, across, "middle"), _text(8, 30, up)]
    for value in (0.0, top / 2, top):
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(value):.1f}" y2="{y(value):.1f}" stroke="#ddd"/>')
        parts.append(_text(LEFT - 6, y(value) + 4, f"{value:.3g}", "end"))
    parts += [_text(x(point), HEIGHT - BOTTOM + 18, f"{point:,.0f}", "middle") for point in _ends(series[0].at)]
    for one, colour in zip(series, COLOURS, strict=False):
        points = " ".join(f"{x(at):.1f},{y(value):.1f}" for at, value in zip(one.at, one.values, strict=True))
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(_text(WIDTH - RIGHT + 6, y(one.values[-1]) + 4, one.name, "start", colour))
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" font-family="sans-serif" '
        f'font-size="12">\n<rect width="100%" height="100%" fill="white"/>\n{body}\n</svg>\n'
    )


def _ends(points: Sequence[float]) -> tuple[float, float]:
    return points[0], points[-1]


def _text(x: float, y: float, text: str, anchor: str = "start", colour: str = "#333") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{escape(text)}</text>'
