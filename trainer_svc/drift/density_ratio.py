"""How much likelier an example is today than among the past ones: what past examples count when they are learned again.

Discriminative learning under covariate shift (S. Bickel, M. Brückner, T. Scheffer, JMLR 10, 2009): a classifier tells
today's examples (d = 1) from past ones (d = 0); with both sides weighing alike,

    p_today(x) / p_past(x) = P(d = 1 | x) / P(d = 0 | x) = exp(f(x)).

The classifier is a logistic regression on hashed values (ids as they are, numbers by the bins of their logarithms),
learned along with AdaGrad. Weights are cut to [1 / MOST, MOST].
"""

from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

from martlet.feature_encoding import USER_ID
from martlet.feature_spec import FeatureBlock, FeatureKind, FeatureSpec, Side
from trainer_svc.replaying.draws import mixed

Arrays = dict[str, npt.NDArray[np.generic]]
Floats = npt.NDArray[np.float32]

MOST: Final = 5.0
_BUCKETS: Final = 1 << 14
_RATE: Final = 0.3
_BINS_FOR_A_DOUBLING: Final = 2.0


class DensityRatio:
    """See the module's docstring. Not thread-safe.

    The user's own id is left out: who comes today is chance, and a user's past examples are no worse for it.
    """

    def __init__(self, spec: FeatureSpec) -> None:
        layout = spec.layout
        ids = [one for one in spec.features if one.kind is FeatureKind.ID and one.source != USER_ID]
        self._id_columns = {side: [layout.first_column[one.name] for one in ids if one.side is side] for side in Side}
        self._weights = np.zeros(_BUCKETS, np.float64)
        self._squares = np.full(_BUCKETS, 1e-8, np.float64)

    def learn(self, today: FeatureBlock, past: FeatureBlock) -> None:
        """One step on a batch of each."""
        places = [self._places(block) for block in (today, past)]
        for sign, some in zip((1.0, -1.0), places, strict=True):
            if some.shape[0]:
                margin = sign * self._weights[some].sum(1)
                gradient = -sign / (1.0 + np.exp(margin)) / some.shape[0]
                sums = np.bincount(some.ravel(), np.repeat(gradient, some.shape[1]), _BUCKETS)
                self._squares += sums**2
                self._weights -= _RATE * sums / np.sqrt(self._squares)

    def of(self, block: FeatureBlock) -> Floats:
        """The ratio of each row, float32[n]."""
        score = self._weights[self._places(block)].sum(1)
        return np.asarray(np.exp(score.clip(-np.log(MOST), np.log(MOST))), np.float32)

    def state(self) -> Arrays:
        """The classifier (not copies)."""
        return {"weights": self._weights, "squares": self._squares}

    def restore(self, state: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Takes a state over (copies)."""
        self._weights, self._squares = np.array(state["weights"], np.float64), np.array(state["squares"], np.float64)

    def _places(self, block: FeatureBlock) -> npt.NDArray[np.int64]:
        """The weights of each row's values, int64[n, values]; the last is the constant."""
        users = block.user_ids[:, self._id_columns[Side.USER]][block.row_of_user]
        items = block.item_ids[:, self._id_columns[Side.ITEM]]
        numbers = np.concatenate([block.user_numbers[block.row_of_user], block.item_numbers], 1)
        values = np.concatenate([users, items, _bins_of(numbers), np.zeros((block.rows, 1), np.int64)], 1)
        column = np.arange(values.shape[1], dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        return np.asarray(mixed(values.view(np.uint64) + column) % np.uint64(_BUCKETS), np.int64)


def _bins_of(numbers: Floats) -> npt.NDArray[np.int64]:
    """Sign and logarithm, as whole numbers; missing numbers have one of their own."""
    size = np.abs(np.nan_to_num(numbers)).astype(np.float64)
    bins = np.floor(_BINS_FOR_A_DOUBLING * np.log2(1e-6 + size)) + 64
    return np.where(np.isnan(numbers), -9999, np.sign(np.nan_to_num(numbers)) * bins).astype(np.int64)
