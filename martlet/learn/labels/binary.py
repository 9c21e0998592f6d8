"""A yes-or-no label."""

from dataclasses import dataclass

from martlet.errors import InvalidInput
from martlet.learn.labels.delayed import DelayedFeedback, Wait, wait_us
from martlet.learn.labels.outcomes import Events, outcomes_of, window_us
from martlet.learn.labels.rule import Reading, TaskRule
from martlet.learn.losses import BinaryCrossEntropy, Loss


@dataclass(frozen=True, slots=True)
class Binary:
    """A yes-or-no label made from outcomes of one or several types.

    Attributes:
        event: the outcome's type, such as "click"; or several, each with a weight: `("click", Outcome("purchase", 4))`.
            An item's heaviest outcome counts: a purchase after a click adds a weight of 3.
        window: the attribution window, such as "30m": how long after a prediction an outcome counts for it.
        explicit: False: the label is positive if such an outcome comes within the window, else negative at its end.
            True: only an outcome gives a label, positive if its value is at least `threshold`, else negative; a
            prediction with none in the window expires unlearned.
        takes_back: an outcome of this type, such as "return", makes a positive item negative if it comes in the window.
            What was learned is taken back by an example with the opposite label.
        negatives: the share of negatives that is learned. Which ones is fixed by a hash; scores stay probabilities,
            since logits are fitted with an offset (see docs/labels.md).
        delayed: what is done about outcomes that come late.
    """

    event: Events
    window: str
    explicit: bool = False
    threshold: float = 0.5
    takes_back: str = ""
    negatives: float = 1.0
    delayed: DelayedFeedback = Wait()  # noqa: RUF009  immutable

    def __post_init__(self) -> None:
        outcomes, window = outcomes_of(self.event), window_us(self.window)
        if self.takes_back in {outcome.type for outcome in outcomes}:
            raise InvalidInput(f"{self.takes_back!r} cannot both make a positive and take it back")
        if not 0 < self.negatives <= 1:
            raise InvalidInput(f"the share of negatives must be above 0 and at most 1, not {self.negatives}")
        waits = wait_us(self.delayed)
        if waits is not None and waits >= window:
            raise InvalidInput("the wait must be shorter than the window")
        if self.explicit and (waits is not None or self.takes_back or self.negatives < 1):
            raise InvalidInput("takes_back, negatives and delayed are for labels that are not explicit")
        weighted = any(outcome.weight != 1 for outcome in outcomes)
        if waits is not None and (self.takes_back or weighted):
            raise InvalidInput("weights and takes_back need the method Wait: others know nothing of them")

    @property
    def window_us(self) -> int:
        """The window in microseconds."""
        return window_us(self.window)

    @property
    def main(self) -> "Binary":
        """The task that is judged: itself."""
        return self

    @property
    def span(self) -> tuple[float, float]:
        """No or yes."""
        return 0.0, 1.0

    @property
    def tasks(self) -> tuple[TaskRule, ...]:
        """How it is read from the log."""
        threshold = self.threshold if self.explicit else None
        readings = tuple(
            Reading(outcome.type, outcome.weight, outcome.at_least, threshold) for outcome in outcomes_of(self.event)
        )
        rule = TaskRule(
            self.window_us,
            readings,
            rest=None if self.explicit else 0.0,
            once=not self.explicit,
            takes_back=self.takes_back,
            delayed=self.delayed,
            keep=self.negatives,
        )
        return (rule,)

    @property
    def loss(self) -> Loss:
        """What it is learned with."""
        return BinaryCrossEntropy()

    @property
    def link(self) -> str:
        """How a logit becomes a score."""
        return self.loss.link
