"""What is asked of a drift detector. It is a function of the numbers that it was given, in their order."""

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import numpy.typing as npt

Arrays = dict[str, npt.NDArray[np.generic]]
Doubles = npt.NDArray[np.float64]
Alarms = npt.NDArray[np.int8]


class Detector(Protocol):
    """Watches one series of numbers. Not thread-safe."""

    def update(self, values: Doubles, /) -> Alarms:
        """Takes numbers in; says behind which of them a change was noticed: int8[n], 1 or -1 by where the mean went."""
        ...

    def state(self) -> Arrays:
        """All it remembers (not copies)."""
        ...

    def restore(self, state: Mapping[str, npt.NDArray[np.generic]], /) -> None:
        """Takes a state over (copies), bit for bit."""
        ...
