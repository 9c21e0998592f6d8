"""What a model learns: its label."""

from dataclasses import dataclass

from martlet.errors import InvalidInput
from martlet.learn.inputs import seconds
from martlet.learn.losses import BinaryCrossEntropy, Loss


@dataclass(frozen=True, slots=True)
class Binary:
    """A yes-or-no label made from outcomes of one type.

    Attributes:
        event: the outcome's type, such as "click".
        window: the attribution window, such as "30m": how long after a prediction an outcome counts for it.
        explicit: False: the label is positive if such an outcome comes within the window, else negative at its end.
            True: only an outcome gives a label, positive if its value is at least `threshold`, else negative; a
            prediction with none in the window expires unlearned.
    """

    event: str
    window: str
    explicit: bool = False
    threshold: float = 0.5

    def __post_init__(self) -> None:
        if not self.event:
            raise InvalidInput("a label needs the type of its outcomes, such as click")
        if seconds(self.window) == 0:
            raise InvalidInput("a label needs an attribution window, such as 30m")

    @property
    def window_us(self) -> int:
        """The window in microseconds."""
        return seconds(self.window) * 1_000_000

    @property
    def loss(self) -> Loss:
        """What it is learned with."""
        return BinaryCrossEntropy()

    @property
    def link(self) -> str:
        """How a logit becomes a score."""
        return self.loss.link
