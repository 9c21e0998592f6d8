"""What versions are compared by: the loss of one labelled output, as the judges see it.

A criterion must keep what the processes are promised: the difference of two versions' losses has a bound that no label
and no later output moves. Log-losses are within B of each other, for logits are clipped to within B. Squared error has
its bound from the label's declared range: outputs and labels are mapped to [0, 1] and outputs clipped to it, so that
half of the squared error lies in [0, 1/2]. Half, because then it changes by at most as much as the output does, as
log-loss does with the logit, and what is said of possible harm without labels holds of both.
"""

from dataclasses import dataclass
from typing import Final, Protocol

from martlet.evidence import Loss
from registry_svc.evidence.loss import loss_difference_of, sigmoid_of

SHARE_OF_LOSS: Final = 0.005
"""By what share of the pin's squared error a version may be worse: about what .003 nats are of a log-loss."""

NO_MARGIN: Final = 1e-12
"""Of a policy, whose margin is positive, where the criterion has one of its own."""


class Criterion(Protocol):
    """Pure; all of it of one label."""

    @property
    def name(self) -> str:
        """Of the loss, for people."""
        ...

    @property
    def unit(self) -> str:
        """What differences are counted in, for people."""
        ...

    @property
    def distance(self) -> str:
        """What outputs are counted in, for people."""
        ...

    @property
    def bound(self) -> float | None:
        """Differences are within it; None: within what the first labels fix."""
        ...

    def counts(self, label: float) -> bool:
        """Whether the label is one."""
        ...

    def difference(self, version: float, comparator: float, label: float, bound: float) -> float:
        """The version's loss minus the comparator's, of finite outputs, in [-bound, bound]; positive is worse."""
        ...

    def allowed(self, comparator: float, label: float) -> float:
        """What the version may be worse by, beside the policy's margin."""
        ...

    def hidden(self, version: float, comparator: float, bound: float) -> float:
        """At most so much of a difference is not seen because of the bound, whatever the label."""
        ...

    def expected(self, output: float) -> float:
        """The label's mean that a finite output states, in [0, 1]."""
        ...


@dataclass(frozen=True, slots=True)
class LogLoss:
    """Binary cross-entropy of logits, in nats. The margin is the policy's."""

    name: str = "log-loss"
    unit: str = "nats"
    distance: str = "nats"
    bound: float | None = None

    def counts(self, label: float) -> bool:
        """0 or 1."""
        return label in {0.0, 1.0}

    def difference(self, version: float, comparator: float, label: float, bound: float) -> float:
        """Of logits that are clipped to within the bound of each other."""
        return loss_difference_of(version, comparator, label, bound)

    def allowed(self, comparator: float, label: float) -> float:  # noqa: ARG002
        """Nothing."""
        return 0.0

    def hidden(self, version: float, comparator: float, bound: float) -> float:
        """How far the logits lie beyond the bound: so much more the losses may differ."""
        return max(abs(version - comparator) - bound, 0.0)

    def expected(self, output: float) -> float:
        """The probability."""
        return sigmoid_of(output)


@dataclass(frozen=True, slots=True)
class SquaredError:
    """Half the squared error of outputs in the label's range, which is [0, 1] here.

    The hypothesis is E[loss of the version - (1 + share) · loss of the comparator | past] <= 0: linear in the losses of
    one label, so no estimate of the comparator's loss is needed, and the margin fits every scale of labels.

    Attributes:
        share: of the comparator's loss that the version may be worse by; in [0, 1], so that units lie within [-1, 1].
    """

    share: float = SHARE_OF_LOSS
    name: str = "squared error"
    unit: str = "range²/2"
    distance: str = "ranges of the label"
    bound: float | None = 1.0

    def counts(self, label: float) -> bool:
        """A place in the range; not a number is none."""
        return 0.0 <= label <= 1.0

    def difference(self, version: float, comparator: float, label: float, bound: float) -> float:
        """Of outputs that are clipped to the range: in [-1/2, 1/2], whatever the bound."""
        return min(max(self._loss(version, label) - self._loss(comparator, label), -bound), bound)

    def allowed(self, comparator: float, label: float) -> float:
        """A share of the comparator's loss."""
        return self.share * self._loss(comparator, label)

    def hidden(self, version: float, comparator: float, bound: float) -> float:  # noqa: ARG002
        """Nothing: an output outside the range is taken for the range's end; how far it may stray is the guards'."""
        return 0.0

    def expected(self, output: float) -> float:
        """The output, clipped to the range."""
        return min(max(output, 0.0), 1.0)

    def _loss(self, output: float, label: float) -> float:
        return 0.5 * (self.expected(output) - label) ** 2


LOG_LOSS: Final = LogLoss()


def criterion_of(loss: Loss, share: float) -> Criterion:
    """What batches with this loss are judged by."""
    return SquaredError(share) if loss is Loss.SQUARED else LOG_LOSS
