"""A betting e-process for a mean: rollback (is it worse than the margin?) and promotion (is it surely not?).

Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting" (JRSS B, 2024). Under
H0: E[x | past] <= 0 the wealth is a nonnegative supermartingale, so by Ville's inequality it ever reaches 1/alpha with
probability at most alpha, however often one looks.
"""

from dataclasses import dataclass
from math import log, log1p

PRIOR_UNITS = 20.0


@dataclass(slots=True)
class BettingProcess:
    """Evidence that the mean of x is above 0. Not thread-safe; deterministic in the order of units.

    Attributes:
        bound: |x| is at most this.
        level: alpha; the process crosses when its log wealth reaches log(1/alpha), and stays crossed.
        prior_variance: what the variance is taken to be before any unit.
    """

    bound: float
    level: float
    prior_variance: float
    log_wealth: float = 0.0
    units: float = PRIOR_UNITS
    total: float = 0.0
    squares: float = -1.0
    crossed: bool = False

    @classmethod
    def of(cls, bound: float, level: float, prior_variance: float | None = None) -> "BettingProcess":
        """A fresh process; the prior deviation is a quarter of the bound unless something better is known."""
        if not 0 < level < 1 or bound <= 0:
            raise ValueError(f"bound {bound} must be positive and level {level} inside (0, 1)")
        variance = (bound / 4) ** 2 if prior_variance is None else prior_variance
        return cls(bound, level, variance, squares=PRIOR_UNITS * variance)

    @property
    def threshold(self) -> float:
        """Log wealth at which the process crosses."""
        return log(1.0 / self.level)

    def update(self, x: float, bound: float | None = None) -> bool:
        """One unit, |x| <= bound (this unit's own, fixed by the past, if given). Returns whether it has crossed."""
        limit = self.bound if bound is None else min(bound, self.bound)
        variance = max(self.squares / self.units, 1e-12)
        stake = min(max(self.total / self.units / variance, 0.0), 0.5 / limit)
        self.log_wealth += log1p(stake * x)
        self.total += x
        self.squares += x * x
        self.units += 1.0
        self.crossed = self.crossed or self.log_wealth >= self.threshold
        return self.crossed
