"""A model's embedding tables behind blocks: reads rows as scoring sees them, makes and updates them for learning."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from martlet.feature_spec import FeatureBlock
from martlet.keys import UNKNOWN_ID, wrap_int64
from martlet.learn import Model
from trainer_svc.id_lookup import NO_ROW, Ids, Int64s, TableLookup
from trainer_svc.row_admission import RowAdmission
from trainer_svc.table.columns import RowType
from trainer_svc.table.embedding_table import EmbeddingTable, RowRule, TableFull
from trainer_svc.table.statistics import TableStatistics

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class RowsRead:
    """What a block's ids are in one table, and their rows.

    Attributes:
        ids: the ids.
        found: int64[K], the row of each id, -1 where it has none.
        gathered: float32[N, width], in the order of `TableLookup.spread`; default rows for ids that have none.
    """

    ids: Ids
    found: Int64s
    gathered: torch.Tensor


class RowStore:
    """The tables of a model. Not thread-safe.

    Attributes:
        tables: by name, in the model's order.
        lookups: in the same order.
        generation: how often a table grew.
    """

    def __init__(self, model: Model, buckets: int, dtype: RowType = "float32") -> None:
        numbers = {space: number for number, space in enumerate(model.spec.salts)}
        self._numbers, self._salts = numbers, model.spec.salts
        by_space = {feature.space: feature for feature in model.spec.features if feature.space}
        self._ttls = [by_space[space].ttl_seconds for space in numbers]
        self._budgets = [(number, model.budgets[space]) for space, number in numbers.items() if space in model.budgets]
        self._nobody = np.array([wrap_int64(UNKNOWN_ID + salt) for salt in model.spec.salts.values()], np.int64)
        # Its thread starts with the first growth, and ends with the store.
        self._helper = ThreadPoolExecutor(1, "table-growth")
        self._admission = RowAdmission([by_space[space].min_count for space in numbers])
        self.lookups = [TableLookup(model.spec, table, numbers) for table in model.tables]
        self.tables = {
            table.name: EmbeddingTable(
                table.name,
                table.width,
                buckets,
                1 + len(table.features),
                optimizer_columns=model.rows.columns(table.width),
                dtype=dtype,
                helper=self._helper,
            )
            for table in model.tables
        }
        self.generation = 0

    def read(self, block: FeatureBlock) -> list[RowsRead]:
        """For each table the rows of the block's ids; changes nothing. The rows are the caller's."""
        return [self._read(*pair, block) for pair in zip(self.lookups, self.tables.values(), strict=True)]

    def learn(
        self, block: FeatureBlock, read: list[RowsRead], gradients: list[Floats], now_s: int, rule: RowRule
    ) -> None:
        """One step of the rows' optimizer, for what was read of the block and changed by nothing since.

        Unknown ids that may have a row get one. What an id teaches when it is new teaches its default row, which it was
        scored with, too: that is what the next unknown id is scored with.
        """
        for position, (lookup, table) in enumerate(zip(self.lookups, self.tables.values(), strict=True)):
            ids, gradient = read[position].ids, gradients[position]
            known = read[position].found >= 0
            allowed = known | self._admitted(ids, known)
            rows = self._rows(table, ids, allowed, now_s, read[position].found)
            target = lookup.spread(ids.placed(rows, table.slots), block)
            born = allowed & ~known & (rows < table.slots)
            if born.any():
                defaults = np.where(born, table.slots + ids.specials, NO_ROW)
                newborn = lookup.spread(ids.placed(defaults, NO_ROW), block)
                chosen = np.flatnonzero(newborn != NO_ROW)
                target = np.concatenate([target, newborn[chosen]])
                gradient = np.concatenate([gradient, gradient[chosen]])
            table.update(target, gradient, rule)
        self._end_step()

    @property
    def statistics(self) -> dict[str, TableStatistics]:
        """What each table counted; spaces in the order of the feature spec's salts."""
        return {name: table.statistics for name, table in self.tables.items()}

    def evict(self, now_s: int) -> int:
        """Frees rows unused for longer than their space's ttl; returns how many."""
        spaces = [(number, ttl) for number, ttl in enumerate(self._ttls) if ttl]
        return sum(table.evict(number, now_s - ttl) for table in self.tables.values() for number, ttl in spaces)

    def remove(self, source: str, value: int) -> int:
        """Frees the rows of one value of a source, in every table and space that reads it; returns how many."""
        removed = 0
        for lookup, table in zip(self.lookups, self.tables.values(), strict=True):
            spaces = {feature.space for feature in lookup.features if feature.source == source}
            for space in sorted(spaces):
                keys = np.array([wrap_int64(value + self._salts[space])], np.int64)
                removed += table.remove(keys, self._numbers[space])
        return removed

    def state(self) -> dict[str, npt.NDArray[np.generic]]:
        """Tables, admission and generation (not copies)."""
        arrays: dict[str, npt.NDArray[np.generic]] = {"generation": np.array(self.generation, np.int64)}
        arrays |= {f"admission/{name}": array for name, array in self._admission.state().items()}
        for table in self.tables.values():
            arrays |= {f"{table.name}/{name}": array for name, array in table.state().items()}
        return arrays

    def restore(self, state: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Takes a state over (copies)."""
        self.generation = int(np.asarray(state["generation"], np.int64))
        self._admission.restore(_part(state, "admission/"))
        for table in self.tables.values():
            table.restore(_part(state, f"{table.name}/"))

    def _read(self, lookup: TableLookup, table: EmbeddingTable, block: FeatureBlock) -> RowsRead:
        ids = lookup.ids(block)
        found = table.find(ids.keys)
        rows = np.where(found < 0, table.slots + ids.specials, found)
        index = lookup.spread(ids.placed(rows, table.slots), block)
        # In torch's own memory, which is always aligned in the same way, so that sums have the same order.
        gathered = torch.empty(index.shape[0], table.width)
        table.gather(index, gathered.numpy())
        return RowsRead(ids, found, gathered)

    def _admitted(self, ids: Ids, known: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        admitted = np.zeros_like(known)
        unknown = np.flatnonzero(~known)
        if unknown.shape[0]:
            keys, spaces = ids.keys[unknown], ids.spaces[unknown]
            admitted[unknown] = self._admission.admit(keys, spaces) & (keys != self._nobody[spaces])
        return admitted

    def _rows(
        self, table: EmbeddingTable, ids: Ids, allowed: npt.NDArray[np.bool_], now_s: int, found: Int64s
    ) -> Int64s:
        """Rows of the ids, default rows for those that may not have one. Grows the table when it is full."""
        table.refuse(ids.spaces[~allowed])
        keys, spaces, specials = ids.keys[allowed], ids.spaces[allowed], ids.specials[allowed]
        known: Int64s | None = found[allowed]
        while True:
            try:
                placed = table.upsert(keys, spaces, specials, now_s, found=known)
            except TableFull:
                table.grow()
                self.generation += 1
                known = None
                continue
            rows = table.slots + ids.specials
            rows[allowed] = placed
            return rows

    def _end_step(self) -> None:
        """Keeps spaces within their limits and lets tables grow: functions of the steps taken, so only here."""
        for table in self.tables.values():
            for space, most in self._budgets:
                table.limit(space, most)
            self.generation += table.end_step()


def _part(state: Mapping[str, npt.NDArray[np.generic]], prefix: str) -> dict[str, npt.NDArray[np.generic]]:
    return {name.removeprefix(prefix): array for name, array in state.items() if name.startswith(prefix)}
