"""The demo's report: one self-contained page, its charts drawn as SVG."""

from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from examples.demo.promises import Promise
from martlet.replay.traffic import Answers

WIDTH, HEIGHT = 860, 300
LEFT, RIGHT, TOP, BOTTOM = 64, 34, 16, 44
COLOURS = {"online": "#1763b6", "frozen": "#9a6b00", "retrained": "#5b8c3a", "live": "#1763b6", "pin": "#c0392b"}
Point = tuple[float, float]

STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:900px;margin:2rem auto;padding:0 1rem;color:#1c2733;background:#fff}
h1{margin-bottom:.2rem}h2{margin-top:2.2rem}p.lead{color:#4a5a6a;margin-top:0}
table{display:block;overflow-x:auto;border-collapse:collapse;width:100%}
td,th{padding:.35rem .6rem;border-bottom:1px solid #dde4ea;text-align:left}
.kept{color:#1d7a3a}.late{color:#9a6b00}.broken{color:#b3261e;font-weight:600}
svg{width:100%;height:auto}svg text{font:13px system-ui,sans-serif;fill:#4a5a6a}
@media(max-width:640px){td,th{padding:.3rem .25rem;font-size:.78rem;overflow-wrap:anywhere}table{display:table}
td:last-child{white-space:nowrap}
.chart{overflow-x:auto}.chart svg{width:680px}}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:.8rem;margin:1.2rem 0}
.tile{background:#f3f6f9;border-radius:8px;padding:.7rem .9rem}.tile b{display:block;font-size:1.35rem}
"""


def render_report(summary: Mapping[str, Any], curves: Mapping[str, Any], kept: Sequence[Promise]) -> str:
    """The page."""
    answers: Answers = curves["answers"]
    aucs = {name: curves[name] for name in ("online", "frozen", "retrained")}
    interleaved = "each user's own order kept, about 200 users at a time"
    order = interleaved if summary["order"] == "interleaved" else "raw order"
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<title>Martlet: the loop</title><style>{STYLE}</style></head><body>
<h1>The loop</h1>
<p class="lead">{escape(summary["dataset"])}, {summary["requests"]:,} requests replayed as live traffic ({order});
a like is a rating of at least 4.</p>
<div class="tiles">{"".join(_tile(*tile) for tile in _tiles(summary))}</div>
<h2>Promises</h2>
<table><tr><th>promise</th><th>found</th><th>wanted</th><th></th></tr>{"".join(map(_row, kept))}</table>
<h2>Quality as served</h2>
<p>ROC-AUC over a sliding window. <i>Frozen</i>: the version that had learned the first fifth, never updated.
<i>Retrained</i>: the same model trained from scratch at each tenth on everything before it
({summary["auc"]["retrained_passes"]:.0f} passes, the best of 1 to 3). <i>Online</i>: what users were really
answered. The lead over retraining depends on the order: interleaved, many users arrive between two retrainings and
their last minutes tell much; <code>--order time</code> shows the raw order.</p>
{_lines(aucs, "events", "AUC")}
<h2>Versions and lanes</h2>
<p>The version behind each answer over time; one dot an answer, a sample of them.</p>
{_versions(answers)}
<h2>Freshness</h2>
<p>From the acknowledgement of an outcome to the first user's answer by a live version that has learned it.
Outcomes that the stream's end left unanswered ({summary["freshness_ms"]["live"]["unanswered"]:,}) count with their wait
until then; the last bar holds whatever took longer.</p>
{_histogram(curves["freshness"])}
</body></html>
"""


def _tiles(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [
        (f"{summary['requests']:,}", "requests"),
        (str(summary["failed_requests"]), "failed"),
        (str(summary["swaps"]), "swaps while serving"),
        (f"{summary['freshness_ms']['live']['p50']:.0f} ms", "freshness p50, live lane"),
        (f"{summary['auc']['online']:.4f}", "AUC online"),
        (f"{summary['parity_max_abs_diff']:.0e}", "largest difference trainer / answer"),
    ]


def _tile(value: str, name: str) -> str:
    return f'<div class="tile"><b>{escape(value)}</b>{escape(name)}</div>'


def _row(promise: Promise) -> str:
    kind = "kept" if promise.kept else "late" if promise.timing else "broken"
    cells = "".join(f"<td>{escape(text)}</td>" for text in (promise.name, promise.found, promise.wanted))
    return f'<tr>{cells}<td class="{kind}">{kind}</td></tr>'


def _lines(series: Mapping[str, Sequence[Point]], x_name: str, y_name: str) -> str:
    points = [point for line in series.values() for point in line]
    if not points:
        return "<p>Too few events for curves.</p>"
    ys = [y for _, y in points]
    pad = max((max(ys) - min(ys)) * 0.1, 0.005)
    chart = _Chart((0.0, max(x for x, _ in points)), (min(ys) - pad, max(ys) + pad))
    body = "".join(
        f'<polyline fill="none" stroke="{COLOURS[name]}" stroke-width="2.2" points="{chart.path(line)}"/>'
        for name, line in series.items()
    )
    return chart.svg(body, x_name, y_name, list(series))


def _versions(answers: Answers) -> str:
    start = answers.answered_at[0]
    every = max(len(answers.version) // 1500, 1)
    chart = _Chart((0.0, max(answers.answered_at) - start), (0.0, float(max(answers.version)) * 1.05))
    dots = [
        f'<circle r="1.7" cx="{chart.x(answers.answered_at[n] - start):.1f}" cy="{chart.y(answers.version[n]):.1f}" '
        f'fill="{COLOURS["live" if answers.live[n] else "pin"]}"/>'
        for n in range(0, len(answers.version), every)
    ]
    return chart.svg("".join(dots), "seconds", "version", ["live", "pin"])


def _histogram(values: np.ndarray) -> str:
    if values.size == 0:
        return "<p>No outcome was answered for.</p>"
    top = float(np.percentile(values, 99.5))
    counts, edges = np.histogram(np.minimum(values, top), bins=40, range=(0.0, max(top, 1.0)))
    chart = _Chart((0.0, max(top, 1.0)), (0.0, float(counts.max()) * 1.05))
    bars = [
        f'<rect x="{chart.x(edge):.1f}" y="{chart.y(count):.1f}" fill="{COLOURS["live"]}" '
        f'width="{max(chart.x(edges[1]) - chart.x(0) - 1, 1):.1f}" height="{chart.y(0) - chart.y(count):.1f}"/>'
        for edge, count in zip(edges[:-1], counts, strict=True)
    ]
    return chart.svg("".join(bars), "milliseconds", "outcomes", [])


class _Chart:
    """Axes, and where a value stands on them."""

    def __init__(self, xs: Point, ys: Point) -> None:
        self._xs = xs
        self._ys = ys

    def x(self, value: float) -> float:
        low, high = self._xs
        return LEFT + (value - low) / max(high - low, 1e-12) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        low, high = self._ys
        return HEIGHT - BOTTOM - (value - low) / max(high - low, 1e-12) * (HEIGHT - TOP - BOTTOM)

    def path(self, points: Sequence[Point]) -> str:
        return " ".join(f"{self.x(x):.1f},{self.y(y):.1f}" for x, y in points)

    def svg(self, body: str, x_name: str, y_name: str, legend: Sequence[str]) -> str:
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
