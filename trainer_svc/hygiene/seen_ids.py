"""Which ids were seen before, in a field of bits of one size (B. Bloom, CACM 13, 1970, with one hash)."""

from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

from trainer_svc.replaying.draws import mixed

Arrays = dict[str, npt.NDArray[np.generic]]
BITS: Final = 1 << 22


class SeenIds:
    """An id that was never seen counts as seen with a chance of `fill`. Not thread-safe."""

    def __init__(self, bits: int = BITS) -> None:
        self._field = np.zeros(bits // 8, np.uint8)

    @property
    def fill(self) -> float:
        """The share of bits that are set."""
        return float(np.bitwise_count(self._field).sum()) / (8 * self._field.shape[0])

    def see(self, ids: npt.NDArray[np.int64], space: int) -> npt.NDArray[np.bool_]:
        """Which of the ids of a space are new, bool[n]; marks them. All of one call are compared with those before."""
        hashes = mixed(mixed(ids.view(np.uint64)) + np.uint64(space)) % np.uint64(8 * self._field.shape[0])
        places, bits = (
            (hashes >> np.uint64(3)).astype(np.int64),
            np.uint8(1) << (hashes & np.uint64(7)).astype(np.uint8),
        )
        new = (self._field[places] & bits) == 0
        np.bitwise_or.at(self._field, places[new], bits[new])
        return np.asarray(new, np.bool_)

    def state(self) -> Arrays:
        """The bits (not a copy)."""
        return {"field": self._field}

    def restore(self, state: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Takes a state over (copies)."""
        self._field = np.array(state["field"], np.uint8)
