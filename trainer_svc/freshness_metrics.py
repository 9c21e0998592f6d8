"""How old things are: what is learned, what is published, what is on disk. Ages are made when somebody scrapes."""

from prometheus_client import CollectorRegistry, Gauge

from martlet.clock import Clock
from martlet.runtime.read_gauge import ReadGauge, Readings


class FreshnessMetrics:
    """Of one model at a time. Told by the loop's thread, read by others."""

    def __init__(self, collectors: CollectorRegistry, clock: Clock) -> None:
        self._clock = clock
        self._model = ""
        self._event_time_us = 0
        self._published = self._checkpointed = clock.monotonic()
        self._event_time = Gauge(
            "martlet_trainer_event_time_seconds", "How far event time has come", ["model"], registry=collectors
        )
        self._version = Gauge(
            "martlet_trainer_published_version", "The last version acknowledged", ["model"], registry=collectors
        )
        ages = {
            "data": ("From the event time up to which all is learned to now", self._data_age),
            "published": ("Since the registry acknowledged a version last", lambda: self._since(self._published)),
            "checkpoint": ("Since a checkpoint was on disk last", lambda: self._since(self._checkpointed)),
        }
        for name, (told, read) in ages.items():
            ReadGauge(f"martlet_trainer_{name}_age_seconds", told, ["model"], read, collectors)

    def begun(self, model: str) -> None:
        """Learning begins, in this process: ages count from now."""
        self._model = model
        self._published = self._checkpointed = self._clock.monotonic()

    def stands(self, event_time_us: int, version: int) -> None:
        """All up to an event time is learned; the registry has acknowledged a version (0: none)."""
        self._event_time_us = event_time_us
        self._event_time.labels(self._model).set(event_time_us / 1e6)
        self._version.labels(self._model).set(version)

    def published(self) -> None:
        """The registry acknowledged a version."""
        self._published = self._clock.monotonic()

    def checkpointed(self) -> None:
        """A checkpoint is on disk."""
        self._checkpointed = self._clock.monotonic()

    def _data_age(self) -> Readings:
        """Nothing before the first event."""
        if not self._event_time_us:
            return {}
        return {(self._model,): max(0.0, (self._clock.now_us() - self._event_time_us) / 1e6)}

    def _since(self, moment: float) -> Readings:
        return {(self._model,): self._clock.monotonic() - moment} if self._model else {}
