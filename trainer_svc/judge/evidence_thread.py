"""The judge's thread, and its metrics. A failure of it does not stop learning: it is logged, counted and shown."""

import logging
import threading
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge

from martlet.errors import NotReady
from trainer_svc.judge.evidence_loop import EvidenceLoop

logger = logging.getLogger(__name__)

_DISK_PAUSE: Final = 1.0


class EvidenceMetrics:
    """What the judge's cursor did. Thread-safe."""

    def __init__(self, collectors: CollectorRegistry, model: str) -> None:
        def counter(name: str, text: str) -> Counter:
            return Counter(f"martlet_trainer_evidence_{name}", text, ["model"], registry=collectors)

        self._rows = counter("rows", "Labelled rows that the registry has acknowledged").labels(model)
        self._batches = counter("batches", "Batches that the registry has acknowledged").labels(model)
        self._failures = counter("failures", "Tries that the registry did not take").labels(model)
        self._lag = Gauge(
            "martlet_trainer_evidence_lag_seconds",
            "From an answer to the acknowledgement of its label, the longest of the newest batch",
            ["model"],
            registry=collectors,
        ).labels(model)
        self.stopped = Gauge(
            "martlet_trainer_evidence_stopped", "1 after the judge's loop failed", ["model"], registry=collectors
        ).labels(model)

    def reported(self, rows: int, lag_seconds: float) -> None:
        """A batch was acknowledged."""
        self._rows.inc(rows)
        self._batches.inc()
        self._lag.set(lag_seconds)

    def failed(self) -> None:
        """A batch was not taken."""
        self._failures.inc()


class EvidenceThread(threading.Thread):
    """Runs an evidence loop until the trainer ends.

    Args:
        interval_s: how long to wait after a step that left nothing behind.
    """

    def __init__(
        self, loop: EvidenceLoop, metrics: EvidenceMetrics, interval_s: float, ending: threading.Event
    ) -> None:
        super().__init__(name="evidence", daemon=True)
        self._loop = loop
        self._metrics = metrics
        self._interval_s = interval_s
        self._ending = ending

    def run(self) -> None:
        """The thread's body."""
        try:
            if not self._loop.recover():
                return
            while not self._ending.is_set():
                self._turn()
            self._loop.close()
        except Exception:  # the lane then gets no evidence and holds; learning goes on
            logger.exception("the judge's cursor has stopped")
            self._metrics.stopped.set(1)

    def _turn(self) -> None:
        try:
            self._loop.turn()
        except NotReady as error:  # nothing took effect that is not on disk
            logger.warning("evidence waits: %s", error)
            self._ending.wait(_DISK_PAUSE)
        self._ending.wait(self._interval_s)
