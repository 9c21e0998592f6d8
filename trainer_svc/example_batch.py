"""Examples as one batch for the learner: raw bytes joined, seen as arrays, then one gather of the rows."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from martlet.feature_spec import FeatureBlock, FeatureLayout
from martlet.wire.recorded import RecordedPrediction
from trainer_svc.labelled_rows import Examples
from trainer_svc.learner import Batch


def batch_of(examples: Examples, layout: FeatureLayout) -> Batch:
    """A batch; neighbouring examples of one prediction share its user row."""
    users: list[RecordedPrediction] = []
    owners: list[int] = []
    for group in examples:
        if not users or users[-1] is not group.prediction:
            users.append(group.prediction)
        owners.append(len(users) - 1)
    row_of_user = np.repeat(np.array(owners), [len(group) for group in examples])
    whole = whole_block(users, layout)
    firsts = np.searchsorted(whole.row_of_user, np.arange(len(users)))
    rows = np.concatenate([group.rows for group in examples]) + firsts[row_of_user]
    block = FeatureBlock(
        whole.user_ids, whole.user_numbers, whole.item_ids[rows], whole.item_numbers[rows], row_of_user
    )
    labels = np.concatenate([group.labels for group in examples])
    return Batch(block, labels, np.ones(labels.shape[0], np.float32))


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


def _ids(parts: Sequence[bytes], rows: int, columns: int) -> npt.NDArray[np.int64]:
    """Writable (a bytearray is), native byte order."""
    return np.frombuffer(bytearray().join(parts), "<i8").reshape(rows, columns).astype(np.int64, copy=False)


def _numbers(parts: Sequence[bytes], rows: int, columns: int) -> npt.NDArray[np.float32]:
    return np.frombuffer(bytearray().join(parts), "<f4").reshape(rows, columns).astype(np.float32, copy=False)
