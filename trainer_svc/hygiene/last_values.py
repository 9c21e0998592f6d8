"""The last number that was known of a user or an item, in a table of one size."""

from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

from trainer_svc.replaying.draws import mixed

Arrays = dict[str, npt.NDArray[np.generic]]
Floats = npt.NDArray[np.float32]
Keys = npt.NDArray[np.int64]

SLOTS: Final = 1 << 16


class LastValues:
    """One column's. Of two keys that share a slot the one that came last is known. Not thread-safe."""

    def __init__(self, slots: int = SLOTS) -> None:
        self._keys = np.zeros(slots, np.int64)
        self._values = np.full(slots, np.nan, np.float32)

    def fill(self, keys: Keys, values: Floats) -> Floats:
        """The values, where one is missing the last one known of its key, NaN if there is none; remembers the rest."""
        slots = (mixed(keys.view(np.uint64)) % np.uint64(self._keys.shape[0])).astype(np.int64)
        known = self._keys[slots] == keys
        filled = np.where(np.isnan(values) & known, self._values[slots], values)
        new = np.flatnonzero(~np.isnan(values))
        _, last = np.unique(slots[new][::-1], return_index=True)
        kept = new[new.shape[0] - 1 - last]
        self._keys[slots[kept]], self._values[slots[kept]] = keys[kept], values[kept]
        return filled

    def state(self) -> Arrays:
        """Keys and values (not copies)."""
        return {"keys": self._keys, "values": self._values}

    def restore(self, state: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Takes a state over (copies)."""
        self._keys, self._values = np.array(state["keys"], np.int64), np.array(state["values"], np.float32)
