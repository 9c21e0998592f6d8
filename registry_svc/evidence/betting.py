"""A betting e-process for a mean: rollback (is it worse than the margin?) and promotion (is it surely not?).

Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting" (JRSS B, 2024). Under
H0: E[x | past] <= 0 the wealth is a nonnegative supermartingale, so by Ville's inequality it ever reaches 1/alpha with
probability at most alpha, however often one looks.
"""

from dataclasses import dataclass
from math import log, log1p

PRIOR_UNITS = 10.0
"""The past that stakes are shrunk by: so many units with mean 0 and the prior variance."""

WATCHED_UNITS = 5
"""Without a prior variance, so many first units tell it, and nothing is staked on them: a prior that is far too large
makes stakes far too small, for thousands of units."""

LARGEST_STAKE = 0.75
"""The largest stake, as a share of a unit's bound: no unit takes more than three quarters of the wealth."""


@dataclass(slots=True)
class BettingProcess:
    """Evidence that the mean of x is above 0. Not thread-safe; deterministic in the order of units.

    Attributes:
        bound: |x| is at most this.
        level: alpha; the process crosses when its log wealth reaches log(1/alpha), and stays crossed.
        units, total, squares: of the past that stakes are chosen by, the prior's among them.
        watching: how many units are still to be watched only.
    """

    bound: float
    level: float
    log_wealth: float = 0.0
    units: float = 0.0
    total: float = 0.0
    squares: float = 0.0
    watching: int = WATCHED_UNITS
    crossed: bool = False

    @classmethod
    def of(cls, bound: float, level: float, prior_variance: float | None = None) -> "BettingProcess":
        """A fresh process; without a prior variance the first units tell it."""
        if not 0 < level < 1 or bound <= 0:
            raise ValueError(f"bound {bound} must be positive and level {level} inside (0, 1)")
        if prior_variance is None:
            return cls(bound, level)
        return cls(bound, level, units=PRIOR_UNITS, squares=PRIOR_UNITS * prior_variance, watching=0)

    @property
    def threshold(self) -> float:
        """Log wealth at which the process crosses."""
        return log(1.0 / self.level)

    def stake(self, limit: float) -> float:
        """What is staked on the next unit, |x| <= limit; chosen by the past alone."""
        if self.watching:
            return 0.0
        variance = max(self.squares / self.units, 1e-12)
        return min(max(self.total / self.units / variance, 0.0), LARGEST_STAKE / limit)

    def update(self, x: float, bound: float | None = None) -> bool:
        """One unit, |x| <= bound (this unit's own, fixed by the past, if given). Returns whether it has crossed."""
        self.log_wealth += log1p(self.stake(self.bound if bound is None else min(bound, self.bound)) * x)
        self.total += x
        self.squares += x * x
        self.units += 1.0
        if self.watching:
            self._watched()
        self.crossed = self.crossed or self.log_wealth >= self.threshold
        return self.crossed

    def _watched(self) -> None:
        self.watching -= 1
        if not self.watching:
            self.squares += PRIOR_UNITS * self.squares / self.units
            self.units += PRIOR_UNITS
