"""How requests are batched: sizes of runs, waits before them, how long they take. For one thread: the event loop's."""

from typing import Final

from prometheus_client import CollectorRegistry

from martlet.runtime.local_metrics import LocalHistogram
from serving_svc.batcher import Run

_ROWS: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
_REQUESTS: Final = (1, 2, 4, 8, 16, 32, 64, 128)
_SECONDS: Final = (0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)


class BatchMetrics:
    """One instance for each CollectorRegistry."""

    def __init__(self, collectors: CollectorRegistry) -> None:
        told = {
            "rows": ("Item rows scored in one run", _ROWS),
            "requests": ("Requests scored in one run", _REQUESTS),
            "wait_seconds": ("How long the first request of a batch waited before the run", _SECONDS),
            "run_seconds": ("How long the run took", _SECONDS),
        }
        self._rows, self._requests, self._waits, self._runs = (
            LocalHistogram(f"martlet_serving_batch_{name}", text, (), bounds, collectors).of()
            for name, (text, bounds) in told.items()
        )

    def ran(self, run: Run) -> None:
        """A batch was run."""
        self._rows.observe(run.rows)
        self._requests.observe(run.requests)
        self._waits.observe(run.waited)
        self._runs.observe(run.seconds)
