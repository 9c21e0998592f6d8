"""How answers deviate from best first, as a value; `serving_svc.exploring` does it."""

from dataclasses import dataclass
from math import isfinite

from martlet.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Exploration:
    """Off unless one of the two is above 0.

    Attributes:
        epsilon: 0 to 1; at each position, the probability of taking any of the items left, each equally likely.
        temperature: at each position, an item left is taken with probability proportional to exp(logit / temperature).
    """

    epsilon: float = 0.0
    temperature: float = 0.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.epsilon <= 1.0:
            raise InvalidInput(f"exploration: epsilon must be from 0 to 1, not {self.epsilon}")
        if not isfinite(self.temperature) or self.temperature < 0.0:
            raise InvalidInput(f"exploration: temperature must be above 0, not {self.temperature}")
        if self.epsilon and self.temperature:
            raise InvalidInput("exploration: give epsilon or temperature, not both")

    @property
    def on(self) -> bool:
        """Whether chance plays a part."""
        return self.epsilon > 0.0 or self.temperature > 0.0


BEST_FIRST = Exploration()
