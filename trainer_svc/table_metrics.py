"""Series about the embedding tables. As many as the model has tables and key spaces, no more.

They are gauges: what they show is part of the state, and goes back with it when learning goes back to a version.
"""

from typing import Final

from prometheus_client import CollectorRegistry, Gauge

from trainer_svc.learner_figures import LearnerFigures, TableFigures
from trainer_svc.table.statistics import SpaceStatistics

_TABLE: Final = {
    "rows": "Rows held",
    "slots": "Rows there is room for",
    "bytes": "Memory of the table",
    "growths": "How often it grew",
}


class TableMetrics:
    """The series. Written by the loop's thread."""

    def __init__(self, collectors: CollectorRegistry) -> None:
        self._tables = {
            name: Gauge(f"martlet_trainer_table_{name}", told, ["model", "table"], registry=collectors)
            for name, told in _TABLE.items()
        }
        self._rows = Gauge(
            "martlet_trainer_table_space_rows", "Rows held, by key space", ["model", "table", "space"],
            registry=collectors,
        )  # fmt: skip
        self._ids = Gauge(
            "martlet_trainer_table_ids", "Ids, and occurrences of ids, by what became of them",
            ["model", "table", "space", "fate"], registry=collectors,
        )  # fmt: skip
        self._skipped = Gauge(
            "martlet_trainer_skipped_batches", "Batches not learned because a number was none", ["model"],
            registry=collectors,
        )  # fmt: skip

    def show(self, model: str, figures: LearnerFigures) -> None:
        """Takes new figures over."""
        self._skipped.labels(model).set(figures.skipped)
        for name, table in figures.tables.items():
            self._show(model, name, table)

    def _show(self, model: str, name: str, table: TableFigures) -> None:
        found = table.statistics
        values = (found.rows, found.slots, table.memory, found.grown)
        for gauge, value in zip(self._tables.values(), values, strict=True):
            gauge.labels(model, name).set(value)
        for space, counts in zip(table.spaces, found.spaces, strict=False):  # a space without an id is not counted yet
            self._rows.labels(model, name, space).set(counts.rows)
            for fate, count in _fates(counts).items():
                self._ids.labels(model, name, space, fate).set(count)


def _fates(counts: SpaceStatistics) -> dict[str, int]:
    return {
        "admitted": counts.admitted,
        "refused": counts.refused,
        "evicted": counts.evicted,
        "collided": counts.collisions,
        "defaulted": counts.defaulted,
    }
