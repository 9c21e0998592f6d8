"""How the trainer stands: metrics, and the newest status. Written by the loop's thread, read by the edge's."""

import logging
import math
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from martlet.errors import MartletError
from martlet.measurement import MeasurementBatch
from martlet.wire.trainer import TrainerStatus
from trainer_svc.batch_treatment import TreatmentFigures
from trainer_svc.journal import PublishResult, Rewound
from trainer_svc.outcome_account import DeadReason, Excluded, OutcomeAccount
from trainer_svc.stepping import Stepping
from trainer_svc.training_state import TrainingState
from trainer_svc.treatment_metrics import TreatmentMetrics

logger = logging.getLogger(__name__)

SECONDS: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
_MODEL: Final = ["model"]


class TrainerMetrics:
    """The trainer's series."""

    def __init__(self, collectors: CollectorRegistry) -> None:
        self.steps = Histogram(
            "martlet_trainer_step_duration_seconds", "Time to read, join, test and learn one cut", _MODEL,
            buckets=SECONDS, registry=collectors,
        )  # fmt: skip
        self.examples = Counter("martlet_trainer_examples", "Examples learned", _MODEL, registry=collectors)
        self.letters = Counter(
            "martlet_trainer_dead_letters", "Events that cannot be used", _MODEL, registry=collectors
        )
        self.outcomes = Gauge(
            "martlet_trainer_outcomes", "Outcomes by where they are", ["model", "place"], registry=collectors
        )
        self.publishes = Histogram(
            "martlet_trainer_publish_duration_seconds", "Time from a version's making to the registry's answer",
            ["model", "result"], buckets=SECONDS, registry=collectors,
        )  # fmt: skip
        self.rewinds = Histogram(
            "martlet_trainer_rewind_duration_seconds", "Time to bring learning back to a version", ["model", "cause"],
            buckets=(*SECONDS, 10.0, 30.0, 120.0), registry=collectors,
        )  # fmt: skip
        self.checkpoints = Histogram(
            "martlet_trainer_checkpoint_duration_seconds", "Time to copy and write a checkpoint", _MODEL,
            buckets=SECONDS, registry=collectors,
        )  # fmt: skip
        self.quality = Gauge(
            "martlet_trainer_quality", "Prequential quality over the recent window", ["model", "metric"],
            registry=collectors,
        )  # fmt: skip
        self.held = Gauge("martlet_trainer_open_predictions", "Predictions remembered", _MODEL, registry=collectors)
        self.event_time = Gauge(
            "martlet_trainer_event_time_seconds", "How far event time has come", _MODEL, registry=collectors
        )
        self.treatment = TreatmentMetrics(collectors)
        self.lost_reports = Counter(
            "martlet_trainer_measurements_lost", "Reports that the registry did not take", _MODEL, registry=collectors
        )


class StatusBoard:
    """An observer of the loop. What it shows may be read from any thread.

    Attributes:
        status: the newest.
        examples, event_time_us: learned so far, and how far event time has come.
        began_us: event time when examples were first seen in this process; 0: not yet.

    Args:
        send: brings measurements to the registry; blocking.
        background: where it runs.
    """

    def __init__(
        self, model: str, metrics: TrainerMetrics, send: Callable[[MeasurementBatch], None], background: Executor
    ) -> None:
        self._model = model
        self._metrics = metrics
        self._send = send
        self._background = background
        self._checkpoint_step = 0
        self._digest = ""
        self.examples = 0
        self.event_time_us = 0
        self.began_us = 0
        self.status = TrainerStatus(model, 0, 0, {}, 0, 0, 0, 0, 0, "", 0, 0, {}, "")

    def stepped(self, stepping: Stepping, seconds: float) -> None:
        """A step was taken."""
        self._metrics.steps.labels(self._model).observe(seconds)
        self._metrics.examples.labels(self._model).inc(stepping.examples)
        self._metrics.letters.labels(self._model).inc(stepping.letters)

    def published(self, result: PublishResult, seconds: float) -> None:
        """A version was answered by the registry."""
        self._metrics.publishes.labels(self._model, type(result).__name__.lower()).observe(seconds)

    def rewound(self, entry: Rewound, seconds: float) -> None:
        """Learning went back to a version."""
        cause = "refused" if entry.refused else "recalled"
        self._metrics.rewinds.labels(self._model, cause).observe(seconds)

    def checkpointed(self, step: int, digest: str, seconds: float) -> None:
        """A checkpoint is on disk."""
        self._metrics.checkpoints.labels(self._model).observe(seconds)
        self._checkpoint_step, self._digest = step, digest

    def reported(self, batch: MeasurementBatch) -> None:
        """Sends measurements in the background. One that is not taken is lost and counted; its records are not."""
        self._background.submit(self._report, batch)

    def update(self, state: TrainingState, quality: dict[str, float]) -> None:
        """Takes a new status over."""
        intake, at = state.intake, state.cursor.at
        self.examples, self.event_time_us = state.examples, intake.watermark_us
        self.began_us = self.began_us or (intake.watermark_us if state.examples else 0)
        account, treatment = intake.account, state.treatment
        self.status = TrainerStatus(
            model=self._model,
            epoch=at.epoch,
            step=state.step,
            consumed=dict(state.positions),
            learned=account.learned,
            excluded=account.excluded.total(),
            dead_lettered=account.dead_lettered.total(),
            pending=intake.pending,
            duplicates=account.duplicates,
            last_published_digest=at.published,
            last_published_version=at.version,
            last_checkpoint_step=self._checkpoint_step,
            quality=quality,
            state_digest=self._digest,
            drift_alarms=treatment.alarms,
            treated=_treated(treatment, account),
            features=treatment.features,
        )
        self._metrics.treatment.show(self._model, treatment, account)
        self._show(state, quality)

    def _show(self, state: TrainingState, quality: dict[str, float]) -> None:
        for place in ("learned", "excluded", "dead_lettered", "pending", "duplicates"):
            self._metrics.outcomes.labels(self._model, place).set(getattr(self.status, place))
        for metric, value in quality.items():
            self._metrics.quality.labels(self._model, metric).set(value if math.isfinite(value) else 0.0)
        self._metrics.held.labels(self._model).set(state.intake.held)
        self._metrics.event_time.labels(self._model).set(state.intake.watermark_us / 1e6)

    def _report(self, batch: MeasurementBatch) -> None:
        try:
            self._send(batch)
        except MartletError as error:
            self._metrics.lost_reports.labels(self._model).inc()
            logger.warning("measurements %d are lost: %s", batch.sequence, error)


def _treated(treatment: TreatmentFigures, account: OutcomeAccount) -> dict[str, int]:
    """What was done about values and examples, and the outcomes that hygiene kept from being learned."""
    events = {
        "outcomes_of_bots": account.dead_lettered[DeadReason.BOT],
        "near_duplicates": account.excluded[Excluded.NEAR_DUPLICATE],
        "outcomes_held_out": account.excluded[Excluded.HELD_OUT],
    }
    return {**treatment.counts, **{name: count for name, count in events.items() if count}}
