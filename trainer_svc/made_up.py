"""Made-up feature blocks of any spec, for checks: frequent and unknown ids, lists of every length, missing numbers."""

from typing import Final

import numpy as np
import numpy.typing as npt

from martlet.feature_spec import Feature, FeatureBlock, FeatureKind, FeatureSpec, Side
from martlet.learn.heads import SIGMOID, SOFTMAX, Head
from trainer_svc.batch import Batch

_FREQUENT_IDS: Final = 40
_SHARE_FREQUENT: Final = 0.8
_SHARE_POSITIVE: Final = 0.3
_SHARE_MISSING: Final = 0.1
_INT64: Final = np.iinfo(np.int64)


def made_up_batch(spec: FeatureSpec, random: np.random.Generator, size: int, head: Head | None = None) -> Batch:
    """Examples with weights and labels: yes or no, or what the head is learned from."""
    labels = _labels(random, size, head)
    weights = random.uniform(0.5, 2.0, size).astype(np.float32)
    return Batch(made_up_block(spec, random, size, users=max(size // 2, 1)), labels, weights)


def _labels(random: np.random.Generator, size: int, head: Head | None) -> npt.NDArray[np.float32]:
    links = [(task.link, task.columns) for task in head.tasks] if head else [(SIGMOID, 1)]
    by_task = np.full((size, len(links)), np.nan, np.float32)
    own = random.integers(0, len(links), size) if len(links) > 1 else np.zeros(size, np.int64)
    for task, (link, columns) in enumerate(links):
        by_task[own == task, task] = _task_labels(random, size, link, columns)[own == task]
    return by_task[:, 0].copy() if head is None or not head.main.name else by_task


def _task_labels(random: np.random.Generator, size: int, link: str, columns: int) -> npt.NDArray[np.generic]:
    if link == SIGMOID:
        return random.random(size) < _SHARE_POSITIVE
    return random.integers(0, columns, size) if link == SOFTMAX else random.normal(1.0, 2.0, size)


def made_up_block(spec: FeatureSpec, random: np.random.Generator, rows: int, users: int) -> FeatureBlock:
    """A block of so many item rows and user rows."""
    layout = spec.layout
    user_ids = np.zeros((users, layout.user_id_columns), np.int64)
    item_ids = np.zeros((rows, layout.item_id_columns), np.int64)
    for feature in spec.features:
        if feature.is_id:
            matrix = user_ids if feature.side is Side.USER else item_ids
            _fill(feature, matrix, layout.first_column[feature.name], random)
    return FeatureBlock(
        user_ids,
        _numbers(random, users, layout.user_number_columns),
        item_ids,
        _numbers(random, rows, layout.item_number_columns),
        np.sort(random.integers(0, users, rows)),
    )


def one_row(block: FeatureBlock, row: int) -> FeatureBlock:
    """The block of one item row."""
    user = slice(int(block.row_of_user[row]), int(block.row_of_user[row]) + 1)
    item = slice(row, row + 1)
    return FeatureBlock(
        block.user_ids[user],
        block.user_numbers[user],
        block.item_ids[item],
        block.item_numbers[item],
        np.zeros(1, np.int64),
    )


def _fill(feature: Feature, matrix: npt.NDArray[np.int64], column: int, random: np.random.Generator) -> None:
    rows = matrix.shape[0]
    if feature.kind is FeatureKind.ID_LIST:
        counts = random.integers(0, feature.max_len + 1, (rows,))
        matrix[:, column] = counts
        ids = _ids(random, (rows, feature.max_len))
        matrix[:, column + 1 : column + 1 + feature.max_len] = np.where(
            np.arange(feature.max_len) < counts[:, None], ids, 0
        )
    else:
        matrix[:, column] = _ids(random, (rows,))


def _ids(random: np.random.Generator, shape: tuple[int, ...]) -> npt.NDArray[np.int64]:
    frequent = random.integers(0, _FREQUENT_IDS, shape)
    rare = random.integers(_INT64.min, _INT64.max, shape, endpoint=True)
    return np.asarray(np.where(random.random(shape) < _SHARE_FREQUENT, frequent, rare), np.int64)


def _numbers(random: np.random.Generator, rows: int, columns: int) -> npt.NDArray[np.float32]:
    values = random.lognormal(2.0, 1.0, (rows, columns))
    return np.where(random.random((rows, columns)) < _SHARE_MISSING, np.nan, values).astype(np.float32)
