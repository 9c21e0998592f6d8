"""Evidence as values: what versions had said of an answered item, and what came of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

from martlet.events import Arm


class Loss(IntEnum):
    """What the outputs of evidence are, and what versions are compared by."""

    LOG = 1  # logits, and labels that are 0 or 1: log-loss
    SQUARED = 2  # numbers in units of the label's range, and labels within it: squared error


@dataclass(frozen=True, slots=True)
class EvidenceRow:
    """One labelled item of one answered request.

    Attributes:
        user: whose unit it belongs to: XXH3-64 of the user, or of the session, or of the prediction id.
        time_us: event time of the answer.
        epoch, arm, weight: the traffic split when it was answered; `arm` None: a number that is not known here.
        version: the version that answered.
        head: the live lane's head then; 0: none apart from the pin.
        label: 0 or 1; with `Loss.SQUARED` a number, as its place in the label's range, in [0, 1].
        logits: {version: logit}, as the prediction record holds them; no other score is evidence. With `Loss.SQUARED`
            numbers on the scale of the label, not clipped to the range.
    """

    user: int
    time_us: int
    epoch: int
    arm: Arm | None
    weight: int
    version: int
    head: int
    label: float
    logits: Mapping[int, float]


@dataclass(frozen=True, slots=True)
class EvidenceBatch:
    """What the trainer's judge cursor reports at once. (producer, sequence) makes it idempotent.

    Attributes:
        rows: in the order in which they may be judged.
        open_gap: sum over the live lane's answers that have no label yet of their mean |logit_head - logit_pin|, nats;
            with `Loss.SQUARED` of outputs clipped to the range, in ranges.
        watermark_us: event time up to which answers are labelled.
        loss: what the rows are.
    """

    producer: str
    sequence: int
    model: str
    rows: tuple[EvidenceRow, ...]
    open_gap: float = 0.0
    watermark_us: int = 0
    loss: Loss = Loss.LOG
