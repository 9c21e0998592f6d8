"""The metrics of several processes as one: pure.

Counters and histograms are sums. A gauge is a sum too (open streams, records waiting), but for ages, lags and what all
processes say of the same thing: of those the largest counts. What a host has, or is, once all of it do, is the least.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import add
from typing import Final

from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

LARGEST: Final = (
    "_age_seconds", "_lag_seconds", "_lag_bytes", "_info", "_disk_free_bytes", "_disk_size_bytes", "_refresh_seconds",
)  # fmt: skip
SMALLEST: Final = ("_version", "_ready", "_held", "_caught_up", "_timestamp_seconds", "_start_time_seconds")
VERSION: Final = "version"

Series = tuple[str, tuple[tuple[str, str], ...]]


@dataclass(frozen=True, slots=True)
class Family:
    """One metric.

    Attributes:
        values: by sample name and labels.
    """

    kind: str
    told: str
    values: Mapping[Series, float] = field(default_factory=dict)

    @property
    def lasts(self) -> bool:
        """Whether what a process counted still counts when it is gone."""
        return self.kind in ("counter", "histogram", "summary")


Scrape = Mapping[str, Family]


def scrape_of(collector: Collector) -> Scrape:
    """What a collector tells now, without the moments at which series were made."""
    return {
        metric.name: Family(
            metric.type,
            metric.documentation,
            {
                (sample.name, tuple(sorted(sample.labels.items()))): float(sample.value)
                for sample in metric.samples
                if not sample.name.endswith("_created")
            },
        )
        for metric in collector.collect()
    }


def merged(scrapes: Sequence[Scrape]) -> Scrape:
    """All of them as one."""
    names = dict.fromkeys(name for scrape in scrapes for name in scrape)
    return {name: _together(name, [scrape[name] for scrape in scrapes if name in scrape]) for name in names}


def departed(before: Scrape, last: Scrape) -> Scrape:
    """What processes that are gone have counted, when another goes that was last seen so."""
    return merged([before, {name: family for name, family in last.items() if family.lasts}])


def still_told(gone: Scrape, living: Sequence[Scrape]) -> Scrape:
    """Of what is gone, without the series of versions that no living process has any more: their number is bounded."""
    versions = {label for scrape in living for family in scrape.values() for label in _versions(family)}
    return {
        name: Family(
            family.kind,
            family.told,
            {
                series: value
                for series, value in family.values.items()
                if all(label in versions for label in _version_labels(series))
            },
        )
        for name, family in gone.items()
    }


def metrics_of(scrape: Scrape) -> Iterator[Metric]:
    """For `generate_latest`."""
    for name, family in scrape.items():
        metric = Metric(name, family.told, family.kind)
        for (sample, labels), value in family.values.items():
            metric.add_sample(sample, dict(labels), value)
        yield metric


def _together(name: str, families: Sequence[Family]) -> Family:
    values: dict[Series, float] = {}
    fold = _fold(name)
    for family in families:
        for series, value in family.values.items():
            values[series] = fold(values[series], value) if series in values else value
    return Family(families[0].kind, families[0].told, values)


def _fold(name: str) -> Callable[[float, float], float]:
    if name.endswith(LARGEST):
        return max
    return min if name.endswith(SMALLEST) else add


def _versions(family: Family) -> Iterator[tuple[str, str]]:
    for series in family.values:
        yield from _version_labels(series)


def _version_labels(series: Series) -> Iterator[tuple[str, str]]:
    """(model, version) of a series that bears a version."""
    labels = dict(series[1])
    if VERSION in labels:
        yield labels.get("model", ""), labels[VERSION]
