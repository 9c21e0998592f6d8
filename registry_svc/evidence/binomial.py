"""Errors, slow answers, missing users: given that a bad event happened, which arm was it in?

Under H0 it lies in the canary with probability at most w, the canary's share at that request (taken from the prediction
record, so a ramp does no harm). The alternative odds are a mixture over ratios. This needs no baseline rate, works when
the stable arm has no error at all, and stays at 1 while nothing happens: no evidence, neither pass nor fail.
"""

from dataclasses import dataclass, field
from math import log

import numpy as np
import numpy.typing as npt

RATIOS = 12


def ratios() -> npt.NDArray[np.float64]:
    """How many times likelier the bad event is in the canary, under the alternatives: float64[12]."""
    return np.geomspace(1.2, 1000.0, RATIOS)


@dataclass(slots=True)
class ConditionalBinomial:
    """Evidence that bad events prefer the canary. One event a user: requests of one user cluster. Not thread-safe."""

    level: float
    log_wealths: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(RATIOS))
    seen: set[int] = field(default_factory=set)

    def update(self, user: int, *, in_canary: bool, share: float) -> bool:
        """One bad event of a user (hashed). `share` is the canary's, 0..1. Returns whether it has crossed."""
        if user not in self.seen and 0.0 < share < 1.0:
            self.seen.add(user)
            theta = ratios()
            chance = theta * share / (1.0 - share + theta * share)
            base = share if in_canary else 1.0 - share
            self.log_wealths = self.log_wealths + np.log(chance if in_canary else 1.0 - chance) - log(base)
        return self.log_evidence >= log(1.0 / self.level)

    @property
    def log_evidence(self) -> float:
        """Log of the averaged wealths."""
        return float(np.logaddexp.reduce(self.log_wealths)) - log(RATIOS)
