"""Does a version say too much or too little? A shift of all logits hardly shows in the log-loss.

+.15 of a logit at a click rate of 11 % costs .001 nats, below any sensible margin, yet everything that multiplies
probabilities with money is off by 13 %. The version's own bias is a martingale: E[p - y] = 0 if it is calibrated, and
labels say so. That alone would condemn every version where the pin itself is a little off. So a version is condemned
only if beside that (a) its mean logit differs from the pin's on the same rows by more than a tolerance, which takes no
labels, and (b) its bias looks larger than the pin's. Both conditions can only spare a version, never condemn one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt

from registry_svc.evidence.loss import sigmoid_of
from registry_svc.evidence.pairing import UnitStream
from registry_svc.evidence.processes import Certificate


@dataclass(slots=True)
class CalibrationEvidence:
    """The bias of one version beside that of its comparator. Not thread-safe.

    Attributes:
        tolerance: how far mean logits may differ without any question, nats.
        process: evidence that the version's bias, in the direction in which it differs, is above 0.
        shift, squares: sum of differences of logits, and of their squares.
        bias, comparator_bias: sums of p - y.
    """

    tolerance: float
    stream: UnitStream
    process: Certificate
    shift: float = 0.0
    squares: float = 0.0
    bias: float = 0.0
    comparator_bias: float = 0.0

    def add(
        self,
        user: int,
        time_us: int,
        version: float,
        comparator: float,
        label: float,
        expected: Callable[[float], float] = sigmoid_of,
    ) -> None:
        """One labelled row with finite outputs. `expected`: the label's mean that an output states."""
        self.shift += version - comparator
        self.squares += (version - comparator) ** 2
        chance = expected(version)
        self.bias += chance - label
        self.comparator_bias += expected(comparator) - label
        # The direction depends on no label, so it may turn: a bet's sign is the better's choice.
        direction = 1.0 if self.shift >= 0 else -1.0
        for unit in self.stream.add(user, time_us, direction * (chance - label)):
            self.process.update(unit)

    @property
    def shifted(self) -> bool:
        """Whether the mean logit differs from the comparator's by more than the tolerance."""
        return abs(self.shift) > self.tolerance * self.stream.labels

    @property
    def condemns(self) -> bool:
        """Whether the process's evidence may count against the version."""
        direction = 1.0 if self.shift >= 0 else -1.0
        return self._surely_shifted and direction * self.bias > abs(self.comparator_bias)

    @property
    def _surely_shifted(self) -> bool:
        # Two standard errors, as if a user's labels in a unit were one: a shift that is noise must not open the door.
        count = max(self.stream.labels, 1)
        error = sqrt(self.squares * self.stream.size) / count
        return abs(self.shift) > (self.tolerance + 2.0 * error) * count
