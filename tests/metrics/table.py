"""docs/metrics.md as values."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from prometheus_client.parser import text_string_to_metric_families

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = ROOT / "docs" / "metrics.md"
SERVICES: Final = ("serving", "registry", "trainer")
UP: Final = "up"
_ROW: Final = re.compile(r"^\| `(?P<name>[a-z_<>]+)` \|(?P<rest>.*)\|$")
_COLUMNS: Final = 7  # behind the name
_QUOTED: Final = re.compile(r"`([a-z_]+)`")
_PLACEHOLDER: Final = "<service>"


@dataclass(frozen=True, slots=True)
class Row:
    """One metric of one service.

    Attributes:
        family: its name as Prometheus' text parser has it: a counter's without `_total`.
        shown: `up`, or the test that shows it.
    """

    service: str
    name: str
    kind: str
    labels: frozenset[str]
    shown: str

    @property
    def family(self) -> str:
        return self.name.removesuffix("_total") if self.kind == "counter" else self.name


def rows() -> list[Row]:
    """Those of all services stand once for each."""
    found: list[Row] = []
    services: tuple[str, ...] = ()
    for line in PAGE.read_text().splitlines():
        if line.startswith("## "):
            heading = line.removeprefix("## ").lower()
            services = SERVICES if heading == "all services" else (heading,) if heading in SERVICES else ()
        elif match := _ROW.match(line):
            columns = [column.strip() for column in match["rest"].split("|")]
            assert len(columns) == _COLUMNS, line
            kind, labels, _unit, meaning, bounded, serves, shown = columns
            assert all((meaning, bounded, serves, shown)), line
            for service in services:
                name = match["name"].replace(_PLACEHOLDER, service)
                found.append(Row(service, name, kind, frozenset(_QUOTED.findall(labels)), shown))
    return found


def by_family(service: str) -> dict[str, Row]:
    return {row.family: row for row in rows() if row.service == service}


@dataclass(frozen=True, slots=True)
class Told:
    """A family of a page. `labels`: of its samples, without a histogram's `le`."""

    kind: str
    labels: frozenset[frozenset[str]]


def told_by(page: str) -> dict[str, Told]:
    """The families of a page that have samples."""
    return {
        family.name: Told(family.type, frozenset(frozenset(sample.labels) - {"le"} for sample in family.samples))
        for family in text_string_to_metric_families(page)
        if family.samples
    }


def faults_of(page: str, service: str) -> list[str]:
    """How a page differs from the table, in what it tells."""
    known, faults = by_family(service), []
    for name, told in told_by(page).items():
        row = known.get(name)
        if row is None:
            faults.append(f"{name} of {service} does not stand in docs/metrics.md")
        elif row.kind != told.kind:
            faults.append(f"{name} is a {told.kind}; the table says {row.kind}")
        elif told.labels != {row.labels}:
            faults.append(
                f"{name} has the labels {sorted(map(sorted, told.labels))}; the table says {sorted(row.labels)}"
            )
    return faults


def missing_from(page: str, service: str) -> set[str]:
    """What the table says that a running loop tells, and this page does not."""
    return {name for name, row in by_family(service).items() if row.shown == UP} - told_by(page).keys()
