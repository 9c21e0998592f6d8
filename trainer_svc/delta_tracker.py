"""Which buckets changed since the last publish that was acknowledged.

Nothing is forgotten before the acknowledgement: what was taken for a publish stays marked until it is acknowledged, and
what changed again in the meantime stays marked after it.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

TOUCHED: Final = 1
IN_FLIGHT: Final = 2


class DeltaTracker:
    """One byte a bucket. One publish is in flight at a time. Not thread-safe."""

    def __init__(self, buckets: int) -> None:
        self.flags: npt.NDArray[np.uint8] = np.zeros(buckets, np.uint8)

    def touch(self, buckets: npt.NDArray[np.int64]) -> None:
        """Marks buckets as changed."""
        self.flags[buckets] |= TOUCHED

    @property
    def touched(self) -> int:
        """How many buckets a publish would carry now."""
        return int(np.count_nonzero(self.flags))

    def take(self) -> npt.NDArray[np.int32]:
        """Everything not acknowledged, an earlier publish in flight included: int32[m], ascending."""
        taken = np.flatnonzero(self.flags)
        self.flags[taken] = IN_FLIGHT
        return taken.astype(np.int32)

    def acknowledge(self) -> None:
        """The last publish that was taken has arrived: forgets it, unless it was touched again."""
        self.flags &= TOUCHED

    def state(self) -> dict[str, npt.NDArray[np.generic]]:
        """Everything, as an array (not a copy)."""
        return {"flags": self.flags}

    def restore(self, state: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Takes a state over (copies)."""
        self.flags = np.array(state["flags"], np.uint8)

    def resize(self, buckets: int) -> None:
        """The table was rebuilt: every bucket has changed."""
        self.flags = np.full(buckets, TOUCHED, np.uint8)
