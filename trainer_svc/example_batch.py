"""Examples as one batch for the learner: raw bytes joined, seen as arrays, then one gather of the rows."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from martlet.feature_spec import LAST_POSITION, FeatureBlock, FeatureLayout
from martlet.wire.recorded import RecordedPrediction
from trainer_svc.batch import Batch
from trainer_svc.labelled_rows import Examples, LabelledRows

Floats = npt.NDArray[np.float32]
_FEW: Final = 4


def batch_of(examples: Examples, layout: FeatureLayout, tasks: int = 1) -> Batch:
    """A batch; neighbouring examples of one prediction share its user row. `tasks`: of the label."""
    pieces = _Pieces(layout)
    for group in examples:
        pieces.add(group)
    counts = [len(group) for group in examples]
    labels = np.concatenate([group.labels for group in examples])
    if tasks > 1:
        labels = _by_task(labels, np.repeat([group.task for group in examples], counts), tasks)
    weights = np.ones(labels.shape[0], np.float32)
    if any(group.weight != 1 for group in examples):
        weights = np.repeat(np.array([group.weight for group in examples], np.float32), counts)
    offsets = insertions = None
    if any(group.offset for group in examples):
        offsets = np.repeat(np.array([group.offset for group in examples], np.float32), counts)
    if any(group.insertion for group in examples):
        insertions = np.repeat(np.array([group.insertion for group in examples], np.uint8), counts)
    block = pieces.block()
    for column in layout.position_columns:
        block.item_ids[:, column] = np.minimum(np.concatenate([group.rows for group in examples]), LAST_POSITION)
    return Batch(block, labels, weights, offsets, insertions)


def _by_task(labels: Floats, tasks: npt.NDArray[np.int64], count: int) -> Floats:
    """Labels in the columns of their tasks, NaN elsewhere: float32[n, count]."""
    spread = np.full((labels.shape[0], count), np.nan, np.float32)
    spread[np.arange(labels.shape[0]), tasks] = labels
    return spread


class _Pieces:
    """The bytes that a block is made of. A few rows of many are cut out, else all are taken, and chosen from."""

    def __init__(self, layout: FeatureLayout) -> None:
        self._layout = layout
        self._sizes = (8 * layout.item_id_columns, 4 * layout.item_number_columns)
        self._users: list[RecordedPrediction] = []
        self._ids: list[bytes] = []
        self._numbers: list[bytes] = []
        self._rows: list[npt.NDArray[np.int64]] = []
        self._owners: list[int] = []
        self._counts: list[int] = []
        self._taken = 0

    def add(self, group: LabelledRows) -> None:
        """Adds examples."""
        prediction, count = group.prediction, len(group)
        if not self._users or self._users[-1] is not prediction:
            self._users.append(prediction)
        self._owners.append(len(self._users) - 1)
        self._counts.append(count)
        ids, numbers = prediction.item_ids, prediction.item_numbers
        if _FEW * count < prediction.rows:
            for row in group.rows.tolist():
                self._ids.append(_row(ids, row, self._sizes[0]))
                self._numbers.append(_row(numbers, row, self._sizes[1]))
            self._rows.append(np.arange(self._taken, self._taken + count))
            self._taken += count
        else:
            self._ids.append(ids)
            self._numbers.append(numbers)
            self._rows.append(group.rows + self._taken)
            self._taken += prediction.rows

    def block(self) -> FeatureBlock:
        """The block of all examples that were added."""
        layout, users, rows = self._layout, self._users, np.concatenate(self._rows)
        return FeatureBlock(
            _ids([user.user_ids for user in users], len(users), layout.user_id_columns),
            _numbers([user.user_numbers for user in users], len(users), layout.user_number_columns),
            _ids(self._ids, self._taken, layout.item_id_columns)[rows],
            _numbers(self._numbers, self._taken, layout.item_number_columns)[rows],
            np.repeat(self._owners, self._counts),
        )


def whole_block(predictions: Sequence[RecordedPrediction], layout: FeatureLayout) -> FeatureBlock:
    """All rows of whole predictions."""
    counts = np.array([prediction.rows for prediction in predictions], np.int64)
    r, n = len(predictions), int(counts.sum())
    return FeatureBlock(
        _ids([one.user_ids for one in predictions], r, layout.user_id_columns),
        _numbers([one.user_numbers for one in predictions], r, layout.user_number_columns),
        _ids([one.item_ids for one in predictions], n, layout.item_id_columns),
        _numbers([one.item_numbers for one in predictions], n, layout.item_number_columns),
        np.repeat(np.arange(r), counts),
    )


def _row(data: bytes, row: int, size: int) -> bytes:
    return data[row * size : (row + 1) * size]


def _ids(parts: Sequence[bytes], rows: int, columns: int) -> npt.NDArray[np.int64]:
    """Writable (a bytearray is), native byte order."""
    return np.frombuffer(bytearray().join(parts), "<i8").reshape(rows, columns).astype(np.int64, copy=False)


def _numbers(parts: Sequence[bytes], rows: int, columns: int) -> npt.NDArray[np.float32]:
    return np.frombuffer(bytearray().join(parts), "<f4").reshape(rows, columns).astype(np.float32, copy=False)
