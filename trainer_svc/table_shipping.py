"""What a version carries of the tables, and how exactly.

A delta carries the slots that changed since the last acknowledged version. Where rows travel inexactly (as int8, or as
float16 of a float32 table), every `repair_every`-th delta of a chain is exact and carries, too, all rows that were
shipped inexactly since the last exact one: after it what is served is the trainer's table, bit for bit. The trainer's
own rows are never rounded.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

import numpy as np
import numpy.typing as npt

from martlet.errors import InvalidInput
from martlet.manifest import TableManifest, VersionKind
from martlet.row_encoding import RowEncoding, as_served
from martlet.table_blobs import places
from martlet.table_layout import SLOTS
from trainer_svc.delta_tracker import Touched
from trainer_svc.training_ports import Arrays, TablePort
from trainer_svc.version_builder import TableChange, TableSnapshot

Masks = npt.NDArray[np.uint8]
_CHUNK: Final = 1 << 13  # rows rounded at once: what fits a cache


class TableShipping:
    """Which rows are served inexactly. Changes only with versions, which are journalled. Not thread-safe.

    Args:
        encoding: how a delta's rows travel.
        repair_every: every so many deltas of a chain are exact.

    Raises:
        InvalidInput: no such encoding, or repairs that never come.
    """

    def __init__(self, encoding: str, repair_every: int) -> None:
        if encoding not in set(RowEncoding):
            raise InvalidInput(f"bad setting: trainer.delta_encoding {encoding!r} is none of {', '.join(RowEncoding)}")
        if repair_every < 1:
            raise InvalidInput(f"bad setting: trainer.exact_repair_every must be 1 or more, not {repair_every}")
        self._encoding = RowEncoding(encoding)
        self._repair_every = repair_every
        self._inexact: dict[str, Masks] = {}  # by table: uint8[n], bit p: the row in place p is served inexactly
        self._exact_now: frozenset[str] = frozenset()  # tables that the version under way carries exactly

    def cut(
        self, tables: Iterable[TablePort], head: tuple[TableManifest, ...] | None, kind: VersionKind
    ) -> tuple[TableSnapshot | TableChange, ...]:
        """Copies what the next version carries of each table; `head`: the tables of its parent, if it extends them."""
        parents = {} if kind is VersionKind.SNAPSHOT or head is None else {parent.name: parent for parent in head}
        parts = tuple(self._cut(table, parents.get(table.name)) for table in tables)
        exact = [part for part in parts if isinstance(part, TableSnapshot) or part.is_exact]
        self._exact_now = frozenset(part.name for part in exact)
        return parts

    def acknowledged(self, tables: Iterable[TableManifest]) -> None:
        """A version with these tables is what the next one extends."""
        for table in tables:
            if len(table.deltas) % self._repair_every == 0:
                self._inexact.pop(table.name, None)

    @contextmanager
    def as_published(self, tables: Iterable[TablePort]) -> Iterator[None]:
        """Inside, the tables hold what the version that was cut last serves; after it their own rows again."""
        kept: list[tuple[TablePort, npt.NDArray[np.int64], npt.NDArray[np.generic]]] = []
        try:
            for table in tables:
                mask = None if table.name in self._exact_now else self._inexact.get(table.name)
                slots = _slots(mask) if mask is not None else np.empty(0, np.int64)
                for start in range(0, slots.shape[0], _CHUNK):
                    chunk = slots[start : start + _CHUNK]
                    own = table.rows[chunk]
                    kept.append((table, chunk, own))
                    table.rows[chunk] = as_served(own, self._encoding)
            yield
        finally:
            for table, chunk, own in kept:
                table.rows[chunk] = own

    def state(self) -> Arrays:
        """Everything that later versions depend on, as arrays (not copies)."""
        return dict(self._inexact)

    def restore(self, state: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Takes a state over (copies)."""
        self._inexact = {name: np.array(mask, np.uint8) for name, mask in state.items()}
        self._exact_now = frozenset()

    def _cut(self, table: TablePort, parent: TableManifest | None) -> TableSnapshot | TableChange:
        touched = table.tracker.take()
        if parent is None:
            return TableSnapshot(table.name, table.width, table.base())
        if self._encoding.is_exact(parent.dtype):
            return TableChange(parent, table.changed(touched))
        mask = self._inexact.setdefault(table.name, np.zeros(parent.buckets, np.uint8))
        if (len(parent.deltas) + 1) % self._repair_every == 0:
            return TableChange(parent, table.changed(_joined(touched, mask)))
        # Noted before anybody has acknowledged it: a row that does not arrive now is still marked, and goes out again.
        mask[touched.buckets] |= touched.rows
        return TableChange(parent, table.changed(touched), self._encoding)


def _joined(touched: Touched, mask: Masks) -> Touched:
    """The touched slots, and the rows of the mask."""
    rows, keys = mask.copy(), np.zeros_like(mask)
    rows[touched.buckets] |= touched.rows
    keys[touched.buckets] = touched.keys
    buckets = np.flatnonzero(rows | keys)
    return Touched(buckets.astype(np.int32), rows[buckets], keys[buckets])


def _slots(mask: Masks) -> npt.NDArray[np.int64]:
    buckets = np.flatnonzero(mask)
    chosen, place = places(mask[buckets])
    return np.asarray(buckets[chosen] * SLOTS + place, np.int64)
