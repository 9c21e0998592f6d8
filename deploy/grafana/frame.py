"""A dashboard around its panels: variables, links, annotations."""

from typing import Final

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.models import dashboard as model

from deploy.grafana.panels import SOURCE, panel
from deploy.grafana.sources import Source

TAG: Final = "martlet"
ALL: Final = ".*"  # true of series without the label, too
VALUES_OF: Final = {
    "namespace": "label_values(martlet_registry_epoch, namespace)",
    "model": 'label_values(martlet_registry_epoch{namespace=~"$namespace"}, model)',
    "version": 'label_values(martlet_serving_answers_total{namespace=~"$namespace", model=~"$model"}, version)',
    "instance": 'label_values(up{job=~"(.+/)?martlet-.+", namespace=~"$namespace"}, instance)',
}
TOLD: Final = {
    "namespace": "Installations, where Prometheus watches several",
    "model": "Models",
    "version": "Versions that replicas hold",
    "instance": "Processes",
}


def framed(source: Source) -> model.Dashboard:
    """A dashboard, its panels numbered in order."""
    built = (
        dashboard.Dashboard(source.title)
        .uid(source.uid)
        .description(source.tells)
        .tags([TAG])
        .refresh("30s")
        .time("now-3h", "now")
        .timezone("browser")
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .readonly()
        .link(_others())
        .annotation(_pages())
        .with_variable(dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
    )
    for name in source.variables:
        built = built.with_variable(_variable(name))
    for row in source.rows:
        built = built.with_row(dashboard.Row(row.title))
        for chart in row.panels:
            built = built.with_panel(panel(chart))
    return _numbered(built.build())


def _numbered(made: model.Dashboard) -> model.Dashboard:
    """Links to a panel name its number."""
    for number, one in enumerate(made.panels or (), 1):
        one.id_val = number
    return made


def _variable(name: str) -> dashboard.QueryVariable:
    newest_first = model.VariableSort.NUMERICAL_DESC
    return (
        dashboard.QueryVariable(name)
        .label(name.capitalize())
        .description(TOLD[name])
        .datasource(SOURCE)
        .query(VALUES_OF[name])
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(newest_first if name == "version" else model.VariableSort.ALPHABETICAL_ASC)
        .multi(multi=True)
        .include_all(include_all=True)
        .all_value(ALL)
        .current(model.VariableOption(text="All", value="$__all"))
    )


def _others() -> dashboard.DashboardLink:
    """The other dashboards, at the same time and for the same model."""
    return (
        dashboard.DashboardLink("Martlet")
        .type(model.DashboardLinkType.DASHBOARDS)
        .tags([TAG])
        .include_vars(include_vars=True)
        .keep_time(keep_time=True)
    )


def _pages() -> dashboard.AnnotationQuery:
    """Alerts that paged, drawn into every chart."""
    return (
        dashboard.AnnotationQuery()
        .name("Pages")
        .datasource(SOURCE)
        .enable(enable=True)
        .icon_color("red")
        .expr('ALERTS{alertname=~"Martlet.+", alertstate="firing", severity="page"}')
    )
