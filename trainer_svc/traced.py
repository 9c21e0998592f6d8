"""The trainer with traces: from the recommendation that a step learned of to the version that carries it away."""

import threading
from collections import deque
from typing import Final

import msgspec

from martlet.manifest import manifest_digest
from martlet.measurement import MeasurementBatch
from martlet.runtime.tracing import Attributes, Tracer
from martlet.versions import LineageState, VersionRecord
from trainer_svc.journal import PublishResult, Rewound
from trainer_svc.loop_settings import LoopObserver
from trainer_svc.publisher import RegistryPort
from trainer_svc.stepping import Stepping

MOST_STEPS: Final = 1024


class TracedSteps:
    """An observer that makes a span of each step that learned something traced. `taken_by`: from any thread.

    A step is a span of the first recommendation's trace; links lead to the others.
    """

    def __init__(self, inner: LoopObserver, tracer: Tracer, model: str) -> None:
        self._inner = inner
        self._tracer = tracer
        self._model = model
        self._lock = threading.Lock()
        self._steps: deque[tuple[int, str]] = deque(maxlen=MOST_STEPS)

    def stepped(self, stepping: Stepping, seconds: float) -> None:
        """A step was taken."""
        self._inner.stepped(stepping, seconds)
        if not stepping.traces:
            return
        first, *others = stepping.traces
        attributes: Attributes = {
            "martlet.model": self._model,
            "martlet.step": stepping.step,
            "martlet.examples": stepping.examples,
        }
        with self._tracer.span("learn", parent=first, links=others, attributes=attributes, seconds_ago=seconds):
            trace = self._tracer.current()
        with self._lock:
            self._steps.append((stepping.step, trace))

    def taken_by(self, step: int) -> list[str]:
        """The traces of the steps up to this one that no version has carried away yet."""
        with self._lock:
            taken = [trace for number, trace in self._steps if number <= step and trace]
            while self._steps and self._steps[0][0] <= step:
                self._steps.popleft()
        return taken

    def published(self, result: PublishResult, seconds: float) -> None:
        """As of the observer within."""
        self._inner.published(result, seconds)

    def checkpointed(self, step: int, digest: str, seconds: float) -> None:
        """As of the observer within."""
        self._inner.checkpointed(step, digest, seconds)

    def checkpoint_failed(self) -> None:
        """As of the observer within."""
        self._inner.checkpoint_failed()

    def rewound(self, entry: Rewound, seconds: float) -> None:
        """As of the observer within."""
        self._inner.rewound(entry, seconds)

    def reported(self, batch: MeasurementBatch) -> None:
        """As of the observer within."""
        self._inner.reported(batch)


class TracedPublishing:
    """Publishing as a span: of the newest traced step that the version holds, with links to the others.

    Its trace goes along to the registry, and from there to the replicas that load the version.
    """

    def __init__(self, registry: RegistryPort, tracer: Tracer, steps: TracedSteps) -> None:
        self._registry = registry
        self._tracer = tracer
        self._steps = steps
        self._sent: tuple[str, list[str]] = ("", [])

    def publish(self, manifest: bytes) -> VersionRecord:
        """As of the registry."""
        digest = manifest_digest(manifest)
        if self._sent[0] != digest:  # one that is tried again carries what it carried
            self._sent = digest, self._steps.taken_by(_MANIFESTS.decode(manifest).learned.step)
        *others, newest = self._sent[1] or [""]
        with self._tracer.span("publish", parent=newest, links=others, attributes={"martlet.digest": digest}):
            return self._registry.publish(manifest)

    def lineage(self, model: str) -> LineageState:
        """As of the registry."""
        return self._registry.lineage(model)

    def acknowledge_rewind(self, model: str, epoch: int, digest: str) -> None:
        """As of the registry."""
        self._registry.acknowledge_rewind(model, epoch, digest)


class _Step(msgspec.Struct):
    step: int


class _OfManifest(msgspec.Struct):
    learned: _Step


_MANIFESTS: Final = msgspec.json.Decoder(_OfManifest)  # made at import: see `trainer_svc.journal`
