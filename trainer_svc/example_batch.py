"""Examples as one batch for the learner: raw bytes joined, then seen as arrays."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from martlet.feature_spec import FeatureBlock, FeatureLayout
from martlet.wire.recorded import RecordedPrediction
from trainer_svc.batch import Batch
from trainer_svc.joiner import Example


def batch_of(examples: Sequence[Example], layout: FeatureLayout) -> Batch:
    """A batch; neighbouring examples of one prediction share its user row."""
    users: list[RecordedPrediction] = []
    row_of_user = np.empty(len(examples), np.int64)
    for i, example in enumerate(examples):
        if not users or users[-1] is not example.prediction:
            users.append(example.prediction)
        row_of_user[i] = len(users) - 1
    n, ids, numbers = len(examples), 8 * layout.item_id_columns, 4 * layout.item_number_columns
    block = FeatureBlock(
        _ids([user.user_ids for user in users], len(users), layout.user_id_columns),
        _numbers([user.user_numbers for user in users], len(users), layout.user_number_columns),
        _ids([_row(one.prediction.item_ids, one.row, ids) for one in examples], n, layout.item_id_columns),
        _numbers(
            [_row(one.prediction.item_numbers, one.row, numbers) for one in examples], n, layout.item_number_columns
        ),
        row_of_user,
    )
    labels = np.array([example.label for example in examples], np.float32)
    return Batch(block, labels, np.ones(n, np.float32))


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
