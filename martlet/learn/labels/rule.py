"""How a label is read from the log: what the joiner is told by a label of any kind."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from martlet.learn.labels.delayed import DelayedFeedback, Wait, wait_us


@dataclass(frozen=True, slots=True)
class Reading:
    """What an outcome of one type says about an item.

    Attributes:
        type: the outcome's type.
        weight: of the example that it makes.
        at_least: a lesser value says nothing; None: any value counts.
        threshold: the label is 1 from this value on, else 0; None: see `value`.
        value: "one": the label is 1; "value": the outcome's value; "delay": the seconds since the prediction.
        classes: if not 0, a label must be a whole number below it.
    """

    type: str
    weight: float = 1.0
    at_least: float | None = None
    threshold: float | None = None
    value: str = "one"
    classes: int = 0

    def label(self, value: float, delay_us: int) -> float | None:
        """The label, or None if the outcome says nothing."""
        if self.at_least is not None and value < self.at_least:
            return None
        if self.threshold is not None:
            return float(value >= self.threshold)
        label = 1.0 if self.value == "one" else value if self.value == "value" else max(0, delay_us) / 1e6
        if self.classes and not (label == int(label) and 0 <= label < self.classes):
            return None
        return label


@dataclass(frozen=True, slots=True)
class TaskRule:
    """How the labels of one task come about.

    Attributes:
        window_us: the attribution window.
        readings: what counts, each type once.
        rest: the label of items about which nothing came in the window; None: they expire unlearned.
        once: an item's first outcome makes an example, a heavier one adds the weight that lacks, others are
            repetitions; else each outcome makes one.
        by_rank: labels come at the window's end only: the greatest number (from 1) of a reading that came, else `rest`.
        takes_back: an outcome of this type makes a positive item negative again; "" means none does.
        delayed: what is done about outcomes that come late.
        keep: the share of negatives that is learned.
    """

    window_us: int
    readings: tuple[Reading, ...]
    rest: float | None = 0.0
    once: bool = True
    by_rank: bool = False
    takes_back: str = ""
    delayed: DelayedFeedback = Wait()  # noqa: RUF009  immutable
    keep: float = 1.0

    @property
    def wait_us(self) -> int | None:
        """When items enter as negatives, after the prediction; None: at the window's end."""
        return wait_us(self.delayed)

    @property
    def tells_numbers(self) -> bool:
        """Whether labels are what outcomes tell. Large ones may come later than small ones, as seconds of a stay do."""
        return not self.once and any(one.value != "one" and one.threshold is None for one in self.readings)

    @property
    def judged_at_end(self) -> bool:
        """Whether what is learned is not final, so that only the label at the window's end may judge."""
        return self.wait_us is not None or bool(self.takes_back)


class LabelRule(Protocol):
    """What the trainer asks of a label when it joins."""

    @property
    def window_us(self) -> int:
        """The longest attribution window of its tasks."""
        ...

    @property
    def explicit(self) -> bool:
        """Whether examples come from outcomes alone."""
        ...

    @property
    def link(self) -> str:
        """How the main task's logit becomes a score: "sigmoid", "identity" or "softmax"."""
        ...

    @property
    def span(self) -> tuple[float, float] | None:
        """The least and the greatest label of the main task, for judging its outputs; None: not known, or unbounded."""
        ...

    @property
    def tasks(self) -> Sequence[TaskRule]:
        """One rule for each task, the main one first."""
        ...
