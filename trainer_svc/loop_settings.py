"""How often the loop does things, and who hears of it."""

from dataclasses import dataclass
from typing import Protocol

from martlet.measurement import MeasurementBatch
from trainer_svc.journal import PublishResult, Rewound
from trainer_svc.publish_policy import ChainLimits
from trainer_svc.training_state import Stepping


@dataclass(frozen=True, slots=True)
class Pace:
    """How often things happen. None of it changes what is learned from an event.

    Attributes:
        records: most records of one step.
        publish_interval_s: least time between two versions.
        chain_limits: when a new base is due.
        checkpoint_interval_s: least time between two checkpoints.
    """

    records: int
    publish_interval_s: float
    chain_limits: ChainLimits
    checkpoint_interval_s: float


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

    def rewound(self, entry: Rewound, seconds: float) -> None:
        """Learning went back to a version."""
        ...

    def reported(self, batch: MeasurementBatch) -> None:
        """Measurements are ready for the registry."""
        ...
