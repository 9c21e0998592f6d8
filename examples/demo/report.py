"""The demo's report: one self-contained page, its charts drawn as SVG."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from examples.demo.charts import COLOURS, Chart, lines
from examples.demo.judge_report import judge_section
from examples.demo.promises import Promise
from martlet.replay.traffic import Answers

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
{lines(aucs, "events", "AUC")}
<h2>Versions and lanes</h2>
<p>The version behind each answer over time; one dot an answer, a sample of them.</p>
{_versions(answers)}
<h2>Freshness</h2>
<p>From the acknowledgement of an outcome to the first user's answer by a live version that has learned it.
Outcomes that the stream's end left unanswered ({summary["freshness_ms"]["live"]["unanswered"]:,}) count with their wait
until then; the last bar holds whatever took longer.</p>
{_histogram(curves["freshness"])}
{judge_section(summary, curves["watched"], curves["decisions"])}
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


def _versions(answers: Answers) -> str:
    start = answers.answered_at[0]
    every = max(len(answers.version) // 1500, 1)
    chart = Chart((0.0, max(answers.answered_at) - start), (0.0, float(max(answers.version)) * 1.05))
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
    chart = Chart((0.0, max(top, 1.0)), (0.0, float(counts.max()) * 1.05))
    bars = [
        f'<rect x="{chart.x(edge):.1f}" y="{chart.y(count):.1f}" fill="{COLOURS["live"]}" '
        f'width="{max(chart.x(edges[1]) - chart.x(0) - 1, 1):.1f}" height="{chart.y(0) - chart.y(count):.1f}"/>'
        for edge, count in zip(edges[:-1], counts, strict=True)
    ]
    return chart.svg("".join(bars), "milliseconds", "outcomes", [])
