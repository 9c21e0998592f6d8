"""What the joiner keeps of predictions: where each stands in the log, how it stands, what came about which of its rows.

Columns, not objects, so that millions of open predictions cost some fifty bytes each beside the index, and a checkpoint
takes them as they are.
"""

from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
import xxhash

from trainer_svc.event_source import Place

Arrays = dict[str, npt.NDArray[np.generic]]
_LEAST: Final = 32
_NEVER: Final = np.iinfo(np.int64).max
_MASKED_ROWS: Final = 63  # marks of the first rows are bits of an int64; those of others stand apart
Column = npt.NDArray[Any]  # of several dtypes, handled alike
# Made once, at import: two threads must not learn a type at the same moment (see `trainer_svc.journal`).
_NAMES: Final = msgspec.msgpack.Decoder(list[str])
_DTYPES: Final = (np.uint64, np.int32, np.int64, np.int64, np.int64, np.uint8, np.int64, np.uint8)


class _Columns(NamedTuple):
    """One entry a prediction.

    Attributes:
        names: uint64, of their ids.
        partitions: int32.
        starts, times_us: int64.
        dues_us: int64; a forgotten one's is never.
        standings: uint8.
        labels: int64[n, marks], bits of the first rows that have a mark: a label, or what else the joiner notes.
        stages: uint8, how many of its appointed times are over.
    """

    names: Column
    partitions: Column
    starts: Column
    times_us: Column
    dues_us: Column
    standings: Column
    labels: Column
    stages: Column


class Standing(IntEnum):
    """What a prediction is to this trainer."""

    OPEN = 0
    CLOSED = 1  # its window is over
    OTHER_MODEL = 2
    OTHER_SPEC = 3
    FORGOTTEN = 4  # its user is
    BOT = 5  # its user is one
    BACKFILLED = 6  # learned already, of a history from elsewhere


class HeldPredictions:
    """Predictions by their ids, in the order in which they came. Not thread-safe.

    Ids are kept as XXH3-64: among 6 million of them, two share a hash with probability 1e-6. Slots are what `find` and
    `due` give; they hold until `tidy` is called.

    Args:
        window_us: the attribution window. A prediction is due at its end if it is open; others are after two of them.
        earlier_us: an open one is due at these times, too: ascending, from its own time, none after the window's end.
        marks: how many kinds of marks a row may have.
    """

    def __init__(self, window_us: int, earlier_us: Sequence[int] = (), marks: int = 1) -> None:
        self._window_us = window_us
        self._times_us = (*earlier_us, window_us)
        self._marks = marks
        self._columns = _blank(_LEAST, marks)
        self._used = 0
        self._index: dict[int, int] = {}
        self._partitions: list[str] = []
        self._far_labels: dict[int, set[tuple[int, int]]] = {}
        self._next_due_us = _NEVER

    def __len__(self) -> int:
        """Predictions kept."""
        return len(self._index)

    @property
    def next_due_us(self) -> int | None:
        """When, in event time, the first of them is due."""
        return None if self._next_due_us == _NEVER else self._next_due_us

    def find(self, prediction_id: str) -> int:
        """The slot of a prediction, or -1."""
        return self._index.get(_name(prediction_id), -1)

    def add(self, prediction_id: str, place: Place, time_us: int, standing: Standing) -> int:
        """Keeps a prediction; gives its slot, or -1 if it is kept already."""
        name, slot = _name(prediction_id), self._used
        if self._index.setdefault(name, slot) != slot:
            return -1
        if slot == self._columns.names.shape[0]:
            self._columns = _room(self._columns, 2 * slot)
        due = time_us + (self._times_us[0] if standing is Standing.OPEN else 2 * self._window_us)
        entry = (name, self._partition(place.partition), place.start, time_us, due, standing, 0, 0)
        for column, value in zip(self._columns, entry, strict=True):
            column[slot] = value
        self._used += 1
        self._next_due_us = min(self._next_due_us, due)
        return slot

    def place(self, slot: int) -> Place:
        """Where it stands in the log."""
        return Place(self._partitions[self._columns.partitions[slot]], int(self._columns.starts[slot]))

    def standing(self, slot: int) -> int:
        """How it stands."""
        return int(self._columns.standings[slot])

    def time_us(self, slot: int) -> int:
        """Its event time."""
        return int(self._columns.times_us[slot])

    def name(self, slot: int) -> int:
        """The hash of its id, 64 bits."""
        return int(self._columns.names[slot])

    def stage(self, slot: int) -> int:
        """How many of its appointed times are over."""
        return int(self._columns.stages[slot])

    def pass_stage(self, slot: int) -> int:
        """One of an open prediction's times is over: gives its number; after the last it is closed."""
        stage = int(self._columns.stages[slot])
        self._columns.stages[slot] = stage + 1
        if stage + 1 == len(self._times_us):
            self.close(slot)
        else:
            self._columns.dues_us[slot] = self._columns.times_us[slot] + self._times_us[stage + 1]
        return stage

    def due(self, watermark_us: int) -> list[int]:
        """Slots of those that are due, the longest due first; of equal ones in the order in which they came."""
        if self._next_due_us > watermark_us:
            return []
        dues = self._columns.dues_us[: self._used]
        found = np.flatnonzero(dues <= watermark_us)
        order: list[int] = found[np.argsort(dues[found], kind="stable")].tolist()
        return order

    def close(self, slot: int) -> None:
        """Its window is over. It is remembered for a second one."""
        self._columns.standings[slot] = Standing.CLOSED
        self._columns.dues_us[slot] = self._columns.times_us[slot] + 2 * self._window_us

    def open(self) -> list[int]:
        """Slots of those whose window is not over, in the order in which they came."""
        kept = self._columns.dues_us[: self._used] != _NEVER
        slots: list[int] = np.flatnonzero(kept & (self._columns.standings[: self._used] == Standing.OPEN)).tolist()
        return slots

    def disown(self, slot: int) -> None:
        """Its user is forgotten: it is learned no more, and remembered only so that its outcomes are known by it."""
        self._columns.standings[slot] = Standing.FORGOTTEN
        self._columns.dues_us[slot] = self._columns.times_us[slot] + 2 * self._window_us

    def forget(self, slot: int) -> None:
        """Drops a prediction."""
        name = int(self._columns.names[slot])
        del self._index[name]
        self._far_labels.pop(name, None)
        self._columns.dues_us[slot] = _NEVER

    def label(self, slot: int, row: int, mark: int = 0) -> bool:
        """Notes that a row has a mark, such as a label; False: it had it."""
        if self.has(slot, row, mark):
            return False
        if row < _MASKED_ROWS:
            self._columns.labels[slot, mark] |= 1 << row
        else:
            self._far_labels.setdefault(int(self._columns.names[slot]), set()).add((mark, row))
        return True

    def has(self, slot: int, row: int, mark: int = 0) -> bool:
        """Whether a row has a mark."""
        if row < _MASKED_ROWS:
            return bool(int(self._columns.labels[slot, mark]) >> row & 1)
        return (mark, row) in self._far_labels.get(int(self._columns.names[slot]), ())

    def labelled(self, slot: int, mark: int = 0) -> list[int]:
        """The rows that have a mark, ascending."""
        mask, rows = int(self._columns.labels[slot, mark]), list[int]()
        while mask:
            rows.append((mask & -mask).bit_length() - 1)
            mask &= mask - 1
        if not self._far_labels:
            return rows
        return rows + sorted(row for one, row in self._far_labels.get(self.name(slot), ()) if one == mark)

    def tidy(self) -> None:
        """Call it when what was due is dealt with: slots may change."""
        if self._used > _LEAST and self._used > 2 * len(self._index):
            self._take(self._kept())
        dues = self._columns.dues_us[: self._used]
        self._next_due_us = int(dues.min()) if self._used else _NEVER

    def state(self) -> Arrays:
        """All of it, in arrays of their own; equal content that came in equal order gives equal ones."""
        far = sorted((name, mark, row) for name, rows in self._far_labels.items() for mark, row in rows)
        table = np.array(far, np.uint64).reshape(len(far), 3)
        kept = self._kept()
        if self._marks == 1:  # as it was when there were labels alone
            kept, table = kept._replace(labels=kept.labels[:, 0]), table[:, [0, 2]]
        return dict(kept._asdict()) | {
            "far_labels": table,
            "partition_names": np.frombuffer(msgspec.msgpack.encode(self._partitions), np.uint8),
        }

    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Takes a state over."""
        columns = {name: state[name] for name in _Columns._fields if name in state}
        columns["labels"] = columns["labels"].reshape(columns["names"].shape[0], self._marks)
        columns.setdefault("stages", np.zeros(columns["names"].shape[0], np.uint8))  # what older releases wrote
        self._take(_Columns(**columns))
        self._partitions = _NAMES.decode(state["partition_names"].tobytes())
        self._far_labels = {}
        for name, *marks, row in state["far_labels"].tolist():
            self._far_labels.setdefault(name, set()).add((marks[0] if marks else 0, row))
        self.tidy()

    def _kept(self) -> _Columns:
        """The columns of those that are not forgotten."""
        kept = np.flatnonzero(self._columns.dues_us[: self._used] != _NEVER)
        return _Columns(*(column[kept] for column in self._columns))

    def _take(self, columns: _Columns) -> None:
        self._used = columns.names.shape[0]
        self._columns = _room(columns, max(_LEAST, 2 * self._used))
        self._index = dict(zip(columns.names.tolist(), range(self._used), strict=True))

    def _partition(self, name: str) -> int:
        if name not in self._partitions:
            self._partitions.append(name)
        return self._partitions.index(name)


def _blank(size: int, marks: int) -> _Columns:
    columns = _Columns(*(np.zeros(size, dtype) for dtype in _DTYPES))
    return columns._replace(labels=np.zeros((size, marks), np.int64))


def _room(columns: _Columns, size: int) -> _Columns:
    """A copy with room for so many."""
    room = _blank(size, columns.labels.shape[1])
    for column, values in zip(room, columns, strict=True):
        column[: values.shape[0]] = values
    return room


def _name(prediction_id: str) -> int:
    return xxhash.xxh3_64_intdigest(prediction_id.encode())
