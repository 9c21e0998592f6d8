"""How much waits in a replica, and how much may: gauges that are read when somebody scrapes; and what was taken in."""

from collections.abc import Callable
from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from martlet.eventlog.port import EventWriter
from martlet.runtime.config import ServingConfig
from martlet.runtime.local_metrics import LocalCounter
from martlet.runtime.read_gauge import read_number
from serving_svc.batcher import Batcher
from serving_svc.event_intake import DELETE, OUTCOME, UPSERT
from serving_svc.item_store import ItemStore
from serving_svc.item_tail import ItemTail
from serving_svc.prediction_log import PredictionLog
from serving_svc.shadow import ShadowScoring


@dataclass(frozen=True, slots=True)
class Queues:
    """The rooms of a replica in which something waits."""

    writer: EventWriter
    predictions: PredictionLog
    shadow: ShadowScoring
    batcher: Batcher
    items: ItemStore
    tail: ItemTail


def watch_queues(queues: Queues, config: ServingConfig, collectors: CollectorRegistry) -> None:
    """Registers their depths, and their bounds where they have one."""
    shadow, predictions = queues.shadow, queues.predictions
    depths: dict[str, tuple[str, Callable[[], float]]] = {
        "event_queue_records": ("Records waiting in the event log's writer", queues.writer.waiting),
        "prediction_records_waiting": (
            "Answers whose record is not in that queue yet",
            lambda: predictions.waiting + shadow.waiting_records,
        ),
        "shadow_waiting_rows": ("Item rows that wait to be scored in shadow", lambda: shadow.waiting_rows),
        "pending_rows": ("Item rows waiting or being scored", lambda: queues.batcher.pending_rows),
        "items": ("Items known", lambda: queues.items.size),
        "items_caught_up": ("Whether all items announced before are known", lambda: queues.tail.caught_up),
    }
    for name, (told, read) in depths.items():
        read_number(f"martlet_serving_{name}", told, read, collectors)
    _limit("event_queue", config.prediction_queue, collectors)
    _limit("shadow_waiting_rows", config.shadow_queue, collectors)
    _limit("pending_rows", config.max_pending_rows, collectors)


def _limit(name: str, most: int, collectors: CollectorRegistry) -> None:
    read_number(f"martlet_serving_{name}_limit", "How much of it there may be", lambda: most, collectors)


class IntakeMetrics:
    """Counts what clients announce, and was acknowledged. For one thread: the event loop's."""

    def __init__(self, collectors: CollectorRegistry) -> None:
        events = LocalCounter("martlet_serving_events", "Events acknowledged", ["kind"], collectors)
        self._events = {kind: events.of(kind) for kind in (OUTCOME, UPSERT, DELETE)}

    def taken(self, kind: str, count: int) -> None:
        """So many events of a kind were acknowledged."""
        self._events[kind].value += count
