"""Charts as SVG, drawn by hand: axes, lines, a legend."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

WIDTH, HEIGHT = 860, 300
LEFT, RIGHT, TOP, BOTTOM = 64, 34, 16, 44
COLOURS = {
    "online": "#1763b6", "frozen": "#9a6b00", "retrained": "#5b8c3a", "live": "#1763b6", "pin": "#c0392b",
    "evidence": "#b3261e", "warning": "#9a6b00",
}  # fmt: skip
Point = tuple[float, float]


def lines(series: Mapping[str, Sequence[Point]], x_name: str, y_name: str) -> str:
    """A chart of named lines."""
    points = [point for line in series.values() for point in line]
    if not points:
        return "<p>Too few events for curves.</p>"
    ys = [y for _, y in points]
    pad = max((max(ys) - min(ys)) * 0.1, 0.005)
    chart = Chart((0.0, max(x for x, _ in points)), (min(ys) - pad, max(ys) + pad))
    body = "".join(
        f'<polyline fill="none" stroke="{COLOURS[name]}" stroke-width="2.2" points="{chart.path(line)}"/>'
        for name, line in series.items()
    )
    return chart.svg(body, x_name, y_name, list(series))


class Chart:
    """Axes, and where a value stands on them."""

    def __init__(self, xs: Point, ys: Point) -> None:
        self._xs = xs
        self._ys = ys

    def x(self, value: float) -> float:
        """Where a value stands from left to right."""
        low, high = self._xs
        return LEFT + (value - low) / max(high - low, 1e-12) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        """Where a value stands from top to bottom."""
        low, high = self._ys
        return HEIGHT - BOTTOM - (value - low) / max(high - low, 1e-12) * (HEIGHT - TOP - BOTTOM)

    def path(self, points: Sequence[Point]) -> str:
        """Points as an SVG polyline takes them."""
        return " ".join(f"{self.x(x):.1f},{self.y(y):.1f}" for x, y in points)

    def svg(self, body: str, x_name: str, y_name: str, legend: Sequence[str]) -> str:
        """The whole chart around a body."""
        grid = "".join(
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{self.y(v):.1f}" y2="{self.y(v):.1f}" stroke="#e4e9ee"/>'
            f'<text x="{LEFT - 8}" y="{self.y(v) + 4:.1f}" text-anchor="end">{_number(v)}</text>'
            for v in round_ticks(*self._ys, 5)
        )
        ticks = "".join(
            f'<text x="{self.x(v):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{_number(v)}</text>'
            for v in round_ticks(*self._xs, 6)
        )
        names = (
            f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 6}" text-anchor="end">{x_name}</text>'
            f'<text x="{LEFT}" y="{TOP - 3}">{y_name}</text>'
        )
        return (
            f'<div class="chart"><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{y_name} over {x_name}">'
            f"{grid}{ticks}{names}{body}{_legend(legend)}</svg></div>"
        )


def round_ticks(low: float, high: float, about: int) -> list[float]:
    """About so many round values in [low, high].

    >>> round_ticks(0.0, 148.0, 6)
    [0.0, 20.0, 40.0, 60.0, 80.0, 100.0, 120.0, 140.0]
    """
    rough = max(high - low, 1e-12) / about
    power = 10.0 ** np.floor(np.log10(rough))
    step = float(power * min((1, 2, 5, 10), key=lambda factor: abs(power * factor - rough)))
    first, last = int(np.ceil(low / step - 1e-9)), int(np.floor(high / step + 1e-9))
    return [round(step * n, 10) for n in range(first, last + 1)]


def _legend(names: Sequence[str]) -> str:
    mark: Callable[[int, str], str] = lambda n, name: (  # noqa: E731  one expression, used once
        f'<rect x="{LEFT + 120 + 110 * n}" y="{HEIGHT - 16}" width="12" height="12" fill="{COLOURS[name]}"/>'
        f'<text x="{LEFT + 138 + 110 * n}" y="{HEIGHT - 6}">{name}</text>'
    )
    return "".join(mark(n, name) for n, name in enumerate(names))


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 10 else f"{value:.3f}".rstrip("0").rstrip(".") or "0"
