"""The files under `sources/`: what a dashboard shows, without what Grafana wants to know beside it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
import yaml

SOURCES: Final = Path(__file__).parent / "sources"
KINDS: Final = ("series", "number", "states", "density")

Colour = Literal["green", "blue", "orange", "red"]


class Query(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A query in PromQL, with the dashboard's variables in it, and what its series are called."""

    query: str
    legend: str


class Chart(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A panel.

    Attributes:
        kind: `series`, lines over time; `number`, the newest value; `states`, bars of states over time; `density`, how
            many calls took how long, of one query: a histogram's rate by `le`.
        tells: what one sees, and what to think of it.
        unit: Grafana's name of it: `s`, `bytes`, `percentunit`, `reqps`, `eps`, `short`.
        limits: {from this value on: colour}, ascending; before the first all is well (`green`).
        low_is_bad: each colour is of what lies below its value instead.
        width: of 24 columns.
        least, most: the axis' ends, where they are known.
        decimals: of a `number`.
        stacked: the series are parts of a whole.
        words: of `states`, {value: (word, colour)}.
    """

    kind: Literal["series", "number", "states", "density"]
    title: str
    tells: str
    unit: str
    queries: Sequence[Query]
    limits: Mapping[float, Colour] = {}
    low_is_bad: bool = False
    width: int = 8
    least: float | None = 0.0
    most: float | None = None
    decimals: int = 0
    stacked: bool = False
    words: Mapping[str, tuple[str, Colour]] = {}


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Panels under a title."""

    title: str
    panels: Sequence[Chart]


class Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A dashboard.

    Attributes:
        variables: of `namespace`, `model`, `version`, `instance`, those that its queries use.
    """

    uid: str
    title: str
    tells: str
    variables: Sequence[str]
    rows: Sequence[Row]


def sources(folder: Path = SOURCES) -> list[Source]:
    """All of them, by file name.

    Raises:
        msgspec.ValidationError: a file has a field that there is not, or lacks one.
    """
    return [_source(yaml.safe_load(path.read_text())) for path in sorted(folder.glob("*.yaml"))]


def _source(document: dict[str, Any]) -> Source:
    rows = [{"title": row["row"], "panels": [_chart(panel) for panel in row["panels"]]} for row in document["rows"]]
    return msgspec.convert({**document, "rows": rows}, Source)


def _chart(panel: dict[str, Any]) -> dict[str, Any]:
    """Files name a panel's kind by the key of its title."""
    (kind,) = [kind for kind in KINDS if kind in panel]
    return {**{name: value for name, value in panel.items() if name != kind}, "kind": kind, "title": panel[kind]}
