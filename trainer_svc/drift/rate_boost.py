"""A raised learning rate behind an alarm: high at once, and back to what it was, by halves."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

Arrays = dict[str, npt.NDArray[np.generic]]


class RateBoost:
    """The factor on the rate e examples behind the last alarm: 1 + (boost - 1) · 2^(-e / half). Not thread-safe.

    Args:
        boost: the factor right behind an alarm; 1: no boost.
        half: examples until half of it is gone.
    """

    def __init__(self, boost: float, half: int) -> None:
        self._boost = boost
        self._half = half
        self._since = -1

    @property
    def factor(self) -> float:
        """On the rate of the next step; 1.0 exactly where there is no boost (left)."""
        if self._since < 0:
            return 1.0
        extra = float((self._boost - 1.0) * 2.0 ** (-self._since / self._half))
        return 1.0 + extra if abs(extra) > 1e-3 else 1.0  # noqa: PLR2004  a change that nobody would notice

    def alarm(self) -> None:
        """Drift was noticed."""
        if self._boost != 1.0:
            self._since = 0

    def advance(self, examples: int) -> None:
        """So many examples were learned."""
        if self._since >= 0:
            self._since += examples

    def state(self) -> Arrays:
        """Examples since the last alarm; -1: there was none."""
        return {"since": np.array(self._since, np.int64)}

    def restore(self, state: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Takes a state over."""
        self._since = int(np.asarray(state["since"], np.int64))
