"""What steps did, and what a rewind took back: values that the state hands out."""

from collections.abc import Sequence
from dataclasses import dataclass

from martlet.measurement import MeasurementBatch
from trainer_svc.labelled_rows import Examples


@dataclass(frozen=True, slots=True)
class Suspect:
    """A range that was taken back: its examples in batches as they were learned, and how many outcomes they are of."""

    batches: Sequence[Examples]
    outcomes: int


@dataclass(frozen=True, slots=True)
class Stepping:
    """What one step did.

    Attributes:
        letters: the reasons of the dead letters it wrote.
        traces: of the predictions that it learned of, each once; it decides nothing.
    """

    examples: int
    letters: tuple[str, ...]
    report: MeasurementBatch | None
    step: int = 0
    traces: tuple[str, ...] = ()
