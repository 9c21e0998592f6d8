"""A line for each version: its parent, its place, its reason."""

import io

from rich.console import Console

from martlet.version_views import CatalogRow, catalog_table, documents, rows
from martlet.versions import CatalogState, VersionRecord
from tests.unit.cli.samples import NOW_US, SCREEN

LONG = "descends from what was taken back with 4: " + "worse than the pin " * 9


def record(version: int, state: CatalogState, reason: str = "") -> VersionRecord:
    parent, published = chr(ord("a") + version - 1) * 64 if version > 5 else "", NOW_US - version * 60_000_000
    return VersionRecord("shop", version, chr(ord("a") + version) * 64, parent, 2, state, reason, "delta", published)


RECORDS = [
    record(3, CatalogState.QUARANTINED, LONG),
    record(4, CatalogState.REJECTED, "NaN in [t8.rows]"),
    record(5, CatalogState.PINNED),
    record(6, CatalogState.ADMITTED),
    record(7, CatalogState.ADMITTED),
]


def lines(found: list[CatalogRow], width: int) -> list[str]:
    to = Console(file=io.StringIO(), width=width, color_system=None)
    to.print(catalog_table(found, width, NOW_US))
    assert isinstance(to.file, io.StringIO)
    return to.file.getvalue().splitlines()


def test_each_version_has_its_parent_and_its_place() -> None:
    found = rows(RECORDS, SCREEN)
    assert [row.parent_version for row in found] == [0, 0, 0, 5, 6]
    assert [row.places for row in found] == [(), (), ("pin",), ("candidate",), ("head",)]
    assert [row.weight for row in found] == [0, 0, 1000, 0, 9000]


def test_without_a_lane_nothing_has_a_place() -> None:
    assert [row.places for row in rows(RECORDS[:2], None)] == [(), ()]


def test_a_line_tells_state_age_place_and_reason() -> None:
    table = [" ".join(line.split()) for line in lines(rows(RECORDS, SCREEN), 120)]
    assert table[2] == "4 REJECTED delta 2 - 4m eeeeeeeeeeee NaN in [t8.rows]"
    assert table[5] == "7 ADMITTED delta 2 6 7m hhhhhhhhhhhh head, 90 % of the answers"


def test_quarantined_crowds_take_a_line_each_and_others_tell_their_reason_in_full() -> None:
    full = [record(3, CatalogState.QUARANTINED, LONG), record(4, CatalogState.ROLLED_BACK, LONG)]
    narrow = lines(rows(full, None), 80)
    assert max(len(line) for line in narrow) <= 80
    assert narrow[1].rstrip().endswith("…")
    told = " ".join(" ".join(line.split()) for line in narrow[2:])
    assert told.count("worse than the pin") + told.count("worse than the") >= 9
    assert "digest" not in narrow[0]


def test_documents_keep_the_record_and_add_the_place() -> None:
    told = documents(rows(RECORDS, SCREEN))[4]
    assert (told["state"], told["digest"], told["parent_version"]) == ("admitted", "h" * 64, 6)
    assert (told["places"], told["weight"]) == (["head"], 9000)
    assert "manifest" not in told
