"""How the trainer stands: metrics, and the newest status. Written by the loop's thread, read by the edge's."""

import logging
import math
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from martlet.clock import Clock
from martlet.errors import MartletError
from martlet.measurement import MeasurementBatch
from martlet.wire.trainer import TrainerStatus
from trainer_svc.batch_treatment import TreatmentFigures
from trainer_svc.freshness_metrics import FreshnessMetrics
from trainer_svc.journal import Acknowledged, PublishResult, Rewound
from trainer_svc.outcome_account import DeadReason, Excluded, OutcomeAccount
from trainer_svc.stepping import Stepping
from trainer_svc.table_metrics import TableMetrics
from trainer_svc.training_state import TrainingState
from trainer_svc.treatment_metrics import TreatmentMetrics

logger = logging.getLogger(__name__)

SECONDS: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
_MODEL: Final = ["model"]


class TrainerMetrics:
    """The trainer's series. `clock`: ages are read by it."""

    def __init__(self, collectors: CollectorRegistry, clock: Clock) -> None:
        self.steps = Histogram(
            "martlet_trainer_step_duration_seconds", "Time to read, join, test and learn one cut", _MODEL,
            buckets=SECONDS, registry=collectors,
        )  # fmt: skip
        self.examples = Counter("martlet_trainer_examples", "Examples learned", _MODEL, registry=collectors)
        self.letters = Counter(
            "martlet_trainer_dead_letters", "Records put aside because they cannot be used", ["model", "reason"],
            registry=collectors,
        )  # fmt: skip
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
        self.epoch = Gauge(
            "martlet_trainer_epoch", "The epoch that the next version is for", _MODEL, registry=collectors
        )
        self.publish_failures = Counter(
            "martlet_trainer_publish_failures", "Tries to store or offer a version that failed", _MODEL,
            registry=collectors,
        )  # fmt: skip
        self.checkpoint_failures = Counter(
            "martlet_trainer_checkpoint_failures", "Checkpoints that could not be written", _MODEL, registry=collectors
        )
        self.freshness = FreshnessMetrics(collectors, clock)
        self.tables = TableMetrics(collectors)
        self.treatment = TreatmentMetrics(collectors)
        self.lost_reports = Counter(
            "martlet_trainer_measurements_lost", "Reports that the registry did not take", _MODEL, registry=collectors
        )

    def begun(self, model: str) -> None:
        """Learning begins: counters are there from now on, so that a first failure is seen as one."""
        self.freshness.begun(model)
        for counter in (self.examples, self.publish_failures, self.checkpoint_failures, self.lost_reports):
            counter.labels(model)
        for reason in DeadReason:
            self.letters.labels(model, reason.value)


class StatusBoard:
    """An observer of the loop. What it shows may be read from any thread.

    Attributes:
        status: the newest.
        examples, event_time_us: learned so far, and how far event time has come.
        times_us: partition → the newest event time read from it.
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
        metrics.begun(model)
        self._qualities: set[str] = set()
        self.examples = 0
        self.event_time_us = 0
        self.times_us: dict[str, int] = {}
        self.began_us = 0
        self.status = TrainerStatus(model, 0, 0, {}, 0, 0, 0, 0, 0, "", 0, 0, {}, "")

    def stepped(self, stepping: Stepping, seconds: float) -> None:
        """A step was taken."""
        self._metrics.steps.labels(self._model).observe(seconds)
        self._metrics.examples.labels(self._model).inc(stepping.examples)
        for reason in stepping.letters:
            self._metrics.letters.labels(self._model, reason).inc()

    def published(self, result: PublishResult, seconds: float) -> None:
        """A version was answered by the registry."""
        self._metrics.publishes.labels(self._model, type(result).__name__.lower()).observe(seconds)
        if isinstance(result, Acknowledged):
            self._metrics.freshness.published()

    def rewound(self, entry: Rewound, seconds: float) -> None:
        """Learning went back to a version."""
        cause = "refused" if entry.refused else "recalled"
        self._metrics.rewinds.labels(self._model, cause).observe(seconds)

    def checkpointed(self, step: int, digest: str, seconds: float) -> None:
        """A checkpoint is on disk."""
        self._metrics.checkpoints.labels(self._model).observe(seconds)
        self._metrics.freshness.checkpointed()
        self._checkpoint_step, self._digest = step, digest

    def checkpoint_failed(self) -> None:
        """A checkpoint could not be written."""
        self._metrics.checkpoint_failures.labels(self._model).inc()

    def reported(self, batch: MeasurementBatch) -> None:
        """Sends measurements in the background. One that is not taken is lost and counted; its records are not."""
        self._background.submit(self._report, batch)

    def update(self, state: TrainingState, quality: dict[str, float]) -> None:
        """Takes a new status over."""
        intake, at = state.intake, state.cursor.at
        self.examples, self.event_time_us, self.times_us = state.examples, intake.watermark_us, intake.times_us
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
        self._show_quality({metric: value for metric, value in quality.items() if math.isfinite(value)})
        self._metrics.held.labels(self._model).set(state.intake.held)
        self._metrics.epoch.labels(self._model).set(self.status.epoch)
        self._metrics.freshness.stands(state.intake.watermark_us, self.status.last_published_version)
        self._metrics.tables.show(self._model, state.learner_figures)

    def _show_quality(self, figures: dict[str, float]) -> None:
        """A figure that has no value any more is shown no more: a 0 would look like one."""
        for metric, value in figures.items():
            self._metrics.quality.labels(self._model, metric).set(value)
        for gone in self._qualities - figures.keys():
            self._metrics.quality.remove(self._model, gone)
        self._qualities = set(figures)

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
