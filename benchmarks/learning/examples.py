"""A log as two matrices for each side of a model's inputs; any of its examples make a batch."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from martlet.feature_spec import Feature, FeatureBlock, FeatureKind, FeatureSpec, Side
from trainer_svc.batch import Batch

Int64s = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Lists:
    """A list of ids for each example.

    Attributes:
        ids: int64[n, k]; what stands behind an example's count is not read.
        counts: int64[n], at most k.
    """

    ids: Int64s
    counts: Int64s


Column = Int64s | Floats | Lists


class Examples:
    """Examples in the order of the log; each is a request of its own with one item.

    Args:
        spec: what the model reads.
        columns: for each input of it int64[n] of an id, `Lists` of a list, float32[n] of a number.
        labels: float32[n].
    """

    def __init__(self, spec: FeatureSpec, columns: Mapping[str, Column], labels: Floats) -> None:
        n, layout = labels.shape[0], spec.layout
        self.labels = np.ascontiguousarray(labels, np.float32)
        self._weights = np.ones(n, np.float32)
        self._one_each = np.arange(n)
        self._ids = {
            Side.USER: np.zeros((n, layout.user_id_columns), np.int64),
            Side.ITEM: np.zeros((n, layout.item_id_columns), np.int64),
        }
        self._numbers = {
            Side.USER: np.zeros((n, layout.user_number_columns), np.float32),
            Side.ITEM: np.zeros((n, layout.item_number_columns), np.float32),
        }
        for feature in spec.features:
            self._fill(feature, layout.first_column[feature.name], columns[feature.name])

    def __len__(self) -> int:
        """How many there are, n."""
        return int(self.labels.shape[0])

    def block(self, which: Int64s | slice) -> FeatureBlock:
        """The features of some examples, by place."""
        user_ids = self._ids[Side.USER][which]
        return FeatureBlock(
            user_ids,
            self._numbers[Side.USER][which],
            self._ids[Side.ITEM][which],
            self._numbers[Side.ITEM][which],
            self._one_each[: user_ids.shape[0]],
        )

    def batch(self, which: Int64s | slice) -> Batch:
        """Some examples with their labels, each counting 1."""
        return Batch(self.block(which), self.labels[which], self._weights[which])

    def _fill(self, feature: Feature, first: int, column: Column) -> None:
        if isinstance(column, Lists):
            ids = self._ids[feature.side]
            ids[:, first] = np.minimum(column.counts, feature.max_len)
            taken = min(feature.max_len, column.ids.shape[1])
            ids[:, first + 1 : first + 1 + taken] = column.ids[:, :taken]
        elif feature.kind is FeatureKind.ID:
            self._ids[feature.side][:, first] = column
        else:
            width = 1 if column.ndim == 1 else column.shape[1]
            self._numbers[feature.side][:, first : first + width] = column.reshape(-1, width)
