"""Offers versions to the registry, in a thread of its own, one at a time; learning goes on meanwhile."""

import logging
import threading
from dataclasses import dataclass
from typing import Protocol

from martlet.errors import Conflict, MartletError
from martlet.versions import CatalogState, LineageState, VersionRecord
from trainer_svc.version_builder import Built

logger = logging.getLogger(__name__)


class RegistryPort(Protocol):
    """What the publisher needs of the registry."""

    def publish(self, manifest: bytes) -> VersionRecord:
        """Offers a version."""
        ...

    def lineage(self, model: str) -> LineageState:
        """Where the lineage stands."""
        ...


@dataclass(frozen=True, slots=True)
class Arrived:
    """The version stands in the catalog."""

    sequence: int
    version: int
    digest: str


@dataclass(frozen=True, slots=True)
class NotTaken:
    """The version was refused; the lineage stands elsewhere."""

    sequence: int
    epoch: int
    parent: str
    reason: str


Result = Arrived | NotTaken


class Publisher:
    """Submits one version at a time and tries until the registry has answered. Thread-safe."""

    def __init__(self, registry: RegistryPort, retry_seconds: float = 0.5) -> None:
        self._registry = registry
        self._retry_seconds = retry_seconds
        self._work: Built | None = None
        self._result: Result | None = None
        self._wake = threading.Condition()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)
        self._thread.start()

    def submit(self, built: Built) -> None:
        """Offers a version. The one before must have been answered."""
        with self._wake:
            self._work = built
            self._wake.notify()

    def take_result(self) -> Result | None:
        """The answer, once, when it is there."""
        with self._wake:
            result, self._result = self._result, None
        return result

    def close(self) -> None:
        """Ends the thread; an offer in flight is left to be repeated after a restart."""
        self._closed.set()
        with self._wake:
            self._wake.notify()
        self._thread.join(5.0)

    def _run(self) -> None:
        while not self._closed.is_set():
            with self._wake:
                self._wake.wait_for(lambda: self._work is not None or self._closed.is_set())
                built, self._work = self._work, None
            while built is not None and not self._closed.is_set():
                try:
                    result = self._offer(built)
                except MartletError as error:
                    logger.warning("the registry did not take publish %d yet: %s", built.sequence, error)
                    self._closed.wait(self._retry_seconds)
                    continue
                with self._wake:
                    self._result = result
                break

    def _offer(self, built: Built) -> Result:
        model = built.manifest.model
        try:
            record = self._registry.publish(built.encoded)
        except Conflict as error:
            logger.warning("publish %d conflicts: %s", built.sequence, error)
            lineage = self._registry.lineage(model)
            return NotTaken(built.sequence, lineage.epoch, lineage.head_digest, str(error))
        if record.state is CatalogState.REJECTED:
            logger.warning("publish %d was refused: %s", built.sequence, record.reason)
            lineage = self._registry.lineage(model)
            return NotTaken(built.sequence, lineage.epoch, lineage.head_digest, record.reason)
        return Arrived(built.sequence, record.version, record.digest)
