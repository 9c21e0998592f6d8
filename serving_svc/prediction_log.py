"""The prediction log: what was answered goes to the event log, and no answer ever waits for it."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter

from martlet.eventlog.port import EventWriter
from martlet.events import Prediction


class PredictionLog:
    """Offers prediction records to the event log. Never waits, never raises; what is dropped is counted."""

    def __init__(
        self, writer: EventWriter, encode: Callable[[Prediction], bytes], collectors: CollectorRegistry
    ) -> None:
        self._writer = writer
        self._encode = encode
        self._offered = Counter(
            "martlet_serving_prediction_records", "Prediction records queued for the event log", registry=collectors
        )
        self._dropped = Counter(
            "martlet_serving_prediction_records_dropped",
            "Prediction records dropped because the queue was full",
            registry=collectors,
        )

    def offer(self, prediction: Prediction) -> bool:
        """Queues a record; False if it was dropped."""
        if self._writer.offer(self._encode(prediction)):
            self._offered.inc()
            return True
        self._dropped.inc()
        return False
