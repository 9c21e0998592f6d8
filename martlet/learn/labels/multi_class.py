"""A label that is one of several classes."""

from dataclasses import dataclass

from martlet.errors import InvalidInput
from martlet.learn.labels.outcomes import Events, outcomes_of, window_us
from martlet.learn.labels.rule import Reading, TaskRule
from martlet.learn.losses import Loss, SoftmaxCrossEntropy

_FEWEST = 2


@dataclass(frozen=True, slots=True)
class MultiClass:
    """One class of several, as a whole number from 0 on.

    Attributes:
        event: several outcome types, from the least to the most: an item's class is the number (from 1) of the greatest
            that came by the window's end, or 0 if none did; it is learned then. One type: its value is the class (one
            that is no whole number below `classes` says nothing), learned as it comes; items without expire.
        window: the attribution window, such as "30m".
        classes: how many, for one type; 0 for several, where they follow from the types.
    """

    event: Events
    window: str
    classes: int = 0

    def __post_init__(self) -> None:
        outcomes = outcomes_of(self.event)
        window_us(self.window)
        if len(outcomes) == 1 and self.classes < _FEWEST:
            raise InvalidInput("classes that one outcome's value tells need their number, 2 or more")
        if len(outcomes) > 1 and self.classes not in (0, len(outcomes) + 1):
            raise InvalidInput(
                f"{len(outcomes)} types of outcomes make {len(outcomes) + 1} classes, not {self.classes}"
            )

    @property
    def size(self) -> int:
        """How many classes there are: so many logits are wanted."""
        return self.classes or len(outcomes_of(self.event)) + 1

    @property
    def window_us(self) -> int:
        """The window in microseconds."""
        return window_us(self.window)

    @property
    def explicit(self) -> bool:
        """Whether examples come from outcomes alone."""
        return len(outcomes_of(self.event)) == 1

    @property
    def main(self) -> "MultiClass":
        """The task that is judged: itself."""
        return self

    @property
    def span(self) -> tuple[float, float]:
        """The classes' numbers: judged is the expected class, which is what ranks."""
        return 0.0, self.size - 1.0

    @property
    def tasks(self) -> tuple[TaskRule, ...]:
        """How it is read from the log."""
        outcomes = outcomes_of(self.event)
        if len(outcomes) == 1:
            one = outcomes[0]
            reading = Reading(one.type, one.weight, one.at_least, value="value", classes=self.classes)
            return (TaskRule(self.window_us, (reading,), rest=None, once=False),)
        readings = tuple(Reading(one.type, one.weight, one.at_least) for one in outcomes)
        return (TaskRule(self.window_us, readings, by_rank=True),)

    @property
    def loss(self) -> Loss:
        """What it is learned with."""
        return SoftmaxCrossEntropy()

    @property
    def link(self) -> str:
        """How logits become scores: each class's share of their exponentials."""
        return "softmax"
