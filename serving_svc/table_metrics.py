"""Sizes of the arenas, read when somebody scrapes. Told by the process that builds them: of a host, the builder."""

from collections import Counter

from prometheus_client import CollectorRegistry

from martlet.runtime.read_gauge import ReadGauge, Readings
from serving_svc.table_view import TableViews


def watch_arenas(tables: TableViews, collectors: CollectorRegistry) -> None:
    """Registers the gauges. A table that is in two arenas, while one follows the other, counts with both."""

    def used() -> Readings:
        found: Counter[tuple[str, ...]] = Counter()
        for table, arena in tables.arenas():
            found[table,] += arena.disk_bytes
        return found

    def buckets() -> Readings:
        found: Counter[tuple[str, ...]] = Counter()
        for table, arena in tables.arenas():
            free = arena.free_buckets
            found[table, "free"] += free
            found[table, "live"] += arena.buckets - free
        return found

    ReadGauge("martlet_serving_arena_bytes", "Arena files, as far as there is disk", ("table",), used, collectors)
    told = "Physical buckets that a loaded version names, and free ones"
    ReadGauge("martlet_serving_arena_buckets", told, ("table", "state"), buckets, collectors)
