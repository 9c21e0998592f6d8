"""What the values of each feature look like, from every k-th batch: as they came, before anything is set right."""

from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

from martlet.feature_encoding import USER_ID
from martlet.feature_spec import Feature, FeatureBlock, FeatureKind, FeatureSpec, Side
from martlet.wire.trainer import FeatureFigures
from trainer_svc.hygiene.number_columns import NumberColumns
from trainer_svc.hygiene.quantile_sketch import QuantileSketch
from trainer_svc.hygiene.running_moments import RunningMoments
from trainer_svc.hygiene.seen_ids import SeenIds
from trainer_svc.hygiene.top_ids import TopIds

Arrays = dict[str, npt.NDArray[np.generic]]
SHARES: Final = (0.01, 0.5, 0.99)
TOP: Final = 10


class FeatureStatistics:
    """See the module's docstring. Not thread-safe.

    Args:
        every: k.
    """

    def __init__(self, spec: FeatureSpec, every: int) -> None:
        self._every = every
        self._spec = spec
        self._columns = NumberColumns.of(spec)
        self._ids = [feature for feature in spec.features if feature.is_id]
        spaces = [feature.space or feature.name for feature in self._ids]
        self._spaces = [spaces.index(space) for space in spaces]
        self._moments = RunningMoments(len(self._columns.names))
        self._sketch = QuantileSketch(len(self._columns.names))
        self._missing = np.zeros((2, len(self._columns.names)), np.int64)  # seen, missing
        self._unseen = np.zeros((2, len(self._ids)), np.int64)  # seen, for the first time
        self._seen = SeenIds()
        self._top = [TopIds() for _ in self._ids]
        self._batches = 0

    def observe(self, block: FeatureBlock) -> None:
        """Takes a batch in, if it is one of the k-th."""
        self._batches += 1
        if self._batches % self._every:
            return
        for place, numbers in self._columns.sides(block):
            self._moments.add(numbers, place)
            self._sketch.add(numbers, place)
            self._missing[:, place] += np.array([[numbers.shape[0]] * numbers.shape[1], np.isnan(numbers).sum(0)])
        for position, feature in enumerate(self._ids):
            ids = _ids_of(feature, block, self._spec)
            new = self._seen.see(ids, self._spaces[position])
            self._unseen[:, position] += ids.shape[0], int(new.sum())
            self._top[position].add(ids)

    def figures(self) -> list[FeatureFigures]:
        """All features, numbers first."""
        found = self._sketch.quantiles(np.array(SHARES))
        numbers = [
            FeatureFigures(
                name,
                int(self._missing[0, i]),
                missing=float(self._missing[1, i] / max(1, self._missing[0, i])),
                mean=float(self._moments.mean[i]),
                deviation=float(self._moments.deviation[i]),
                quantiles=tuple(zip(SHARES, found[i].tolist(), strict=True)) if self._moments.count[i] else (),
            )
            for i, name in enumerate(self._columns.names)
        ]
        ids = [
            FeatureFigures(
                feature.name,
                int(self._unseen[0, i]),
                unseen=float(self._unseen[1, i] / max(1, self._unseen[0, i])),
                top=tuple(self._top[i].top(TOP)),
            )
            for i, feature in enumerate(self._ids)
        ]
        return numbers + ids

    def forget(self, user_value: int) -> None:
        """Drops a user's id from the most frequent ones."""
        for feature, top in zip(self._ids, self._top, strict=True):
            if feature.source == USER_ID:
                top.forget(user_value)

    def state(self) -> Arrays:
        """Everything (not copies)."""
        own: Arrays = {
            "missing": self._missing,
            "unseen": self._unseen,
            "batches": np.array(self._batches, np.int64),
        }
        parts = {"moments": self._moments.state(), "sketch": self._sketch.state(), "seen": self._seen.state()}
        parts |= {f"top/{i}": top.state() for i, top in enumerate(self._top)}
        return own | {f"{part}/{name}": array for part, arrays in parts.items() for name, array in arrays.items()}

    def restore(self, state: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Takes a state over (copies)."""
        self._missing, self._unseen = np.array(state["missing"], np.int64), np.array(state["unseen"], np.int64)
        self._batches = int(np.asarray(state["batches"], np.int64))
        self._moments.restore({"sums": state["moments/sums"]})
        self._sketch.restore({name: state[f"sketch/{name}"] for name in self._sketch.state()})
        self._seen.restore({"field": state["seen/field"]})
        for i, top in enumerate(self._top):
            top.restore({name: state[f"top/{i}/{name}"] for name in top.state()})


def _ids_of(feature: Feature, block: FeatureBlock, spec: FeatureSpec) -> npt.NDArray[np.int64]:
    """The feature's ids, padding left out, int64[k]."""
    ids = block.user_ids if feature.side is Side.USER else block.item_ids
    first = spec.layout.first_column[feature.name]
    if feature.kind is FeatureKind.ID:
        return np.ascontiguousarray(ids[:, first])
    present = np.arange(feature.max_len) < ids[:, first : first + 1]
    return np.ascontiguousarray(ids[:, first + 1 : first + 1 + feature.max_len][present])
