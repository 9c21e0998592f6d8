"""Numbers before they are learned: cut to a range, outliers cut, missing ones filled or their examples left out.

What is scored stays as it is: the graph that answers knows nothing of this. Limits are those of the numbers that came
before a batch, so an outlier does not move the limit that it is held against.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from martlet.errors import InvalidInput
from martlet.feature_encoding import ITEM_ID, USER_ID
from martlet.feature_spec import FeatureBlock, FeatureKind, FeatureSpec, Side
from martlet.runtime.learning_config import HygieneConfig
from trainer_svc.hygiene.last_values import LastValues
from trainer_svc.hygiene.number_columns import NumberColumns
from trainer_svc.hygiene.quantile_sketch import QuantileSketch
from trainer_svc.hygiene.running_moments import RunningMoments

Arrays = dict[str, npt.NDArray[np.generic]]
Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

# Before so many numbers of a column came, nobody can say what is far out.
WARM_UP: Final = 1000


@dataclass(frozen=True, slots=True)
class Cleaned:
    """A batch's values.

    Attributes:
        block: the same one if nothing changed.
        keep: the item rows that are learned; None: all.
    """

    block: FeatureBlock
    keep: npt.NDArray[np.int64] | None


class ValueCleaning:
    """See the module's docstring. Not thread-safe.

    Attributes:
        cut: by feature, numbers that were cut.
        filled: by feature, missing numbers that were filled.
        dropped: examples left out because a number was missing.

    Raises:
        InvalidInput: a setting names a feature that is no number, or one that cannot be done.
    """

    def __init__(self, settings: HygieneConfig, spec: FeatureSpec) -> None:
        self._settings = settings
        self._columns = NumberColumns.of(spec)
        count = len(self._columns.names)
        _check_names("missing", settings.missing, self._columns)
        _check_names("clip", settings.clip, self._columns)
        self._low = np.array([settings.clip.get(name, (-np.inf, np.inf))[0] for name in self._columns.names])
        self._high = np.array([settings.clip.get(name, (-np.inf, np.inf))[1] for name in self._columns.names])
        self._sketch = QuantileSketch(count, settings.memory_examples)
        self._moments = RunningMoments(count, settings.memory_examples)
        self._last = {name: LastValues() for name, policy in settings.missing.items() if policy == "last"}
        self._keys = {side: _key_column(spec, side) for side in Side}
        for name in self._last:
            if self._keys[self._side(name)] < 0:
                raise InvalidInput(
                    f"bad setting: learning.hygiene.missing.{name} is last, but no input tells whose it is: "
                    f"the model reads no {USER_ID if self._side(name) is Side.USER else ITEM_ID}"
                )
        self.cut = np.zeros(count, np.int64)
        self.filled = np.zeros(count, np.int64)
        self.dropped = 0

    @property
    def names(self) -> tuple[str, ...]:
        """The features, in the order of `cut` and `filled`."""
        return self._columns.names

    def clean(self, block: FeatureBlock) -> Cleaned:
        """Cleans a block, and learns its numbers' ranges."""
        cleaned: list[Floats] = []
        same, keep = True, None
        for place, numbers in self._columns.sides(block):
            limited = self._limited(numbers, place)
            self._observe(numbers, limited, place)
            filled, gaps = self._fill(limited, block, place)
            cleaned.append(filled)
            same = same and filled is numbers
            if gaps is not None:
                rows = gaps[block.row_of_user] if place.start < self._columns.user_count else gaps
                keep = ~rows if keep is None else keep & ~rows
        self._sketch.age(block.rows)
        self._moments.age(block.rows)
        if keep is not None:
            self.dropped += int(keep.shape[0] - keep.sum())
        kept = None if keep is None or keep.all() else np.flatnonzero(keep)
        return Cleaned(block if same else self._columns.replaced(block, cleaned), kept)

    def state(self) -> Arrays:
        """Ranges, last values and counts."""
        own: Arrays = {"cut": self.cut, "filled": self.filled, "dropped": np.array(self.dropped, np.int64)}
        own |= {f"sketch/{name}": array for name, array in self._sketch.state().items()}
        own |= {f"moments/{name}": array for name, array in self._moments.state().items()}
        for feature, last in self._last.items():
            own |= {f"last/{feature}/{name}": array for name, array in last.state().items()}
        return own

    def restore(self, state: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Takes a state over."""
        self.cut, self.filled = np.array(state["cut"], np.int64), np.array(state["filled"], np.int64)
        self.dropped = int(np.asarray(state["dropped"], np.int64))
        self._sketch.restore({name: state[f"sketch/{name}"] for name in self._sketch.state()})
        self._moments.restore({name: state[f"moments/{name}"] for name in self._moments.state()})
        for feature, last in self._last.items():
            last.restore({name: state[f"last/{feature}/{name}"] for name in last.state()})

    def _limited(self, numbers: Floats, place: slice) -> Floats:
        """Numbers within their ranges; the same array if all are."""
        low, high = self._limits(place)
        outside = (numbers < low) | (numbers > high)  # NaN is neither
        if not outside.any():
            return numbers
        self.cut[place] += outside.sum(0)
        return np.clip(numbers, low, high).astype(np.float32)

    def _limits(self, place: slice) -> tuple[Doubles, Doubles]:
        low, high = self._low[place], self._high[place]
        if not self._settings.outliers:
            return low, high
        if self._settings.outliers == "quantile":
            share = self._settings.outlier_share
            found = self._sketch.quantiles(np.array([share, 1 - share]))[place]
            least, most = found[:, 0], found[:, 1]
        else:
            reach = self._settings.outlier_deviations * self._moments.deviation[place]
            least, most = self._moments.mean[place] - reach, self._moments.mean[place] + reach
        warm = self._moments.count[place] >= min(WARM_UP, self._settings.memory_examples or WARM_UP)
        return np.where(warm, np.fmax(low, least), low), np.where(warm, np.fmin(high, most), high)

    def _observe(self, numbers: Floats, limited: Floats, place: slice) -> None:
        if self._settings.outliers == "quantile":
            self._sketch.add(numbers, place)
        self._moments.add(limited, place)

    def _fill(self, numbers: Floats, block: FeatureBlock, place: slice) -> tuple[Floats, npt.NDArray[np.bool_] | None]:
        """Missing numbers by their features' policies, and the rows whose examples are to be left out."""
        filled, gaps = numbers, None
        for offset, name in enumerate(self._columns.names[place]):
            policy = self._settings.missing.get(name, "zero")
            missing = np.isnan(numbers[:, offset])
            if policy == "zero" or (policy != "last" and not missing.any()):  # the network sees 0 for NaN anyway
                continue
            if policy == "drop":
                gaps = missing if gaps is None else gaps | missing
                continue
            values = self._replacement(policy, name, numbers[:, offset], block)
            got = missing & ~np.isnan(values)
            if got.any():
                filled = numbers.copy() if filled is numbers else filled
                filled[got, offset] = values[got]
                self.filled[place.start + offset] += int(got.sum())
        return filled, gaps

    def _replacement(self, policy: str, name: str, values: Floats, block: FeatureBlock) -> Floats:
        if policy == "mean":
            mean = self._moments.mean[self._columns.names.index(name)]
            return np.full(values.shape[0], mean, np.float32)
        side = self._side(name)
        ids = block.user_ids if side is Side.USER else block.item_ids
        return self._last[name].fill(np.ascontiguousarray(ids[:, self._keys[side]]), values)

    def _side(self, name: str) -> Side:
        return Side.USER if self._columns.names.index(name) < self._columns.user_count else Side.ITEM


def _check_names(setting: str, given: Mapping[str, object], columns: NumberColumns) -> None:
    for name in given:
        if name not in columns.names:
            raise InvalidInput(f"bad setting: learning.hygiene.{setting} names {name!r}, which is no number")


def _key_column(spec: FeatureSpec, side: Side) -> int:
    """The column that says whose a row is, or -1."""
    source = USER_ID if side is Side.USER else ITEM_ID
    named = (one for one in spec.side(side) if one.source == source and one.kind is FeatureKind.ID)
    feature = next(named, None)
    return -1 if feature is None else spec.layout.first_column[feature.name]
