"""How the trainer stands: written by the loop's thread, read by the edge's."""

from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, Gauge

from trainer_svc.course import Course


@dataclass(frozen=True, slots=True)
class Status:
    """A view of a course after a step."""

    model: str = ""
    epoch: int = 0
    step: int = 0
    consumed: dict[str, int] = field(default_factory=dict)
    learned: int = 0
    excluded: int = 0
    dead_lettered: int = 0
    pending: int = 0
    duplicates: int = 0
    version: int = 0
    digest: str = ""
    quality: dict[str, float] = field(default_factory=dict)


class StatusBoard:
    """The newest status and the metrics of the same. `update` from the loop's thread, `read` from any."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._status = Status()
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

    def read(self) -> Status:
        """The newest status."""
        return self._status

    def update(self, course: Course) -> None:
        """Takes a course's state."""
        counts, model = course.joiner.counts, course.learner.model.name
        self._status = Status(
            model, course.epoch, course.step, dict(course.positions), counts.learned, counts.excluded,
            counts.dead_lettered, course.joiner.pending, counts.duplicates, course.version, course.parent_digest,
            self._status.quality if course.step % 16 else course.prequential.quality(),
        )  # fmt: skip
        self._examples.labels(model).inc(course.examples - self._seen_examples)
        self._seen_examples = course.examples
        for place in ("learned", "excluded", "dead_lettered", "pending"):
            self._outcomes.labels(model, place).set(getattr(self._status, place))
        for metric, value in self._status.quality.items():
            self._quality.labels(model, metric).set(value)
        self._version.labels(model).set(course.version)
