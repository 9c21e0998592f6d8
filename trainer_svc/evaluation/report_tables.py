"""The evaluation on a terminal."""

from collections.abc import Iterator, Sequence

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from martlet.tables import table
from trainer_svc.evaluation.bootstrap import Figure
from trainer_svc.evaluation.html_report import named, told
from trainer_svc.evaluation.report import EvaluationReport, OffPolicy


def print_report(console: Console, report: EvaluationReport) -> None:
    """Tables, and what a reader must know."""
    counted = report.counted
    console.print(
        f"{report.model}: {counted.answers:,} answers, {counted.rows:,} items, {counted.labelled:,} labelled, "
        f"{counted.users:,} users ({report.label})"
    )
    for note in report.notes:
        console.print(Text(f"note: {note}", style="yellow"))
    for part in _parts(report):
        console.print(part)


def _parts(report: EvaluationReport) -> Iterator[RenderableType]:
    if any(scorer.rows for scorer in report.scorers):
        yield _scorers(report)
    for comparison in report.comparisons:
        yield Text(f"{named(comparison.first)} minus {named(comparison.second)}, {comparison.rows:,} rows of both")
        yield _figures(["difference"], [comparison.differences])
    if report.segments:
        names = list(report.segments[0].figures)
        shown = table("by", "segment", "scorer", ">rows", ">positives", *(f">{name}" for name in names))
        for one in report.segments:
            figures = (told(one.figures.get(name)) for name in names)
            shown.add_row(one.by, one.segment, named(one.scorer), f"{one.rows:,}", f"{one.positives:g}", *figures)
        yield shown
    if report.off_policy is not None:
        yield from _off_policy(report.off_policy)


def _scorers(report: EvaluationReport) -> Table:
    shown = _figures([named(scorer.name) for scorer in report.scorers], [one.figures for one in report.scorers])
    shown.add_row(f"coverage@{report.k}", *(told(scorer.coverage) for scorer in report.scorers))
    shown.add_row("rows", *(f"{scorer.rows:,}" for scorer in report.scorers))
    return shown


def _figures(heads: Sequence[str], columns: Sequence[dict[str, Figure]]) -> Table:
    shown = table("", *(f">{head}" for head in heads))
    for name in columns[0]:
        shown.add_row(name, *(_figure(column.get(name)) for column in columns))
    return shown


def _figure(figure: Figure | None) -> str:
    if figure is None or figure.low is None:
        return told(None if figure is None else figure.value)
    return f"{told(figure.value)} [{figure.low:.4f}, {figure.high:.4f}]"


def _off_policy(found: OffPolicy) -> Iterator[RenderableType]:
    yield Text(f"off-policy: {found.policy}; mean reward of the first {found.positions} item(s)", style="bold")
    for warning in found.warnings:
        yield Text(f"warning: {warning}", style="yellow")
    shown = table("", ">value", ">normal", ">bootstrap", ">gain over logged")
    for name, one in found.estimates.items():
        shown.add_row(name.upper(), told(one.value), _bounds(one.normal), _bounds(one.bootstrap), _figure(one.gain))
    shown.add_row("logged", _figure(found.logged), "", "", "")
    yield shown
    yield Text(
        f"{found.answers:,} answers of {found.users:,} users, {found.effective_answers:,.0f} effective; mean weight "
        f"{_figure(found.mean_weight)}, largest {found.largest_weight:.2f}; {found.clipped_share:.2%} clipped"
    )
    yield Text(
        f"not used: {found.without_propensity:,} without propensities, {found.without_scores:,} not scored, "
        f"{found.incomplete:,} with some of their candidates only"
    )


def _bounds(bounds: tuple[float, float] | None) -> str:
    return "" if bounds is None else f"[{bounds[0]:.4f}, {bounds[1]:.4f}]"
