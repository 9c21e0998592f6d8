"""Several labels learned by one network."""

from collections.abc import Mapping
from dataclasses import dataclass

from martlet.errors import InvalidInput
from martlet.learn.labels.binary import Binary
from martlet.learn.labels.multi_class import MultiClass
from martlet.learn.labels.regression import Regression
from martlet.learn.labels.rule import TaskRule
from martlet.learn.losses import Loss, TaskLosses

SingleLabel = Binary | Regression | MultiClass


@dataclass(frozen=True)
class MultiTask:
    """Labels by name, each with its own outcomes and window, learned together.

    The first one is the main task: versions are judged by it alone. Labels of a batch are float32[n, tasks]; an example
    is of one task, and NaN for the others: each label is learned when it is known, not when the last of them is.

    Attributes:
        labels: by name, in order.
    """

    labels: Mapping[str, SingleLabel]

    def __post_init__(self) -> None:
        if not self.labels:
            raise InvalidInput("a label of several tasks needs one at least")
        for name, label in self.labels.items():
            if not name.isidentifier():
                raise InvalidInput(f"a task cannot be called {name!r}")
            if not isinstance(label, Binary | Regression | MultiClass):
                raise InvalidInput(f"task {name!r} needs a label of its own, not {type(label).__name__}")

    def __hash__(self) -> int:
        return hash(tuple(self.labels.items()))

    @property
    def names(self) -> tuple[str, ...]:
        """The tasks' names, the main one first."""
        return tuple(self.labels)

    @property
    def main(self) -> SingleLabel:
        """The task that is judged."""
        return next(iter(self.labels.values()))

    @property
    def window_us(self) -> int:
        """The longest window in microseconds."""
        return max(label.window_us for label in self.labels.values())

    @property
    def span(self) -> tuple[float, float] | None:
        """The main task's."""
        return self.main.span

    @property
    def explicit(self) -> bool:
        """Whether examples come from outcomes alone."""
        return all(label.explicit for label in self.labels.values())

    @property
    def tasks(self) -> tuple[TaskRule, ...]:
        """How each is read from the log."""
        return tuple(rule for label in self.labels.values() for rule in label.tasks)

    @property
    def loss(self) -> Loss:
        """What it is learned with: the sum of the tasks' losses."""
        labels = self.labels.values()
        columns = [label.size if isinstance(label, MultiClass) else 1 for label in labels]
        return TaskLosses(tuple(label.loss for label in labels), tuple(columns))

    @property
    def link(self) -> str:
        """How the main task's logit becomes a score."""
        return self.main.link
