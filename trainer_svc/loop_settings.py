"""How often the loop does things, and who hears of it."""

from dataclasses import dataclass
from typing import Final, Protocol

from martlet.measurement import MeasurementBatch
from trainer_svc.journal import PublishResult, Rewound
from trainer_svc.publish_policy import ChainLimits
from trainer_svc.stepping import Stepping

STEP_SECONDS: Final = 0.15
MOST_WEIGHT: Final = 1 << 17


@dataclass(frozen=True, slots=True)
class Pace:
    """How often things happen. None of it changes what is learned from an event.

    Attributes:
        records: most records of one step.
        publish_interval_s: least time between two versions.
        chain_limits: when a new base is due.
        checkpoint_interval_s: least time between two checkpoints.
        weight: of one step's records, to begin with (see `StepWeight`); 0: any.
    """

    records: int
    publish_interval_s: float
    chain_limits: ChainLimits
    checkpoint_interval_s: float
    weight: int = 0


class StepWeight:
    """How much one step may weigh: about as much as takes `STEP_SECONDS`, once it is known how long steps take.

    So a fast learner commits no more often than a slow one, and no publish waits long for a step to end. Not
    thread-safe.

    Args:
        least: the first weight, and the least; 0: any weight, always.
    """

    def __init__(self, least: int) -> None:
        self._least = least
        self.value = least

    def observe(self, examples: int, seconds: float) -> None:
        """A step made so many examples in so much time. A weight at most doubles from one step to the next."""
        if self._least and examples:
            wanted = int(examples / max(seconds, 1e-6) * STEP_SECONDS)
            self.value = max(self._least, min(wanted, 2 * self.value, MOST_WEIGHT))


class LoopObserver(Protocol):
    """Hears what the loop did. Called on the loop's thread; must not wait."""

    def stepped(self, stepping: Stepping, seconds: float) -> None:
        """A step was taken."""
        ...

    def published(self, result: PublishResult, seconds: float) -> None:
        """A version was answered by the registry."""
        ...

    def checkpointed(self, step: int, digest: str, seconds: float) -> None:
        """A checkpoint is on disk."""
        ...

    def checkpoint_failed(self) -> None:
        """A checkpoint could not be written; the next interval tries again."""
        ...

    def rewound(self, entry: Rewound, seconds: float) -> None:
        """Learning went back to a version."""
        ...

    def reported(self, batch: MeasurementBatch) -> None:
        """Measurements are ready for the registry."""
        ...
