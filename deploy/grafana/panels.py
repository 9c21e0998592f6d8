"""Panels as this project draws them: one look, and nothing left out (unit, description, legend, thresholds)."""

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from grafana_foundation_sdk.builders import common, dashboard, heatmap, prometheus, stat, statetimeline, timeseries
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models import common as common_model
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models import heatmap as heatmap_model
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from deploy.grafana.sources import Chart, Query

PanelBuilder: TypeAlias = Builder[model.Panel]

SOURCE: Final = model.DataSourceRef(type_val="prometheus", uid="${datasource}")
HEIGHT, NUMBER_HEIGHT = 8, 4
NAMES: Final = "ABCDEFGHIJKLMNOP"


def panel(chart: Chart) -> PanelBuilder:
    """The panel that a chart asks for."""
    return _DRAWN[chart.kind](chart)


def _series(chart: Chart) -> timeseries.Panel:
    """Lines over time; limits are dashed lines."""
    drawn = (
        timeseries.Panel()
        .title(chart.title)
        .description(chart.tells)
        .datasource(SOURCE)
        .targets(_targets(chart))
        .unit(chart.unit)
        .height(HEIGHT)
        .span(chart.width)
        .fill_opacity(25 if chart.stacked else 8)
        .line_width(1)
        .show_points(common_model.VisibilityMode.NEVER)
        .legend(_legend())
        .tooltip(common.VizTooltipOptions().mode(common_model.TooltipDisplayMode.MULTI))
        .thresholds(_thresholds(chart))
    )
    if chart.limits:
        dashed = common_model.GraphThresholdsStyleMode.DASHED
        drawn = drawn.thresholds_style(common.GraphThresholdsStyleConfig().mode(dashed))
    if chart.stacked:
        drawn = drawn.stacking(common.StackingConfig().mode(common_model.StackingMode.NORMAL))
    if chart.least is not None:
        drawn = drawn.min(chart.least)
    return drawn if chart.most is None else drawn.max(chart.most)


def _number(chart: Chart) -> stat.Panel:
    """The newest value, large, coloured by the limits."""
    return (
        stat.Panel()
        .title(chart.title)
        .description(chart.tells)
        .datasource(SOURCE)
        .targets(_targets(chart))
        .unit(chart.unit)
        .decimals(chart.decimals)
        .height(NUMBER_HEIGHT)
        .span(chart.width)
        .color_mode(common_model.BigValueColorMode.VALUE)
        .graph_mode(common_model.BigValueGraphMode.AREA)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .thresholds(_thresholds(chart))
        .no_value("no data")
    )


def _states(chart: Chart) -> statetimeline.Panel:
    """Bars of states over time."""
    return (
        statetimeline.Panel()
        .title(chart.title)
        .description(chart.tells)
        .datasource(SOURCE)
        .targets(_targets(chart))
        .unit(chart.unit)
        .height(HEIGHT)
        .span(chart.width)
        .show_value(common_model.VisibilityMode.AUTO)
        .merge_values(merge_values=True)
        .thresholds(_thresholds(chart))
        .mappings([_words(chart)])
        .legend(_legend())
    )


def _density(chart: Chart) -> heatmap.Panel:
    """A histogram's buckets over time."""
    (query,) = chart.queries
    return (
        heatmap.Panel()
        .title(chart.title)
        .description(chart.tells)
        .datasource(SOURCE)
        .targets([_target(query, NAMES[0]).format(PromQueryFormat.HEATMAP)])
        .height(HEIGHT)
        .span(chart.width)
        .calculate(calculate=False)
        .color(heatmap.HeatmapColorOptions().mode(heatmap_model.HeatmapColorMode.SCHEME).scheme("Oranges").steps(64))
        .y_axis(heatmap.YAxisConfig().unit(chart.unit))
    )


_DRAWN: Final[Mapping[str, Callable[[Chart], PanelBuilder]]] = {
    "series": _series,
    "number": _number,
    "states": _states,
    "density": _density,
}


def _targets(chart: Chart) -> list[Builder[Dataquery]]:
    return [_target(query, name) for query, name in zip(chart.queries, NAMES, strict=False)]


def _target(query: Query, name: str) -> prometheus.Dataquery:
    return prometheus.Dataquery().expr(query.query).legend_format(query.legend).ref_id(name).datasource(SOURCE).range()


def _legend() -> common.VizLegendOptions:
    """Below the panel, with the newest and the largest value."""
    return (
        common.VizLegendOptions()
        .show_legend(show_legend=True)
        .display_mode(common_model.LegendDisplayMode.TABLE)
        .placement(common_model.LegendPlacement.BOTTOM)
        .calcs(["lastNotNull", "max"])
    )


def _thresholds(chart: Chart) -> dashboard.ThresholdsConfig:
    """Grafana wants the colour of each stretch from a value upwards, the lowest without a value."""
    colours = [*chart.limits.values(), "green"] if chart.low_is_bad else ["green", *chart.limits.values()]
    starts = [None, *chart.limits]
    steps = [model.Threshold(value=start, color=colour) for start, colour in zip(starts, colours, strict=True)]
    return dashboard.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(steps)


def _words(chart: Chart) -> model.ValueMap:
    results = {
        value: model.ValueMappingResult(text=word, color=colour, index=place)
        for place, (value, (word, colour)) in enumerate(chart.words.items())
    }
    return model.ValueMap(options=results)
