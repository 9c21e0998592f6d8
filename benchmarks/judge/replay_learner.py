"""A small online learner: a factorisation machine with row-wise AdaGrad, and versions of it."""

from dataclasses import dataclass, field

import numba
import numpy as np
import numpy.typing as npt

from benchmarks.judge.replay_streams import Ids

Floats = npt.NDArray[np.float64]

DIM = 8
RATE = 0.1
FIRST = 0.1
"""Where a row's sum of squared gradients begins."""


@numba.njit(cache=True)
def _scores(table: Floats, rows: Ids) -> Floats:
    """float64[n] logits."""
    logits = np.zeros(rows.shape[0])
    for n in range(rows.shape[0]):
        for k in range(1, table.shape[1]):
            total, squares = 0.0, 0.0
            for row in rows[n]:
                total += table[row, k]
                squares += table[row, k] ** 2
            logits[n] += 0.5 * (total * total - squares)
        for row in rows[n]:
            logits[n] += table[row, 0]
    return logits


@numba.njit(cache=True)
def _learn(table: Floats, squared: Floats, rows: Ids, labels: Ids, rate: float) -> None:
    """One event after another, in order, in place."""
    width = table.shape[1]
    total, gradient = np.zeros(width), np.zeros(width)
    for n in range(rows.shape[0]):
        logit = _scores(table, rows[n : n + 1])[0]
        error = 1.0 / (1.0 + np.exp(-logit)) - labels[n]
        total[:] = 0.0
        for row in rows[n]:
            total += table[row]
        for row in rows[n]:
            gradient[0] = error
            for k in range(1, width):
                gradient[k] = error * (total[k] - table[row, k])
            squared[row] += np.mean(gradient**2)
            table[row] -= rate * gradient / np.sqrt(squared[row])


@dataclass(frozen=True, slots=True)
class Version:
    """What is served under a number.

    Attributes:
        table: float64[rows, 1 + DIM], as served.
        trained, squared: the learner as it stood, to go back to.
        poisoned: something sabotaged was learned.
        broken: what is served is not what was learned.
        swapped: it reads the user's number as the item's and the other way round.
        scale: its logits are multiplied by this.
    """

    table: Floats
    trained: Floats
    squared: Floats
    poisoned: bool = False
    broken: bool = False
    swapped: bool = False
    scale: float = 1.0

    @property
    def bad(self) -> bool:
        """Whether the fault is in it, one way or the other."""
        return self.poisoned or self.broken

    def scores(self, rows: Ids, swapped: Ids) -> Floats:
        """float64[n] logits."""
        logits: Floats = self.scale * _scores(self.table, swapped if self.swapped else rows)
        return logits


@dataclass(slots=True)
class Learner:
    """Learns in place. `poisoned`: something sabotaged was learned."""

    table: Floats
    squared: Floats
    poisoned: bool = False
    since: int = field(default=0)
    """Labels learned since the last version."""

    @classmethod
    def of(cls, rows: int, seed: int) -> "Learner":
        """A newborn one."""
        table = 0.05 * np.random.default_rng(seed).standard_normal((rows, 1 + DIM))
        table[:, 0] = 0.0
        return cls(table, np.full(rows, FIRST))

    def learn(self, rows: Ids, labels: Ids) -> None:
        """One event after another."""
        _learn(self.table, self.squared, rows, labels, RATE)
        self.since += len(labels)

    def version(self) -> Version:
        """A copy, to be served."""
        self.since = 0
        table = self.table.copy()
        return Version(table, table, self.squared.copy(), self.poisoned)

    def rewind(self, version: Version) -> None:
        """Goes back; what was learned since is skipped, not learned again."""
        self.table, self.squared = version.trained.copy(), version.squared.copy()
        self.poisoned, self.since = version.poisoned, 0
