"""An observer of a run's learning that tells nobody: the live learner's figures are the live learner's."""

from martlet.measurement import MeasurementBatch
from trainer_svc.journal import PublishResult, Rewound
from trainer_svc.stepping import Stepping


class Quiet:
    """See the module's docstring (and `trainer_svc.loop_settings.LoopObserver`)."""

    def stepped(self, stepping: Stepping, seconds: float) -> None:
        """Nothing to do."""

    def published(self, result: PublishResult, seconds: float) -> None:
        """Nothing to do."""

    def checkpointed(self, step: int, digest: str, seconds: float) -> None:
        """Nothing to do."""

    def checkpoint_failed(self) -> None:
        """Nothing to do."""

    def rewound(self, entry: Rewound, seconds: float) -> None:
        """Nothing to do."""

    def reported(self, batch: MeasurementBatch) -> None:
        """Nothing to do."""
