"""Examples that are kept: their values as they were learned, in arrays of one size, so that a checkpoint holds them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from martlet.feature_spec import FeatureBlock, FeatureLayout
from trainer_svc.batch import Batch
from trainer_svc.labelled_rows import Examples

Arrays = dict[str, npt.NDArray[Any]]
Slots = npt.NDArray[np.int64]
Column = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Origins:
    """Where examples come from.

    Attributes:
        users: uint64[n], whose they are (`RecordedPrediction.user_key`).
        times_us: int64[n], event time of their predictions.
    """

    users: npt.NDArray[np.uint64]
    times_us: npt.NDArray[np.int64]

    def at(self, rows: npt.NDArray[np.generic]) -> "Origins":
        """Those of some examples."""
        return Origins(self.users[rows], self.times_us[rows])


def origins_of(examples: Examples) -> Origins:
    """The origins of examples."""
    counts = [len(group) for group in examples]
    users = np.array([group.prediction.user_key for group in examples], np.uint64)
    times = np.array([group.prediction.time_us for group in examples], np.int64)
    return Origins(np.repeat(users, counts), np.repeat(times, counts))


class StoredExamples:
    """At most `capacity` examples in slots 0, 1, ... Not thread-safe."""

    def __init__(self, layout: FeatureLayout, capacity: int) -> None:
        self.capacity = capacity
        self.count = 0
        self._columns: Arrays = {
            "user_ids": np.zeros((capacity, layout.user_id_columns), np.int64),
            "user_numbers": np.zeros((capacity, layout.user_number_columns), np.float32),
            "item_ids": np.zeros((capacity, layout.item_id_columns), np.int64),
            "item_numbers": np.zeros((capacity, layout.item_number_columns), np.float32),
            "labels": np.zeros(capacity, np.float32),
            "weights": np.zeros(capacity, np.float32),
            "offsets": np.zeros(capacity, np.float32),
            "insertions": np.zeros(capacity, np.uint8),
            "late": np.ones(capacity, np.float32),
            "users": np.zeros(capacity, np.uint64),
            "times_us": np.zeros(capacity, np.int64),
        }

    def __len__(self) -> int:
        """Examples kept."""
        return self.count

    def put(self, slots: Slots, batch: Batch, origins: Origins, rows: Slots) -> None:
        """Puts some rows of a batch into slots; of rows with the same slot the last one stays."""
        if not slots.shape[0]:
            return
        self._fit_labels(batch)
        _, last = np.unique(slots[::-1], return_index=True)
        kept = slots.shape[0] - 1 - last
        slots, rows = slots[kept], rows[kept]
        block = batch.block
        owners = block.row_of_user[rows]
        values = {
            "user_ids": block.user_ids[owners],
            "user_numbers": block.user_numbers[owners],
            "item_ids": block.item_ids[rows],
            "item_numbers": block.item_numbers[rows],
            "labels": batch.labels[rows],
            "weights": batch.weights[rows],
            "offsets": 0 if batch.offsets is None else batch.offsets[rows],
            "insertions": 0 if batch.insertions is None else batch.insertions[rows],
            "late": 1 if batch.late is None else batch.late[rows],
            "users": origins.users[rows],
            "times_us": origins.times_us[rows],
        }
        for name, value in values.items():
            self._columns[name][slots] = value
        self.count = max(self.count, int(slots.max()) + 1)

    def take(self, slots: Slots) -> tuple[Batch, Origins]:
        """Copies of the examples in some slots, each with a user row of its own."""
        got = {name: column[slots] for name, column in self._columns.items()}
        block = FeatureBlock(
            got["user_ids"], got["user_numbers"], got["item_ids"], got["item_numbers"], np.arange(slots.shape[0])
        )
        offsets = got["offsets"] if got["offsets"].any() else None
        insertions = got["insertions"] if got["insertions"].any() else None
        late = got["late"] if (got["late"] != 1).any() else None
        batch = Batch(block, got["labels"], got["weights"], offsets, insertions, late)
        return batch, Origins(got["users"], got["times_us"])

    def forget(self, user: int) -> None:
        """Drops a user's examples; those behind them move up."""
        keep = np.flatnonzero(self._columns["users"][: self.count] != np.uint64(user))
        for column in self._columns.values():
            column[: keep.shape[0]] = column[keep]
            column[keep.shape[0] :] = 0
        self.count = keep.shape[0]

    def clear(self) -> None:
        """Drops all."""
        for column in self._columns.values():
            column[:] = 0
        self.count = 0

    def state(self) -> Arrays:
        """All of it (not copies)."""
        return self._columns | {"count": np.array(self.count, np.int64)}

    def restore(self, state: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Takes a state over (copies)."""
        self._columns = {name: np.array(state[name]) for name in self._columns}
        self.count = int(np.asarray(state["count"], np.int64))

    def _fit_labels(self, batch: Batch) -> None:
        """Labels have as many tasks as the first batch shows."""
        if self._columns["labels"].ndim != batch.labels.ndim:
            self._columns["labels"] = np.zeros((self.capacity, *batch.labels.shape[1:]), np.float32)


def joined(batch: Batch, more: Batch) -> Batch:
    """Both batches as one, the rows of the first in front."""
    if not more.size:
        return batch
    one, other = batch.block, more.block
    block = FeatureBlock(
        np.concatenate([one.user_ids, other.user_ids]),
        np.concatenate([one.user_numbers, other.user_numbers]),
        np.concatenate([one.item_ids, other.item_ids]),
        np.concatenate([one.item_numbers, other.item_numbers]),
        np.concatenate([one.row_of_user, other.row_of_user + one.user_ids.shape[0]]),
    )
    return replace(
        batch,
        block=block,
        labels=np.concatenate([batch.labels, more.labels]),
        weights=np.concatenate([batch.weights, more.weights]),
        offsets=_beside(batch, batch.offsets, more, more.offsets),
        insertions=_beside(batch, batch.insertions, more, more.insertions),
        late=_beside(batch, batch.late, more, more.late, 1),
    )


def rows_of(batch: Batch, rows: npt.NDArray[np.int64]) -> Batch:
    """Some examples of a batch."""
    block = batch.block
    kept = replace(
        block,
        item_ids=block.item_ids[rows],
        item_numbers=block.item_numbers[rows],
        row_of_user=block.row_of_user[rows],
    )
    return replace(
        batch,
        block=kept,
        labels=batch.labels[rows],
        weights=batch.weights[rows],
        offsets=None if batch.offsets is None else batch.offsets[rows],
        insertions=None if batch.insertions is None else batch.insertions[rows],
        late=None if batch.late is None else batch.late[rows],
    )


def main_labels(batch: Batch) -> npt.NDArray[np.float32]:
    """The labels of the main task, float32[n]."""
    return batch.labels if batch.labels.ndim == 1 else batch.labels[:, 0]


def _beside(one: Batch, own: Column | None, other: Batch, more: Column | None, lacking: int = 0) -> Column | None:
    """Two optional columns as one; `lacking` for what one of them lacks."""
    given = own if own is not None else more
    if given is None:
        return None
    parts = (
        np.full(batch.size, lacking, given.dtype) if column is None else column
        for batch, column in ((one, own), (other, more))
    )
    return np.concatenate([*parts])
