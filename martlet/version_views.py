"""What `martlet versions` shows: a model's catalog, and the place that each version has now."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from rich.console import RenderableType
from rich.text import Text

from martlet.client.registry import RegistryClient
from martlet.errors import NotFound
from martlet.rollout_views import RolloutReader, RolloutScreen, standings
from martlet.tables import age, share_text, table
from martlet.versions import CatalogState, VersionRecord
from martlet.views import POLICY, Places, plain

SHOWN_DIGEST: Final = 12
DIGEST_FROM_WIDTH: Final = 100
STYLES: Final[Mapping[CatalogState, str]] = {
    CatalogState.PINNED: "bold green",
    CatalogState.ADMITTED: "cyan",
    CatalogState.RETIRED: "dim",
    CatalogState.REJECTED: "yellow",
    CatalogState.ROLLED_BACK: "bold red",
    CatalogState.QUARANTINED: "magenta",
    CatalogState.EXPIRED: "dim",
}


@dataclass(frozen=True, slots=True)
class CatalogRow:
    """One version and where it stands now.

    Attributes:
        parent_version: 0: none, or none that the catalog knows.
        places: what it is now (head, pin, candidate, structural ...); empty: nothing any more.
        weight: its share of the answers, in buckets of 10,000.
    """

    record: VersionRecord
    parent_version: int
    places: tuple[str, ...]
    weight: int


async def catalog(places: Places, model: str, last: int) -> list[CatalogRow]:
    """The catalog of a model, oldest first; `last` keeps only so many of the newest, 0 keeps all.

    Raises:
        NotFound: no such model.
    """
    client = RegistryClient(places.registry, places.token, POLICY, places.tls)
    try:
        records = await client.versions(model)
    finally:
        await client.close()
    if not records:
        raise NotFound(f"no model {model!r}")
    async with RolloutReader(places) as reader:
        try:
            screen = await reader.read(model, 0)
        except NotFound:  # all that was ever offered was refused
            screen = None
    return rows(records, screen)[-last:]


def rows(records: Sequence[VersionRecord], screen: RolloutScreen | None) -> list[CatalogRow]:
    """Each record with its parent's number and its place; `screen` None: nothing of the model serves."""
    numbers = {record.digest: record.version for record in records}
    places = standings(screen.view) if screen is not None else {}
    weights = {one.version: one.weight for one in screen.versions} if screen is not None else {}
    return [
        CatalogRow(
            record,
            numbers.get(record.parent_digest, 0),
            places.get(record.version, ()),
            weights.get(record.version, 0),
        )
        for record in records
    ]


def documents(found: Sequence[CatalogRow]) -> list[dict[str, Any]]:
    """The catalog as JSON."""
    return [
        {
            **plain(asdict(row.record)),
            "parent_version": row.parent_version,
            "places": list(row.places),
            "weight": row.weight,
        }
        for row in found
    ]


def catalog_table(found: Sequence[CatalogRow], width: int, now_us: int) -> RenderableType:
    """A line for each version. Its digest is left out where the width (columns) would cut its reason too short."""
    digest = ("digest",) if width >= DIGEST_FROM_WIDTH else ()
    lines = table(">version", "state", "kind", ">epoch", ">parent", ">age", *digest, "now, or why")
    for row in found:
        record = row.record
        lines.add_row(
            str(record.version),
            Text(record.state.name, STYLES.get(record.state, "")),
            Text(record.kind),
            str(record.epoch),
            str(row.parent_version or "-"),
            age((now_us - record.published_time_us) / 1e6),
            *([Text(record.digest[:SHOWN_DIGEST], "dim")] if digest else []),
            _now(row),
        )
    return lines


def _now(row: CatalogRow) -> Text:
    place = " + ".join(row.places)
    if row.weight:
        place += f", {share_text(row.weight)} of the answers"
    if not row.record.reason:
        return Text(place, "bold")
    told = Text(f"{place}: {row.record.reason}" if place else row.record.reason)
    if row.record.state is CatalogState.QUARANTINED:
        # They go in crowds, all for the same reason; it stands in full beside the one that was rolled back.
        told.no_wrap, told.overflow = True, "ellipsis"
    return told
