"""What of a prediction record versions are judged by: logits, or numbers in units of the label's range."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from martlet.evidence import Loss
from martlet.learn.labels import LabelRule

Floats = npt.NDArray[np.floating]


class JudgedOutputs(Protocol):
    """Pure."""

    @property
    def loss(self) -> Loss:
        """What they are compared by."""
        ...

    def outputs(self, recorded: Floats) -> Floats:
        """Of one version's recorded outputs, float[n]: as they stand in evidence."""
        ...

    def label(self, label: float) -> float:
        """A label as it stands in evidence, in [0, 1]."""
        ...

    def distance(self, one: Floats, other: Floats) -> float:
        """Mean over an answer's items of what bounds the difference of two versions' losses, whatever the labels."""
        ...


class Logits:
    """Of a label that is yes or no: as they are. Log-loss changes by at most as much as the logit does."""

    loss = Loss.LOG

    def outputs(self, recorded: Floats) -> Floats:
        """As they are."""
        return recorded

    def label(self, label: float) -> float:
        """As it is."""
        return label

    def distance(self, one: Floats, other: Floats) -> float:
        """Nats."""
        return float(np.abs(one - other).mean())


@dataclass(frozen=True, slots=True)
class InRange:
    """Of a label that is a number: x becomes (x - low) / (high - low).

    Outputs are not clipped to [0, 1] here: how far they stray is a matter of the registry's guards. Labels are: whoever
    declares a range says that what lies beyond it is no better than its end.
    """

    low: float
    high: float
    loss: Loss = Loss.SQUARED

    def outputs(self, recorded: Floats) -> Floats:
        """On the label's scale, float64."""
        return (recorded.astype(np.float64) - self.low) / (self.high - self.low)

    def label(self, label: float) -> float:
        """Its place in the range; one beyond an end counts as that end."""
        return min(max((label - self.low) / (self.high - self.low), 0.0), 1.0)

    def distance(self, one: Floats, other: Floats) -> float:
        """Of outputs clipped to the range, in ranges: half the squared error changes by no more."""
        clipped = [np.clip(self.outputs(recorded), 0.0, 1.0) for recorded in (one, other)]
        return float(np.abs(clipped[0] - clipped[1]).mean())


def judged_outputs_of(label: LabelRule) -> JudgedOutputs | None:
    """What a label's versions are judged by; None: nothing bounds their losses, so there is no evidence."""
    if label.link == "sigmoid":
        return Logits()
    return None if label.span is None else InRange(*label.span)
