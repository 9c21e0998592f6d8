"""How the scores of several tasks become the one that ranks. A setting of the model; computed in the graph."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite

import numpy as np
import numpy.typing as npt

from martlet.errors import InvalidInput

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Product:
    """The product of powers, as in click^1 · purchase^0.5: of probabilities, and of expected classes.

    Attributes:
        parts: the power of each task, by name; tasks that are not named do not count.
    """

    parts: Mapping[str, float]

    def __post_init__(self) -> None:
        _check(self.parts)

    def of(self, scores: Mapping[str, Doubles]) -> Doubles:
        """The score, float64[n], of the tasks' scores."""
        return np.asarray(np.prod([scores[name] ** power for name, power in self.parts.items()], 0))


@dataclass(frozen=True)
class WeightedSum:
    """The weighted sum of scores, as in 0.7 · click + 0.3 · purchase.

    Attributes:
        parts: the weight of each task, by name; tasks that are not named do not count.
    """

    parts: Mapping[str, float]

    def __post_init__(self) -> None:
        _check(self.parts)

    def of(self, scores: Mapping[str, Doubles]) -> Doubles:
        """The score, float64[n], of the tasks' scores."""
        return np.asarray(np.sum([weight * scores[name] for name, weight in self.parts.items()], 0))


Fusion = Product | WeightedSum


def _check(parts: Mapping[str, float]) -> None:
    if not parts or not all(isfinite(part) for part in parts.values()):
        raise InvalidInput(f"a score of several tasks needs a finite number for one task at least, not {dict(parts)}")
