"""The judge's thread, and its metrics."""

import logging
import threading
from collections.abc import Callable
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

    A failure ends the process: a live lane that nobody judges would be worse than a trainer that starts anew.

    Args:
        interval_s: how long to wait after a step.
        failed: called when it ends with an error.
    """

    def __init__(
        self, loop: EvidenceLoop, interval_s: float, ending: threading.Event, failed: Callable[[], None]
    ) -> None:
        super().__init__(name="evidence", daemon=True)
        self._loop = loop
        self._interval_s = interval_s
        self._ending = ending
        self._failed = failed
        self.failure: Exception | None = None

    def run(self) -> None:
        """The thread's body."""
        try:
            if not self._loop.recover():
                return
            while not self._ending.is_set():
                self._turn()
            self._loop.close()
        except Exception as error:
            logger.exception("the judge's cursor failed")
            self.failure = error
            self._failed()

    def _turn(self) -> None:
        try:
            self._loop.turn()
        except NotReady as error:  # nothing took effect that is not on disk
            logger.warning("evidence waits: %s", error)
            self._ending.wait(_DISK_PAUSE)
        self._ending.wait(self._interval_s)
