"""What each version did for `ModelInfer`: counts and durations, as the statistics of Triton's clients want them.

A request costs a handful of additions. Requests of other kinds are not counted here.
"""

from dataclasses import dataclass, field

from serving_svc.servable import ServableId


@dataclass(slots=True)
class Duration:
    """How often, and for how long altogether, in nanoseconds."""

    count: int = 0
    ns: int = 0

    def add(self, seconds: float) -> None:
        """Once more."""
        self.count += 1
        self.ns += round(seconds * 1e9)


@dataclass(frozen=True, slots=True)
class Stages:
    """When one answered request passed each stage, in monotonic seconds: taken, checked, run begun, run ended, done."""

    taken: float
    checked: float
    begun: float
    ended: float
    done: float


@dataclass(slots=True)
class VersionStatistics:
    """One version's totals since it was loaded.

    Attributes:
        last_us: when it last answered, in microseconds since the epoch; 0: never.
        rows: rows answered.
        runs: runs of its graph for them; `last_ended` is when the last one ended (monotonic seconds).
    """

    last_us: int = 0
    rows: int = 0
    runs: int = 0
    last_ended: float = 0.0
    success: Duration = field(default_factory=Duration)
    fail: Duration = field(default_factory=Duration)
    compute_input: Duration = field(default_factory=Duration)
    queue: Duration = field(default_factory=Duration)
    compute_infer: Duration = field(default_factory=Duration)
    compute_output: Duration = field(default_factory=Duration)

    def answered(self, rows: int, stages: Stages, now_us: int) -> None:
        """It answered a request of so many rows."""
        self.last_us = now_us
        self.rows += rows
        self.runs += stages.ended != self.last_ended  # requests that shared a run have its end in common
        self.last_ended = stages.ended
        self.success.add(stages.done - stages.taken)
        self.compute_input.add(stages.checked - stages.taken)
        self.queue.add(stages.begun - stages.checked)
        self.compute_infer.add(stages.ended - stages.begun)
        self.compute_output.add(stages.done - stages.ended)


class TensorStatistics:
    """All versions' totals. Lives on one event loop."""

    def __init__(self) -> None:
        self._versions: dict[ServableId, VersionStatistics] = {}

    def of(self, servable: ServableId) -> VersionStatistics:
        """One version's totals."""
        known = self._versions.get(servable)
        if known is None:
            known = self._versions[servable] = VersionStatistics()
        return known

    def forget(self, servable: ServableId) -> None:
        """Drops a retired version."""
        self._versions.pop(servable, None)
