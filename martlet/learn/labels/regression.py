"""A label that is a number."""

from dataclasses import dataclass
from math import isfinite
from typing import Literal

from martlet.errors import InvalidInput
from martlet.learn.labels.outcomes import Events, outcomes_of, window_us
from martlet.learn.labels.rule import Reading, TaskRule
from martlet.learn.losses import HuberLoss, Loss, SquaredError


@dataclass(frozen=True, slots=True)
class Regression:
    """A number that outcomes tell: seconds of a stay, stars, an amount. Served as it is.

    Attributes:
        event: the outcome's type, or several (see `Binary`).
        window: the attribution window, such as "30m".
        value: "value": the outcome's value; "delay": the seconds from the prediction to the outcome.
        absent: the label of items about which nothing came in the window, such as 0 for seconds of a stay; None: they
            expire unlearned. Each outcome of an item is learned; evidence is its first one, at the window's end.
        huber: 0: learned by squared error, which predicts the mean. Else by Huber's loss: beyond this distance the loss
            grows linearly, so that a few far labels pull less; a small one predicts nearly the median.
        low, high: the range within which versions are judged, by squared error: labels and outputs beyond an end count
            as that end. Without it versions are not judged. Learning does not know it; it may change at any time.
    """

    event: Events
    window: str
    value: Literal["value", "delay"] = "value"
    absent: float | None = None
    huber: float = 0.0
    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        outcomes_of(self.event)
        window_us(self.window)
        if self.value not in ("value", "delay"):
            raise InvalidInput(f"a regression's value is 'value' or 'delay', not {self.value!r}")
        if self.absent is not None and not isfinite(self.absent):
            raise InvalidInput(f"absent must be a number, not {self.absent}")
        if not (isfinite(self.huber) and self.huber >= 0):
            raise InvalidInput(f"huber must be a distance, or 0 for squared error, not {self.huber}")
        ends = [end for end in (self.low, self.high) if end is not None]
        if ends and not (len(ends) == 2 and all(map(isfinite, ends)) and ends[0] < ends[1]):  # noqa: PLR2004
            raise InvalidInput(f"a range has a low and a higher end, not {self.low} and {self.high}")

    @property
    def window_us(self) -> int:
        """The window in microseconds."""
        return window_us(self.window)

    @property
    def explicit(self) -> bool:
        """Whether examples come from outcomes alone."""
        return self.absent is None

    @property
    def main(self) -> "Regression":
        """The task that is judged: itself."""
        return self

    @property
    def span(self) -> tuple[float, float] | None:
        """The range that it is judged in."""
        return None if self.low is None or self.high is None else (self.low, self.high)

    @property
    def tasks(self) -> tuple[TaskRule, ...]:
        """How it is read from the log."""
        readings = tuple(
            Reading(outcome.type, outcome.weight, outcome.at_least, value=self.value)
            for outcome in outcomes_of(self.event)
        )
        return (TaskRule(self.window_us, readings, rest=self.absent, once=False),)

    @property
    def loss(self) -> Loss:
        """What it is learned with."""
        return HuberLoss(self.huber) if self.huber else SquaredError()

    @property
    def link(self) -> str:
        """How a logit becomes a score."""
        return self.loss.link
