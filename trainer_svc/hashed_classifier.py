"""A small classifier that learns along beside the model: logistic regression on hashed ids.

It reads the same ids as the model; numbers are left out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from martlet.feature_spec import FeatureBlock, FeatureKind, FeatureSpec, Side
from trainer_svc.example_batch import batch_of
from trainer_svc.labelled_rows import LabelledRows
from trainer_svc.table.compiling import kernel

Floats = npt.NDArray[np.float32]
Keys = npt.NDArray[np.int64]
Arrays = dict[str, npt.NDArray[np.generic]]
_STEP: Final = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio: multiplicative hashing (Knuth, TAOCP 3, 6.4)
_START: Final = 1e-4  # of the sums of squares: never a division by 0
_LARGEST_STEP: Final = 0.5  # of a weight; the first steps of AdaGrad would be longer


@dataclass(frozen=True, slots=True)
class _Column:
    """A column of ids: where it stands, and what its values are hashed with."""

    side: Side
    column: int
    salt: int


class Hashing:
    """Each example's ids as numbers of buckets."""

    def __init__(self, spec: FeatureSpec, buckets: int) -> None:
        self.layout = spec.layout
        self.buckets = buckets
        self._columns = list(_columns(spec))

    def keys(self, block: FeatureBlock) -> Keys:
        """int64[n, k] in [0, buckets); the first column is the bias's."""
        keys = np.zeros((block.rows, 1 + len(self._columns)), np.int64)
        for number, one in enumerate(self._columns, 1):
            ids = block.item_ids if one.side is Side.ITEM else block.user_ids[block.row_of_user]
            mixed = (ids[:, one.column].astype(np.uint64) + np.uint64(one.salt)) * _STEP
            mixed = (mixed ^ (mixed >> np.uint64(32))) * _STEP
            keys[:, number] = 1 + (mixed >> np.uint64(33)).astype(np.int64) % (self.buckets - 1)
        return keys


class Classifier:
    """A logistic regression by AdaGrad (Duchi, Hazan, Singer, JMLR 2011)."""

    def __init__(self, hashing: Hashing, rate: float) -> None:
        self._hashing = hashing
        self._rate = rate
        self._weights: Floats = np.zeros(hashing.buckets, np.float32)
        self._squares: Floats = np.full(hashing.buckets, _START, np.float32)

    def probabilities(self, block: FeatureBlock) -> Floats:
        """float32[n]."""
        logits = self._weights[self._hashing.keys(block)].sum(1, dtype=np.float64)
        return np.asarray(1 / (1 + np.exp(-logits)), np.float32)

    def learn_rows(self, groups: Sequence[LabelledRows]) -> None:
        """Learns labels 0 or 1, in their order."""
        kept = [group for group in groups if len(group)]
        if kept:
            batch = batch_of(kept, self._hashing.layout)
            keys = self._hashing.keys(batch.block)
            learn_in_order(keys, batch.labels, self._weights, self._squares, self._rate)

    def state(self, name: str) -> Arrays:
        """Under this name."""
        return {f"{name}_weights": self._weights, f"{name}_squares": self._squares}

    def restore(self, state: Mapping[str, npt.NDArray[np.generic]], name: str) -> None:
        """From this name."""
        self._weights = np.array(state[f"{name}_weights"], np.float32)
        self._squares = np.array(state[f"{name}_squares"], np.float32)


@kernel
def learn_in_order(keys: Keys, labels: Floats, weights: Floats, squares: Floats, rate: float) -> None:
    """One AdaGrad step for each example; no weight moves farther than the largest step."""
    for i in range(keys.shape[0]):
        logit = 0.0
        for j in range(keys.shape[1]):
            logit += weights[keys[i, j]]
        slope = 1.0 / (1.0 + np.exp(-logit)) - labels[i]
        for j in range(keys.shape[1]):
            key = keys[i, j]
            squares[key] += np.float32(slope * slope)
            step = rate * slope / np.sqrt(squares[key])
            weights[key] -= np.float32(min(max(step, -_LARGEST_STEP), _LARGEST_STEP))


def _columns(spec: FeatureSpec) -> Sequence[_Column]:
    """Of ids; a list's count is left out, and its places are alike."""
    columns: list[_Column] = []
    for number, feature in enumerate(spec.features):
        if feature.kind is FeatureKind.NUMBER:
            continue
        first = spec.layout.first_column[feature.name]
        places = range(1, feature.id_columns) if feature.kind is FeatureKind.ID_LIST else range(1)
        columns += [_Column(feature.side, first + place, (number + 1) << 40) for place in places]
    return columns
