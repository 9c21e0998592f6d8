"""Brings versions to the registry, in the background, one at a time, for as long as it takes."""

import logging
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import Protocol, TypeVar

from martlet.errors import Conflict, MartletError, NotReady
from martlet.manifest import Manifest, encode_manifest, manifest_digest
from martlet.versions import CatalogState, LineageState, VersionRecord
from trainer_svc.journal import Acknowledged, Overtaken, PublishResult, Recalled, Refused
from trainer_svc.version_builder import VersionBuilder, VersionPayload

logger = logging.getLogger(__name__)

T = TypeVar("T")

FIRST_PAUSE: float = 0.1
LONGEST_PAUSE: float = 5.0


class RegistryPort(Protocol):
    """What the publisher asks of the registry."""

    def publish(self, manifest: bytes) -> VersionRecord:
        """Offers a version; a refused one comes back with state REJECTED.

        Raises:
            Conflict: the head or the epoch is another.
        """
        ...

    def lineage(self, model: str) -> LineageState:
        """Where a model's lineage stands."""
        ...

    def acknowledge_rewind(self, model: str, epoch: int, digest: str) -> None:
        """Training stands where that version was made.

        Raises:
            Conflict: another epoch, or another version.
        """
        ...


@dataclass(frozen=True, slots=True)
class PublishJob:
    """A version under way: `built` is done when its blobs are durable, `result` when the registry has answered."""

    number: int
    built: "Future[Manifest]"
    result: "Future[PublishResult | Recalled]"


@dataclass(frozen=True, slots=True)
class Offer:
    """A version on the structural road."""

    version: int
    digest: str


class Stopped(Exception):
    """The trainer ends; the version goes out after the restart."""


class Publisher:
    """Runs jobs on an executor of one thread. Thread-safe.

    Args:
        pause: waits so many seconds between two tries; True says that the trainer ends.
        failed: told of each try that failed. In the executor's thread.
    """

    def __init__(
        self,
        builder: VersionBuilder,
        registry: RegistryPort,
        executor: Executor,
        pause: Callable[[float], bool],
        failed: Callable[[], None] = lambda: None,
    ) -> None:
        self._failed = failed
        self._builder = builder
        self._registry = registry
        self._executor = executor
        self._pause = pause

    def build(self, payload: VersionPayload) -> Manifest:
        """Builds a version on the caller's thread, for as long as the store takes; sends nothing.

        Raises:
            Stopped: the trainer ends.
        """
        return self._insist(lambda: self._builder.build(payload))

    def submit(self, payload: VersionPayload) -> PublishJob:
        """Builds a version and publishes it."""
        built = self._executor.submit(self._insist, lambda: self._builder.build(payload))
        return PublishJob(payload.number, built, self._executor.submit(self._send_built, payload.number, built))

    def resubmit(self, number: int, manifest: Manifest) -> PublishJob:
        """Publishes a version that was built before."""
        built: Future[Manifest] = Future()
        built.set_result(manifest)
        return PublishJob(number, built, self._executor.submit(self._send_built, number, built))

    def ask(self, model: str) -> "Future[LineageState | None]":
        """Where the lineage stands; None if the registry does not say."""
        return self._executor.submit(self._ask, model)

    def tell(self, model: str, epoch: int, digest: str) -> "Future[LineageState]":
        """Tells that training stands at a version again, until the registry has heard; then asks where it stands."""
        return self._executor.submit(self._insist, lambda: self._tell(model, epoch, digest))

    def offer(self, payload: VersionPayload) -> "Future[Offer]":
        """Builds a version of a branch and offers it once; it takes the structural road."""
        return self._executor.submit(self._offer, payload)

    def _offer(self, payload: VersionPayload) -> Offer:
        encoded = encode_manifest(self._builder.build(payload))
        record = self._registry.publish(encoded)
        if record.state is CatalogState.REJECTED:
            raise Conflict(f"version {record.version} is refused: {record.reason}")
        return Offer(record.version, manifest_digest(encoded))

    def _ask(self, model: str) -> LineageState | None:
        try:
            return self._registry.lineage(model)
        except MartletError as error:
            logger.debug("the registry does not say where %s stands: %s", model, error)
            return None

    def _tell(self, model: str, epoch: int, digest: str) -> LineageState:
        try:
            self._registry.acknowledge_rewind(model, epoch, digest)
        except Conflict as conflict:  # it has moved on; where to, its lineage says
            logger.warning("the rewind of %s is not taken: %s", model, conflict)
        return self._registry.lineage(model)

    def _send_built(self, number: int, built: "Future[Manifest]") -> PublishResult | Recalled:
        manifest = built.result()
        encoded = encode_manifest(manifest)
        digest = manifest_digest(encoded)
        return self._insist(lambda: self._send(number, manifest, encoded, digest))

    def _send(self, number: int, manifest: Manifest, encoded: bytes, digest: str) -> PublishResult | Recalled:
        try:
            record = self._registry.publish(encoded)
        except Conflict as conflict:
            logger.info("version %d of %s conflicts: %s", number, manifest.model, conflict)
            return self._overtaken(number, manifest, digest)
        if record.state in (CatalogState.ADMITTED, CatalogState.PINNED, CatalogState.RETIRED):
            return Acknowledged(number, digest, record.version)
        logger.warning("version %d of %s is refused: %s", number, manifest.model, record.reason)
        found = self._overtaken(number, manifest, digest)
        own = manifest.lineage
        if isinstance(found, Recalled) or (found.epoch, found.head_digest) != (own.epoch, own.parent):
            return found
        return Refused(number, digest, record.reason)

    def _overtaken(self, number: int, manifest: Manifest, digest: str) -> Overtaken | Recalled:
        state = self._registry.lineage(manifest.model)
        if state.rewind:
            return Recalled(state.head_digest, state.head_version, state.epoch)
        if state.frozen:
            raise NotReady(f"{manifest.model} is frozen: {state.frozen}")  # until it is not, this is tried again
        return Overtaken(number, digest, state.epoch, state.head_digest)

    def _insist(self, attempt: Callable[[], T]) -> T:
        """Tries until it works. Learning goes on meanwhile; nothing is lost."""
        seconds = FIRST_PAUSE
        while True:
            try:
                return attempt()
            except (MartletError, OSError) as error:
                self._failed()
                logger.warning("publishing waits %.1f s: %s", seconds, error)
            if self._pause(seconds):
                raise Stopped
            seconds = min(2 * seconds, LONGEST_PAUSE)
