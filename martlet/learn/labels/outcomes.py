"""Which outcomes a label is made from, and what each counts."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

from martlet.errors import InvalidInput
from martlet.learn.inputs import seconds


@dataclass(frozen=True, slots=True)
class Outcome:
    """Outcomes of one type that make an example positive.

    Attributes:
        type: as the client tells it: view, click, favourite, cart, purchase, dwell, ...
        weight: how much a positive example counts beside a negative one, which counts 1. With weights other than 1 a
            score is no probability any more, but the share of the weight.
        at_least: outcomes of a lesser value do not count; None: any value does.
    """

    type: str
    weight: float = 1.0
    at_least: float | None = None

    def __post_init__(self) -> None:
        if not self.type:
            raise InvalidInput("a label needs the type of its outcomes, such as click")
        if not (isfinite(self.weight) and self.weight > 0):
            raise InvalidInput(f"the weight of {self.type!r} must be a positive number, not {self.weight}")
        if self.at_least is not None and not isfinite(self.at_least):
            raise InvalidInput(f"at_least of {self.type!r} must be a number, not {self.at_least}")


def Dwell(min_seconds: float, weight: float = 1.0, type: str = "dwell") -> Outcome:  # noqa: A002, N802  reads as one
    """Stays of at least so many seconds: the value of a dwell outcome is its seconds."""
    return Outcome(type, weight, at_least=min_seconds)


Events = str | Outcome | Sequence[str | Outcome]


def outcomes_of(events: Events) -> tuple[Outcome, ...]:
    """What a label's `event` says, each type once.

    Raises:
        InvalidInput: none, or one type twice.
    """
    given = (events,) if isinstance(events, str | Outcome) else tuple(events)
    outcomes = tuple(Outcome(one) if isinstance(one, str) else one for one in given)
    types = [one.type for one in outcomes]
    if not types or len(set(types)) < len(types):
        raise InvalidInput(f"a label needs the types of its outcomes, each once, not {types}")
    return outcomes


def window_us(window: str) -> int:
    """An attribution window in microseconds.

    Raises:
        InvalidInput: none is given.
    """
    if seconds(window) == 0:
        raise InvalidInput("a label needs an attribution window, such as 30m")
    return seconds(window) * 1_000_000
