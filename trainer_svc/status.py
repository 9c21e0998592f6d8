"""How the trainer stands: written by the loop's thread, read by the edge's."""

from prometheus_client import CollectorRegistry, Counter, Gauge

from martlet.wire.trainer import TrainerStatus
from trainer_svc.course import Course

QUALITY_EVERY = 16  # steps


class StatusBoard:
    """The newest status and the metrics of the same. Written from the loop's thread, read from any."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._status = TrainerStatus("", 0, 0, {}, 0, 0, 0, 0, 0, "", 0, 0, {}, "")
        self._commit = (0, "")
        self._examples = Counter("martlet_trainer_examples", "Examples learned", ["model"], registry=registry)
        self._outcomes = Gauge(
            "martlet_trainer_outcomes", "Outcomes by where they ended", ["model", "place"], registry=registry
        )
        self._quality = Gauge(
            "martlet_trainer_quality", "Prequential quality over the recent window", ["model", "metric"],
            registry=registry,
        )  # fmt: skip
        self._version = Gauge("martlet_trainer_published_version", "Last version taken", ["model"], registry=registry)
        self._seen_examples = 0

    def read(self) -> TrainerStatus:
        """The newest status."""
        return self._status

    def update(self, course: Course) -> None:
        """Takes a course's state after a step."""
        counts, model = course.joiner.counts, course.learner.model.name
        self._status = TrainerStatus(
            model=model,
            epoch=course.epoch,
            step=course.step,
            consumed=dict(course.positions),
            learned=counts.learned,
            excluded=counts.excluded,
            dead_lettered=counts.dead_lettered,
            pending=course.joiner.pending,
            duplicates=counts.duplicates,
            last_published_digest=course.parent_digest,
            last_published_version=course.version,
            last_checkpoint_step=self._commit[0],
            quality=self._status.quality if course.step % QUALITY_EVERY else course.prequential.quality(),
            state_digest=self._commit[1],
        )
        self._examples.labels(model).inc(course.examples - self._seen_examples)
        self._seen_examples = course.examples
        self._show(self._status)

    def committed(self, course: Course) -> None:
        """A checkpoint holds the course as it is now."""
        self._commit = (course.step, course.digest())
        self.update(course)

    def _show(self, status: TrainerStatus) -> None:
        for place in ("learned", "excluded", "dead_lettered", "pending"):
            self._outcomes.labels(status.model, place).set(getattr(status, place))
        for metric, value in status.quality.items():
            self._quality.labels(status.model, metric).set(value)
        self._version.labels(status.model).set(status.last_published_version)
