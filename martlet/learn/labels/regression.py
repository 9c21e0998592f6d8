"""A label that is a number."""

from dataclasses import dataclass
from math import isfinite
from typing import Literal

from martlet.errors import InvalidInput
from martlet.learn.labels.outcomes import Events, outcomes_of, window_us
from martlet.learn.labels.rule import Reading, TaskRule
from martlet.learn.losses import Loss, SquaredError


@dataclass(frozen=True, slots=True)
class Regression:
    """A number that outcomes tell: seconds of a stay, stars, an amount. Learned by squared error, served as it is.

    Attributes:
        event: the outcome's type, or several (see `Binary`).
        window: the attribution window, such as "30m".
        value: "value": the outcome's value; "delay": the seconds from the prediction to the outcome.
        absent: the label of items about which nothing came in the window, such as 0 for seconds of a stay; None: they
            expire unlearned. Each outcome of an item is learned; evidence is its first one.
    """

    event: Events
    window: str
    value: Literal["value", "delay"] = "value"
    absent: float | None = None

    def __post_init__(self) -> None:
        outcomes_of(self.event)
        window_us(self.window)
        if self.value not in ("value", "delay"):
            raise InvalidInput(f"a regression's value is 'value' or 'delay', not {self.value!r}")
        if self.absent is not None and not isfinite(self.absent):
            raise InvalidInput(f"absent must be a number, not {self.absent}")

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
        return SquaredError()

    @property
    def link(self) -> str:
        """How a logit becomes a score."""
        return self.loss.link
