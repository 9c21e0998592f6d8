"""Rules by which rows of an embedding table learn. They step on each row's gradient, summed over the batch's examples.

Rows that no example of the batch uses do not move: nothing decays behind a row's back, and what a rule counts it counts
for each row. What all have: `rate`; `clip`, applied first, to each row alone; then `l2` adds l2 · w to the gradient and
`l1` adds l1 · sign(w). The formulas are those of `martlet.learn.optimizers.dense` where nothing else is said.
"""

from dataclasses import dataclass

from martlet.learn.optimizers.checks import fraction, not_negative, positive
from martlet.learn.optimizers.clipping import Clip
from martlet.learn.optimizers.dense import check_number
from martlet.learn.optimizers.rates import Rate, check_rate


@dataclass(frozen=True, slots=True)
class RowSGD:
    """Stochastic gradient descent: w ← w - η · g."""

    rate: Rate = 0.05
    l1: float = 0.0
    l2: float = 0.0
    clip: Clip | None = None

    def __post_init__(self) -> None:
        check_rate(self, self.rate)
        not_negative(self, l1=self.l1, l2=self.l2)

    def columns(self, width: int) -> int:  # noqa: ARG002  the port's
        """It keeps nothing beside a row."""
        return 0


@dataclass(frozen=True, slots=True)
class RowMomentum:
    """Momentum, its velocity decaying when the row is used and only then.

    With momentum 0.9 the velocity grows to ten gradients: the rate is a tenth of plain descent's.
    """

    rate: Rate = 0.005
    momentum: float = 0.9
    nesterov: bool = False
    l1: float = 0.0
    l2: float = 0.0
    clip: Clip | None = None

    def __post_init__(self) -> None:
        check_rate(self, self.rate)
        fraction(self, momentum=self.momentum)
        not_negative(self, l1=self.l1, l2=self.l2)

    def columns(self, width: int) -> int:
        """The velocity."""
        return width


@dataclass(frozen=True, slots=True)
class RowAdaGrad:
    """AdaGrad with one accumulator for each component."""

    rate: Rate = 0.05
    epsilon: float = 1e-6
    l1: float = 0.0
    l2: float = 0.0
    clip: Clip | None = None

    def __post_init__(self) -> None:
        check_rate(self, self.rate)
        positive(self, epsilon=self.epsilon)
        not_negative(self, l1=self.l1, l2=self.l2)

    def columns(self, width: int) -> int:
        """The sums of squares."""
        return width


@dataclass(frozen=True, slots=True)
class RowWiseAdaGrad:
    """AdaGrad with one accumulator for each row, of the mean square of its gradient (Mudigere et al. 2022; FBGEMM).

    s ← s + mean(g²); w ← w - η · g / (√s + epsilon).
    """

    rate: Rate = 0.05
    epsilon: float = 1e-6
    l2: float = 0.0
    l1: float = 0.0
    clip: Clip | None = None

    def __post_init__(self) -> None:
        check_rate(self, self.rate)
        positive(self, epsilon=self.epsilon)
        not_negative(self, l1=self.l1, l2=self.l2)

    def columns(self, width: int) -> int:  # noqa: ARG002  the port's
        """One number."""
        return 1


@dataclass(frozen=True, slots=True)
class RowRMSProp:
    """RMSProp, its mean square decaying when the row is used and only then."""

    rate: Rate = 0.01
    decay: float = 0.99
    epsilon: float = 1e-8
    l1: float = 0.0
    l2: float = 0.0
    clip: Clip | None = None

    def __post_init__(self) -> None:
        check_rate(self, self.rate)
        fraction(self, decay=self.decay)
        positive(self, epsilon=self.epsilon)
        not_negative(self, l1=self.l1, l2=self.l2)

    def columns(self, width: int) -> int:
        """The mean squares."""
        return width


@dataclass(frozen=True, slots=True)
class LazyAdam:
    """Adam on the rows of a batch alone, its t counted for each row.

    torch's SparseAdam counts t for the whole table: a new row's moments are then taken for old ones, and its first step
    is √((1 - beta2)^-1) · (1 - beta1), about three times, too long. With a count of its own it is as long as `rate`.
    """

    rate: Rate = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    l1: float = 0.0
    l2: float = 0.0
    clip: Clip | None = None

    def __post_init__(self) -> None:
        check_rate(self, self.rate)
        positive(self, epsilon=self.epsilon)
        fraction(self, beta1=self.beta1, beta2=self.beta2)
        not_negative(self, l1=self.l1, l2=self.l2)

    def columns(self, width: int) -> int:
        """Both moments and the count."""
        return 2 * width + 1


@dataclass(frozen=True, slots=True)
class RowFTRL:
    """FTRL-proximal; see `FTRL`. With l1 the weights of rows that say little become 0."""

    rate: float = 0.1
    beta: float = 1.0
    l1: float = 0.0
    l2: float = 0.0
    clip: Clip | None = None

    def __post_init__(self) -> None:
        check_number(self, self.rate)
        positive(self, beta=self.beta)
        not_negative(self, l1=self.l1, l2=self.l2)

    def columns(self, width: int) -> int:
        """Z and n."""
        return 2 * width


Rows = RowSGD | RowMomentum | RowAdaGrad | RowWiseAdaGrad | RowRMSProp | LazyAdam | RowFTRL
