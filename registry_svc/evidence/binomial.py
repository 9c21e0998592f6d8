"""Errors, slow answers, missing users: given that something happened, which arm was it in?

Under H0 it lies in the canary with probability w, the canary's share at that request (taken from the prediction record,
so a ramp does no harm). The alternative odds are a mixture over ratios. This needs no baseline rate, works when the
stable arm has no error at all, and stays at 1 while nothing happens: no evidence, neither pass nor fail.

Where w > .3, and where a lane that swaps versions is judged, watch the absolute rate beside it: half of all errors in
half of the traffic is nothing that odds can see.
"""

from dataclasses import dataclass, field
from math import exp, log, log1p

import numpy as np

WORSE = tuple(float(ratio) for ratio in np.geomspace(1.2, 1000.0, 12))
"""How many times likelier a bad event is in the canary, under the alternatives."""

SKEWED = tuple(float(ratio) for ratio in np.geomspace(0.25, 4.0, 12))
"""How many times likelier a user is to be counted in the canary, under the alternatives; both ways."""


@dataclass(slots=True)
class ConditionalBinomial:
    """Evidence that events prefer the canary. One event a user: requests of one user cluster. Not thread-safe.

    Attributes:
        level: alpha.
        ratios: the alternatives: WORSE for bad events, SKEWED for whom the split sends where.
        seen: users who are counted, the oldest first; at most `limit`, and whoever is forgotten may count again.
    """

    level: float
    ratios: tuple[float, ...] = WORSE
    limit: int = 100_000
    log_wealths: list[float] = field(default_factory=lambda: [0.0] * 12)
    seen: dict[int, None] = field(default_factory=dict)

    def update(self, user: int, *, in_canary: bool, share: float) -> bool:
        """One event of a user (hashed). `share` is the canary's, 0..1. Returns whether it has crossed.

        At a share of 0 or 1 the event says nothing: there is no other arm.
        """
        if user not in self.seen and 0.0 < share < 1.0:
            self.seen[user] = None
            if len(self.seen) > self.limit:
                del self.seen[next(iter(self.seen))]
            self._bet(in_canary, share)
        return self.log_evidence >= log(1.0 / self.level)

    def _bet(self, in_canary: bool, share: float) -> None:  # noqa: FBT001
        for place, ratio in enumerate(self.ratios):
            # Odds ratio against H0: ratio / (1 - share + ratio * share) in the canary, 1 / (...) outside.
            self.log_wealths[place] += (log(ratio) if in_canary else 0.0) - log1p(share * (ratio - 1.0))

    @property
    def log_evidence(self) -> float:
        """Log of the averaged wealths."""
        most = max(self.log_wealths)
        return most + log(sum(exp(wealth - most) for wealth in self.log_wealths) / len(self.log_wealths))


def sample_ratio(level: float) -> ConditionalBinomial:
    """The guard of the split itself: feed every user once, outcomes joined, at the share of the first request.

    A canary that crashes loses its own evidence; the missing users are evidence.
    """
    return ConditionalBinomial(level, SKEWED)
