"""The prediction log: what was answered goes to the event log, and no answer ever waits for it."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final

from prometheus_client import CollectorRegistry

from martlet.eventlog.port import EventWriter
from martlet.events import LogPosition, Prediction
from martlet.runtime.local_metrics import LocalCounter

_log = logging.getLogger(__name__)

GATHER_SECONDS: Final = 0.005
GATHER_RECORDS: Final = 32


class PredictionLog:
    """Offers prediction records to the event log. Never waits, never raises; what is dropped is counted.

    Records are encoded a few milliseconds after their answers, several in a row: no answer waits for its encoding, and
    the log's thread wakes once for all of them. Lives on one event loop. What else goes to the same partition must go
    through `writer`: then a prediction offered before it stands before it.
    """

    def __init__(
        self, writer: EventWriter, encode: Callable[[Prediction], bytes], collectors: CollectorRegistry
    ) -> None:
        self.writer: EventWriter = _InOrder(writer, self)
        self._writer = writer
        self._encode = encode
        self._waiting: list[Prediction] = []
        self._offered = LocalCounter(
            "martlet_serving_prediction_records", "Prediction records queued for the event log", (), collectors
        ).of()
        self._dropped = LocalCounter(
            "martlet_serving_prediction_records_dropped",
            "Prediction records dropped because the queue was full",
            (),
            collectors,
        ).of()

    @property
    def waiting(self) -> int:
        """Records that are not in the event log's queue yet."""
        return len(self._waiting)

    def offer(self, prediction: Prediction) -> None:
        """Takes a record."""
        self._waiting.append(prediction)
        if len(self._waiting) == 1:
            asyncio.get_running_loop().call_later(GATHER_SECONDS, self.flush)
        elif len(self._waiting) >= GATHER_RECORDS:
            self.flush()

    def flush(self) -> None:
        """Queues all records taken."""
        waiting, self._waiting = self._waiting, []
        for prediction in waiting:
            if self._queued(prediction):
                self._offered.value += 1
            else:
                self._dropped.value += 1

    def _queued(self, prediction: Prediction) -> bool:
        try:
            return self._writer.offer(self._encode(prediction))
        except Exception:  # noqa: BLE001  one record must not take the others with it
            about = {"prediction": prediction.prediction_id, "model": prediction.model, "version": prediction.version}
            _log.exception("prediction %s cannot be recorded", prediction.prediction_id, extra=about)
            return False


class _InOrder:
    """A log behind its prediction records."""

    def __init__(self, writer: EventWriter, predictions: PredictionLog) -> None:
        self._writer = writer
        self._predictions = predictions

    def offer(self, payload: bytes) -> bool:
        self._predictions.flush()
        return self._writer.offer(payload)

    def append(self, payload: bytes) -> "Future[LogPosition]":
        self._predictions.flush()
        return self._writer.append(payload)

    def waiting(self) -> int:
        return self._writer.waiting()

    def close(self) -> None:
        self._predictions.flush()
        self._writer.close()
