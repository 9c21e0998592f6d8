"""The evaluation as one HTML page that needs nothing beside it: tables, and plots as inline SVG."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Final

from trainer_svc.evaluation.bootstrap import Figure
from trainer_svc.evaluation.policy_value import ESTIMATORS
from trainer_svc.evaluation.report import EvaluationReport, OffPolicy, Points, Scorer
from trainer_svc.evaluation.svg_plot import COLOURS, Axes, Line, Span, interval_chart, line_chart, number, padded

_UNIT: Final = ((0.0, 1.0), (0.0, 1.0))
_REFERENCE: Final = "#9aa5b1"
_LARGEST_POINT: Final = 9.0
_DAY_US: Final = 86_400_000_000
_OVER_TIME: Final = {
    "roc_auc": "ROC-AUC", "logloss": "log-loss, nats", "bias": "predicted / actual", "rmse": "RMSE", "mae": "MAE",
}  # fmt: skip
_SPANS: Final = ("logloss", "roc_auc", "pr_auc", "ece", "rmse", "mae", "mrr")
STYLE: Final = """
:root{color-scheme:light}
body{font:15px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif;max-width:1000px;margin:2rem auto;padding:0 1rem;
color:#1c2733;background:#fff}
h1{margin:0 0 .2rem;font-size:1.7rem}h2{margin:2.2rem 0 .6rem;font-size:1.2rem;border-bottom:2px solid #e7ecf0;
padding-bottom:.25rem}
p.lead{color:#51606f;margin:.1rem 0 1rem}p.small{color:#51606f;font-size:.88rem}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(130px,1fr));gap:.7rem;margin:1rem 0}
.tile{background:#f3f6f9;border-radius:8px;padding:.6rem .8rem;color:#51606f;font-size:.88rem}
.tile b{display:block;font-size:1.3rem;color:#1c2733}
.notes{background:#fff6e0;border-left:4px solid #d19a1a;padding:.5rem .9rem;margin:1rem 0;border-radius:0 6px 6px 0}
.notes li{margin:.15rem 0}.notes ul{margin:.2rem 0;padding-left:1.1rem}
.scroll{overflow-x:auto}table{border-collapse:collapse;font-size:.88rem;min-width:100%}
th,td{padding:.32rem .6rem;border-bottom:1px solid #e7ecf0;text-align:right;white-space:nowrap}
th:first-child,td:first-child,td.text,th.text{text-align:left}th{color:#51606f;font-weight:600}
td small{color:#7b8794}
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(380px,1fr));gap:1rem;
align-items:start;margin-bottom:1rem}
figure{margin:0;border:1px solid #e7ecf0;border-radius:8px;padding:.5rem}
svg{width:100%;height:auto;display:block}svg text{font:11.5px system-ui,sans-serif;fill:#51606f}
svg text.title{font-size:13.5px;font-weight:600;fill:#1c2733}
.legend{display:flex;flex-wrap:wrap;gap:.3rem 1.1rem;margin:.6rem 0;font-size:.9rem}
.legend i{display:inline-block;width:.8rem;height:.8rem;border-radius:3px;margin-right:.35rem;vertical-align:-1px}
@media(max-width:480px){.plots{grid-template-columns:1fr}}
"""


def render_html(report: EvaluationReport) -> str:
    """The page."""
    colours = dict(zip((scorer.name for scorer in report.scorers), COLOURS * 2, strict=False))
    title = f"Evaluation of {report.model}"
    sections = [
        _tiles(report),
        _notes(report.notes),
        _scorers(report, colours),
        _comparisons(report),
        _time(report, colours),
        _segments(report),
        "" if report.off_policy is None else _off_policy(report.off_policy),
    ]
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<title>{escape(title)}</title><style>{STYLE}</style></head><body>
<h1>{escape(title)}</h1>
<p class="lead">{escape(report.label)}; {_period(report)}. Intervals hold 95 %, by resampling users.</p>
{"".join(sections)}
</body></html>
"""


def named(scorer: str) -> str:
    """A scorer's name for people.

    >>> named("7"), named("served")
    ('version 7', 'served')
    """
    return f"version {scorer}" if scorer.isdecimal() else scorer


def told(value: float | None) -> str:
    """A figure; a dash where there is none."""
    return "–" if value is None else f"{value:.4f}"  # noqa: RUF001  a dash for a gap


def _tiles(report: EvaluationReport) -> str:
    counted = report.counted
    tiles = ((counted.answers, "answers"), (counted.rows, "items"), (counted.labelled, "labelled"),
             (counted.users, "users"), (counted.open, "still open"))  # fmt: skip
    inside = "".join(f'<div class="tile"><b>{value:,}</b>{name}</div>' for value, name in tiles)
    return f'<div class="tiles">{inside}</div>'


def _notes(notes: Sequence[str]) -> str:
    if not notes:
        return ""
    return f'<div class="notes"><ul>{"".join(f"<li>{escape(note)}</li>" for note in notes)}</ul></div>'


def _period(report: EvaluationReport) -> str:
    if not report.counted.answers:
        return "no answers"
    return f"answers from {_time_text(report.from_us)} to {_time_text(report.to_us)} UTC"


def _time_text(time_us: float) -> str:
    return datetime.fromtimestamp(time_us / 1e6, UTC).strftime("%Y-%m-%d %H:%M")


def _legend(colours: Mapping[str, str]) -> str:
    marks = "".join(
        f'<span><i style="background:{colour}"></i>{escape(named(name))}</span>' for name, colour in colours.items()
    )
    return f'<div class="legend">{marks}</div>'


def _figure(figure: Figure | None) -> str:
    if figure is None or figure.value is None:
        return "–"  # noqa: RUF001
    interval = "" if figure.low is None else f" <small>[{figure.low:.4f}, {figure.high:.4f}]</small>"
    return f"{figure.value:.4f}{interval}"


def _difference(figure: Figure | None) -> str:
    """Bold where the interval tells the two apart."""
    sure = figure is not None and figure.low is not None and figure.high is not None and figure.low * figure.high > 0.0
    return f"<b>{_figure(figure)}</b>" if sure else _figure(figure)


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{head}</th>" for head in heads)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="scroll"><table><tr>{head}</tr>{body}</table></div>'


def _scorers(report: EvaluationReport, colours: Mapping[str, str]) -> str:
    if not any(scorer.rows for scorer in report.scorers):
        return ""
    names = list(report.scorers[0].figures)
    rows = [["rows", *(f"{scorer.rows:,}" for scorer in report.scorers)]]
    rows += [["answers ranked", *(f"{scorer.answers:,}" for scorer in report.scorers)]]
    rows += [[escape(name), *(_figure(scorer.figures.get(name)) for scorer in report.scorers)] for name in names]
    rows += [[f"coverage@{report.k}", *(told(scorer.coverage) for scorer in report.scorers)]]
    table = _table(["", *(escape(named(scorer.name)) for scorer in report.scorers)], rows)
    spans = [chart for name in _SPANS if name in names for chart in _spans(report.scorers, name, colours)]
    plots = "".join(f'<div class="plots">{"".join(charts)}</div>' for charts in (_curves(report, colours), spans))
    return (
        f"<h2>Scorers</h2>{_legend(colours)}{plots}"
        "<p class=small>Scorers have scored different rows; where they are to be compared, see below.</p>" + table
    )


def _spans(scorers: Sequence[Scorer], name: str, colours: Mapping[str, str]) -> list[str]:
    spans = [
        Span(named(scorer.name), figure.value, figure.low, figure.high, colours[scorer.name])
        for scorer in scorers
        for figure in [scorer.figures[name]]
        if figure.value is not None and figure.low is not None and figure.high is not None
    ]
    return [interval_chart(name, spans)] if spans else []


def _curves(report: EvaluationReport, colours: Mapping[str, str]) -> list[str]:
    drawn = [(scorer, colours[scorer.name]) for scorer in report.scorers]
    roc = [Line(s.roc.x, s.roc.y, colour) for s, colour in drawn if s.roc is not None]
    pr = [Line(s.pr.x, s.pr.y, colour) for s, colour in drawn if s.pr is not None]
    calibration = [(s.reliability, colour) for s, colour in drawn if s.reliability is not None]
    diagonal = Line([0, 1], [0, 1], _REFERENCE, dashed=True)
    charts = []
    if roc:
        charts.append(line_chart("ROC", Axes("false positive rate", "true positive rate", *_UNIT), [diagonal, *roc]))
    if pr:
        charts.append(line_chart("Precision and recall", Axes("recall", "precision", *_UNIT), pr))
    if calibration:
        charts.append(_calibration(calibration))
    return charts


def _calibration(curves: Sequence[tuple[Points, str]]) -> str:
    most = max(value for points, _ in curves for value in (*points.x, *points.y))
    end = min(1.0, most * 1.05) or 1.0
    lines = [Line([0, end], [0, end], _REFERENCE, dashed=True)]
    for points, colour in curves:
        tips = [
            f"predicted {x:.4f}, actual {y:.4f}, {mass:.1%} of rows"
            for x, y, mass in zip(points.x, points.y, points.mass, strict=True)
        ]
        widest = max(points.mass)
        sizes = [max(2.0, 4.0 * (mass / widest) ** 0.5) for mass in points.mass]
        lines.append(Line(points.x, points.y, colour, tips, sizes))
    return line_chart("Calibration", Axes("predicted", "actual", (0.0, end), (0.0, end)), lines)


def _comparisons(report: EvaluationReport) -> str:
    if not report.comparisons:
        return ""
    names = list(report.comparisons[0].differences)
    heads = ["", *(f"{escape(named(c.first))} minus {escape(named(c.second))}" for c in report.comparisons)]
    rows = [["rows of both", *(f"{one.rows:,}" for one in report.comparisons)]]
    rows += [[escape(name), *(_difference(one.differences.get(name)) for one in report.comparisons)] for name in names]
    note = "<p class=small>On the rows that both scored; the same users are drawn for both. "
    return f"<h2>Compared</h2>{note}Bold: the interval is without 0 and tells them apart.</p>{_table(heads, rows)}"


def _time(report: EvaluationReport, colours: Mapping[str, str]) -> str:
    charts = [chart for name, title in _OVER_TIME.items() for chart in _over_time(report, name, title, colours)]
    return f'<h2>Over time</h2>{_legend(colours)}<div class="plots">{"".join(charts)}</div>' if charts else ""


def _over_time(report: EvaluationReport, name: str, title: str, colours: Mapping[str, str]) -> list[str]:
    lines = []
    for scorer, colour in colours.items():
        held = [
            ((one.from_us + one.to_us) / 2, value, one)
            for one in report.windows
            if one.scorer == scorer and (value := one.figures.get(name)) is not None
        ]
        tips = [f"{_time_text(one.from_us)}: {value:.4f}, {one.rows:,} rows" for _, value, one in held]
        lines.append(Line([at for at, _, _ in held], [value for _, value, _ in held], colour, tips))
    values = [value for line in lines for value in line.y]
    if not values:
        return []
    start, end = float(report.from_us), float(report.to_us)
    form = "%m-%d" if end - start > 3 * _DAY_US else "%H:%M"
    at = [start + (end - start) * part / 4 for part in range(5)]
    axes = Axes(
        "event time, UTC", title, (start, end), padded(values),
        lambda time_us: datetime.fromtimestamp(time_us / 1e6, UTC).strftime(form), at,
    )  # fmt: skip
    return [line_chart(f"{title} by time", axes, lines)]


def _segments(report: EvaluationReport) -> str:
    if not report.segments:
        return ""
    names = list(report.segments[0].figures)
    parts = []
    for by in dict.fromkeys(one.by for one in report.segments):
        rows = [
            [escape(one.segment), escape(named(one.scorer)), f"{one.rows:,}", number(one.positives),
             *(told(one.figures.get(name)) for name in names)]
            for one in report.segments if one.by == by
        ]  # fmt: skip
        total = "sum of labels" if report.numbers else "positives"
        parts.append(f"<h3>{escape(by)}</h3>" + _table([by, "scorer", "rows", total, *names], rows))
    return "<h2>Segments</h2>" + "".join(parts)


def _off_policy(found: OffPolicy) -> str:
    rows = [
        [name.upper(), told(one.value), _interval(one.normal), _interval(one.bootstrap), _figure(one.gain)]
        for name, one in found.estimates.items()
    ]
    logged = found.logged
    rows.append(["logged", told(logged.value), "", _interval((logged.low, logged.high)), ""])
    spans = [
        Span(name.upper(), one.value, *one.bootstrap, COLOURS[place])
        for place, (name, one) in enumerate((name, found.estimates[name]) for name in ESTIMATORS)
        if one.value is not None and one.bootstrap is not None
    ]
    plot = interval_chart("Value of the policy; dashed: logged", spans, logged.value) if spans else ""
    unused = (
        f"{found.without_propensity:,} without propensities, {found.without_scores:,} not scored, "
        f"{found.incomplete:,} with some of their candidates only"
    )
    facts = [
        ["answers used", f"{found.answers:,} of {found.users:,} users"],
        ["not used", unused],
        ["effective answers", f"{found.effective_answers:,.0f}"],
        ["mean weight (should be 1)", _figure(found.mean_weight)],
        ["largest weight", f"{found.largest_weight:,.2f}"],
        ["clip", "none" if found.clip is None else f"{found.clip:g}: {found.clipped_share:.2%} of weights"],
        ["lost to the clip", f"{found.lost_mass:.4f} of the mean weight"],
        ["least propensity", f"{found.least_propensity:.2g}"],
        ["first item never chosen by the policy", f"{found.without_support:.1%} of answers"],
    ]  # fmt: skip
    table = _table(["", "value", "normal interval", "bootstrap interval", "gain over logged"], rows)
    return (
        f"<h2>Off-policy: {escape(found.policy)}</h2>"
        f"<p class=small>Mean reward of the first {found.positions} item(s) of an answer.</p>"
        f'{_notes(found.warnings)}<div class="plots">{plot}</div>{table}<h3>Diagnostics</h3>{_table(["", ""], facts)}'
    )


def _interval(bounds: tuple[float | None, float | None] | None) -> str:
    if bounds is None or bounds[0] is None or bounds[1] is None:
        return "–"  # noqa: RUF001
    return f"[{bounds[0]:.4f}, {bounds[1]:.4f}]"
