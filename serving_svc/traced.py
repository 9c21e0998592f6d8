"""Serving with traces: request → batch → score → record, and a version's way until it is live. Made only if traced."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Generic, TypeVar

from typing_extensions import override

from martlet.events import Prediction
from martlet.runtime.tracing import Attributes, Tracer
from martlet.versions import AspiredModel, ServableStatus, VersionState
from serving_svc.batch_work import Work
from serving_svc.batcher import Batcher
from serving_svc.loader import ServableHandle
from serving_svc.servable import Servable
from serving_svc.shadow import ShadowScoring
from serving_svc.traffic_split import Route

MOST_VERSIONS: Final = 1024

P = TypeVar("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class _Part(Generic[P]):
    """A request's part of a batch, and the trace context it waits in; "": it is not traced."""

    part: P
    trace: str


@dataclass(frozen=True, slots=True)
class _TracedWork(Generic[P, R]):
    """Work whose run is a span: of the first traced request in it, with links to the others."""

    work: Work[P, R]
    tracer: Tracer

    def run(self, servable: Servable, parts: Sequence[_Part[P]]) -> Sequence[R]:
        """Runs; only if a request in it is traced, there is a span."""
        bare, traces = [one.part for one in parts], [one.trace for one in parts if one.trace]
        if not traces:
            return self.work.run(servable, bare)
        attributes = {"martlet.requests": len(parts)}
        with self.tracer.span("score", parent=traces[0], links=traces[1:], attributes=attributes):
            return self.work.run(servable, bare)


class TracedBatcher(Batcher):
    """A batcher whose waits and runs are spans. Traced requests and others share their runs as ever."""

    def __init__(self, *arguments: Any, tracer: Tracer, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._tracer = tracer

    @override
    async def together(self, handle: ServableHandle, work: Work[P, R], part: P, rows: int, deadline: float | None) -> R:
        """As of a batcher."""
        traced = _TracedWork(work, self._tracer)
        if not self._tracer.current():
            return await super().together(handle, traced, _Part(part, ""), rows, deadline)
        servable = handle.id
        attributes: Attributes = {
            "martlet.rows": rows,
            "martlet.model": servable.model,
            "martlet.version": servable.version,
        }
        with self._tracer.span("batch", attributes=attributes):
            waiting = _Part(part, self._tracer.current())
            return await super().together(handle, traced, waiting, rows, deadline)


class TracedRecords(ShadowScoring):
    """Records that say in which trace they were made, so that what is learned from them can be led back."""

    def __init__(self, *arguments: Any, tracer: Tracer, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._tracer = tracer

    @override
    def record(self, answer: Prediction, route: Route) -> None:
        """As of shadow scoring."""
        if not self._tracer.current():
            super().record(answer, route)
            return
        with self._tracer.span("record", attributes={"martlet.prediction": answer.prediction_id}):
            super().record(replace(answer, trace=self._tracer.current()), route)


class LiveSpans:
    """The last step of a version's trace: that it answers here. Lives on one event loop."""

    def __init__(self, tracer: Tracer, replica: str) -> None:
        self._tracer = tracer
        self._replica = replica
        self._coming: dict[str, str] = {}

    def aspired(self, model: AspiredModel) -> None:
        """These versions are to be loaded."""
        for version in model.versions:
            if version.trace:
                self._coming.setdefault(version.digest, version.trace)
        while len(self._coming) > MOST_VERSIONS:
            del self._coming[next(iter(self._coming))]

    def changed(self, statuses: Iterable[ServableStatus]) -> None:
        """This is what the replica holds."""
        for status in statuses:
            trace = self._coming.get(status.digest, "")
            if trace and status.state is VersionState.READY:
                self._coming[status.digest] = ""  # told once
                attributes: Attributes = {
                    "martlet.model": status.model,
                    "martlet.version": status.version,
                    "martlet.replica": self._replica,
                }
                with self._tracer.span("version live", parent=trace, attributes=attributes):
                    pass
