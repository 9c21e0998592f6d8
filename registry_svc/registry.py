"""The registry's use cases. Servicers know only this room."""

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from concurrent.futures import Executor
from contextvars import copy_context
from dataclasses import dataclass, replace
from typing import TypeVar

from martlet.artifacts import ArtifactStore
from martlet.clock import Clock
from martlet.errors import Corrupt, InvalidInput, MartletError, NotFound, Unavailable
from martlet.evidence import EvidenceBatch
from martlet.manifest import Manifest, decode_manifest, manifest_digest
from martlet.measurement import MeasurementBatch
from martlet.signed_versions import SignatureChecks
from martlet.versions import AspiredSet, CatalogState, Expiry, LineageState, ServableStatus, VersionRecord
from registry_svc.admission import (
    LONGEST_NAME,
    MAX_NUMBER,
    AdmissionPolicy,
    check_address,
    check_manifest,
    goes_on,
)
from registry_svc.blob_checks import BlobChecks
from registry_svc.catalog import Catalog
from registry_svc.controller import Controller, Offer
from registry_svc.measurement_log import MeasurementLog
from registry_svc.metrics import RegistryMetrics
from registry_svc.retention import Order, Retention
from registry_svc.watchers import Watchers

R = TypeVar("R")

logger = logging.getLogger(__name__)

MANIFESTS_LISTED = 64
LISTING_BYTES = 4 << 20
BATCHES_KEPT = 50_000
BATCHES_BETWEEN_FORGETTING = 1_000


@dataclass(frozen=True, slots=True)
class Threads:
    """Where blocking work is done.

    Attributes:
        catalog: one thread, so that short database calls come one after the other.
        admission: reads and checks blobs, which may take seconds and must not hold up the catalog.
    """

    catalog: Executor
    admission: Executor


class Registry:
    """Admits, records, tells. Async-safe: lives on one event loop, and many calls may be under way at once."""

    def __init__(
        self,
        catalog: Catalog,
        measurements: MeasurementLog,
        artifacts: ArtifactStore,
        blobs: BlobChecks,
        controller: Controller,
        retention: Retention,
        watchers: Watchers,
        policy: AdmissionPolicy,
        clock: Clock,
        metrics: RegistryMetrics,
        threads: Threads,
        listing_limit: int,
        signatures: SignatureChecks | None = None,
    ) -> None:
        self._catalog = catalog
        self._measurements = measurements
        self._artifacts = artifacts
        self._blobs = blobs
        self._controller = controller
        self._retention = retention
        self._watchers = watchers
        self._policy = policy
        self._clock = clock
        self._metrics = metrics
        self._threads = threads
        self._listing_limit = listing_limit
        self._signatures = signatures
        self._batches = 0

    async def publish(self, encoded: bytes, caller: str = "") -> VersionRecord:
        """Offers a version. The same again gets the record that stands; one that may not be served is REJECTED.

        Args:
            encoded: the manifest.
            caller: who offers it, as verified; stands in the journal.

        Raises:
            Corrupt, InvalidInput: what came is no manifest that could be recorded.
            Untrusted: no trusted publisher signed it. It is not recorded: signed, the same version may come again.
            Conflict: the lineage's head or epoch is another.
            Unavailable: another registry leads.
        """
        try:
            record, known = await self._publish(encoded, caller)
        except MartletError as error:
            self._metrics.not_taken(error)
            raise
        self._metrics.offered(record, known=known)
        return record

    async def _publish(self, encoded: bytes, caller: str) -> tuple[VersionRecord, bool]:
        """The version's record, and whether it was there before."""
        arrived = self._clock.monotonic()
        manifest, digest = decode_manifest(encoded), manifest_digest(encoded)
        check_address(manifest)
        known, parent = await self._in_catalog(lambda: self._look_up(manifest, digest))
        if known is not None:
            return known, True
        await self._in_catalog(self._controller.check_leads)
        await self._in_admission(lambda: self._check_signature(digest))
        answers = await self._in_catalog(lambda: self._controller.answers(manifest.model))
        # Where the version answers nobody its moves hurt nobody: the judge looks at it. A newborn model moves far,
        # and a structural version begins in the shadow.
        policy = self._policy if answers and goes_on(manifest, parent) else AdmissionPolicy(math.inf)
        objection = await self._in_admission(lambda: self._objection(manifest, parent, encoded, policy))
        offer = Offer(self._record(manifest, digest), encoded, in_lineage=goes_on(manifest, parent), caller=caller)
        if objection:
            logger.warning("%s: version %s refused: %s", manifest.model, digest, objection)
            return await self._in_catalog(lambda: self._controller.refuse(offer, objection)), False
        record = await self._in_catalog(lambda: self._controller.admit(offer))
        self._metrics.publish.observe(self._clock.monotonic() - arrived)
        return record, False

    async def version(self, model: str, version: int) -> VersionRecord:
        """One version with its manifest.

        Raises:
            NotFound: there is none.
        """
        if version > MAX_NUMBER:
            raise NotFound(f"model {model!r} has no version {version}")
        return await self._in_catalog(lambda: self._catalog.get(model, version))

    async def versions(
        self, model: str, after: int, page_size: int, *, with_manifests: bool
    ) -> tuple[list[VersionRecord], bool]:
        """A page of versions above a number, oldest first, and whether more stand after it.

        A page size of 0 means the limit. A page with manifests is also bounded in bytes.
        """
        limit = min(page_size or self._listing_limit, self._listing_limit)
        if with_manifests:
            limit = min(limit, MANIFESTS_LISTED)
        found = await self._in_catalog(
            lambda: self._catalog.versions(model, min(after, MAX_NUMBER), limit + 1, with_manifests=with_manifests)
        )
        page = _within(found[:limit], LISTING_BYTES)
        return page, len(page) < len(found)

    async def lineage(self, model: str) -> LineageState:
        """Where a model's lineage stands; versions 0 and digests "" before its first version."""
        lane = (await self._in_catalog(lambda: self._catalog.standing(model))).lane
        head, pin = lane.head, lane.pin
        return LineageState(
            model, lane.epoch, lane.revision, head.version, head.digest, pin.version, pin.digest, lane.rewinding,
            lane.frozen,
        )  # fmt: skip

    async def report_evidence(self, batch: EvidenceBatch) -> bool:
        """Judges a batch of evidence, once; False when it was here already.

        Raises:
            InvalidInput: its producer or sequence cannot be recorded.
            NotFound: no such model.
        """
        _check_name("producer", batch.producer)
        if batch.sequence > MAX_NUMBER:
            raise InvalidInput(f"sequence {batch.sequence} is too large")
        return await self._in_catalog(lambda: self._controller.judge(batch))

    async def acknowledge_rewind(self, model: str, epoch: int, digest: str) -> None:
        """Takes the trainer's word that it stands at the head of this epoch.

        Raises:
            Conflict: another epoch, or another version.
        """
        await self._in_catalog(lambda: self._controller.acknowledge_rewind(model, epoch, digest))

    async def expire(self, order: Order) -> Expiry:
        """Removes the artifacts of versions below a number.

        Raises:
            InvalidInput: nobody says who and why.
            NotFound: no such model.
            Conflict: one of them is aspired.
        """
        if not order.who.strip() or not order.why.strip():
            raise InvalidInput("who and why must be said")
        return await self._in_catalog(lambda: self._retention.expire(order))

    def watch(self, models: Collection[str]) -> AsyncIterator[AspiredSet]:
        """Full aspired sets: at once, after each change, and again within each lease."""
        return self._watchers.watch(models)

    async def report_replica(self, replica: str, statuses: Sequence[ServableStatus]) -> None:
        """Takes all that a replica holds; versions that it could not load leave their lanes.

        Raises:
            InvalidInput: the replica has no usable name.
        """
        _check_name("replica", replica)
        await self._in_catalog(lambda: self._controller.hear(replica, statuses))

    async def report_measurements(self, batch: MeasurementBatch) -> bool:
        """Adds a batch of measurements, once; False when it was there. What is not finite in it is left out.

        Raises:
            InvalidInput: its producer or sequence cannot be recorded.
        """
        _check_name("producer", batch.producer)
        if batch.sequence > MAX_NUMBER:
            raise InvalidInput(f"sequence {batch.sequence} is too large")
        finite = tuple(m for m in batch.measurements if math.isfinite(m.sum) and math.isfinite(m.sum_of_squares))
        if len(finite) < len(batch.measurements):
            left_out = len(batch.measurements) - len(finite)
            logger.warning("%s: %d measurements are not finite and left out", batch.producer, left_out)
        added = await self._in_catalog(lambda: self._add(replace(batch, measurements=finite)))
        self._metrics.measured(len(finite), accepted=added)
        return added

    def _look_up(self, manifest: Manifest, digest: str) -> tuple[VersionRecord | None, Manifest | None]:
        """The version if it is known, and its parent's manifest if that is."""
        known = self._catalog.find(manifest.model, digest)
        if known is not None or not manifest.lineage.parent:
            return known, None
        parent = self._catalog.find(manifest.model, manifest.lineage.parent)
        return None, decode_manifest(parent.manifest) if parent else None

    def _objection(self, manifest: Manifest, parent: Manifest | None, encoded: bytes, policy: AdmissionPolicy) -> str:
        """Why a version may not be served, or "". What is aspired stands in the store with its manifest."""
        try:
            check_manifest(manifest, parent, policy)
            self._blobs.check(manifest, parent)
            self._artifacts.put_manifest(encoded)
        except (Corrupt, NotFound, InvalidInput) as error:
            return str(error) or type(error).__name__
        except OSError as error:
            raise Unavailable(f"the artifact store does not take the manifest: {error.strerror or error}") from error
        return ""

    def _check_signature(self, digest: str) -> None:
        try:
            if self._signatures is not None:
                self._signatures.check(digest)
        except OSError as error:
            raise Unavailable(f"the artifact store cannot be read: {error.strerror or error}") from error

    def _record(self, manifest: Manifest, digest: str) -> VersionRecord:
        """The version's record, before it has a number."""
        return VersionRecord(
            model=manifest.model,
            version=0,
            digest=digest,
            parent_digest=manifest.lineage.parent,
            epoch=manifest.lineage.epoch,
            state=CatalogState.PENDING,
            reason="",
            kind=manifest.kind.value,
            published_time_us=self._clock.now_us(),
        )

    def _add(self, batch: MeasurementBatch) -> bool:
        added = self._measurements.add(batch)
        self._batches += added
        if added and self._batches % BATCHES_BETWEEN_FORGETTING == 0:
            self._measurements.forget(BATCHES_KEPT)
        return added

    async def _in_catalog(self, work: Callable[[], R]) -> R:
        return await asyncio.get_running_loop().run_in_executor(self._threads.catalog, copy_context().run, work)

    async def _in_admission(self, work: Callable[[], R]) -> R:
        return await asyncio.get_running_loop().run_in_executor(self._threads.admission, copy_context().run, work)


def _check_name(what: str, name: str) -> None:
    if not name.isprintable() or not 1 <= len(name) <= LONGEST_NAME:
        raise InvalidInput(f"{what} must be 1 to {LONGEST_NAME} printable characters")


def _within(records: Sequence[VersionRecord], limit: int) -> list[VersionRecord]:
    """As many as fit into so many bytes of manifests, but at least one."""
    page: list[VersionRecord] = []
    for record in records:
        limit -= len(record.manifest)
        if page and limit < 0:
            break
        page.append(record)
    return page
