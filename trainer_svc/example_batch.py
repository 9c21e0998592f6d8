"""Examples as one batch for the learner: raw bytes joined, seen as arrays, then one gather of the rows."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from martlet.feature_spec import FeatureBlock, FeatureLayout
from martlet.wire.recorded import RecordedPrediction
from trainer_svc.batch import Batch
from trainer_svc.labelled_rows import Examples, LabelledRows

_FEW: Final = 4


def batch_of(examples: Examples, layout: FeatureLayout) -> Batch:
    """A batch; neighbouring examples of one prediction share its user row."""
    pieces = _Pieces(layout)
    for group in examples:
        pieces.add(group)
    labels = np.concatenate([group.labels for group in examples])
    return Batch(pieces.block(), labels, np.ones(labels.shape[0], np.float32))


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
