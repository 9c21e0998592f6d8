"""The registry's use cases. Blocking; called from one thread, so that they happen one after the other."""

import logging
from collections.abc import Callable, Sequence

from martlet.artifacts import ArtifactStore
from martlet.clock import Clock
from martlet.errors import Conflict, Corrupt, InvalidInput, MartletError, NotFound
from martlet.manifest import Manifest, decode_manifest, manifest_digest
from martlet.measurement import MeasurementBatch
from martlet.versions import AspiredSet, CatalogState, LineageState, ServableStatus, VersionRecord
from registry_svc import rollout
from registry_svc.admission import Admission
from registry_svc.analysis import ReplicaHealth
from registry_svc.catalog import Catalog
from registry_svc.rollout import Decision, Lane, LanePolicy, Member

logger = logging.getLogger(__name__)


class Registry:
    """Admits, records, decides. Not thread-safe.

    Args:
        changed: called after each change of what is aspired.
    """

    def __init__(
        self,
        catalog: Catalog,
        artifacts: ArtifactStore,
        admission: Admission,
        health: ReplicaHealth,
        policy: LanePolicy,
        clock: Clock,
        lease_ms: int,
        changed: Callable[[AspiredSet], None],
    ) -> None:
        self._catalog = catalog
        self._artifacts = artifacts
        self._admission = admission
        self._health = health
        self._policy = policy
        self._clock = clock
        self._lease_ms = lease_ms
        self._changed = changed

    def publish(self, encoded: bytes) -> VersionRecord:
        """Offers a version.

        Raises:
            Corrupt: what came is no manifest.
            Conflict: the lineage's head or epoch is another.
        """
        manifest, digest = decode_manifest(encoded), manifest_digest(encoded)
        known = self._catalog.find(manifest.model, digest)
        if known is not None:
            return known
        record = self._new_record(manifest, digest, encoded)
        try:
            parent = self._parent(manifest)
            self._admission.check(manifest, parent)
        except (Corrupt, NotFound, InvalidInput) as error:
            return self._reject(record, error)
        before = self._catalog.lane(manifest.model)
        _compare(manifest, before)
        self._artifacts.put_manifest(encoded)
        decision = rollout.admit(before, manifest.model, Member(record.version, digest), manifest.lineage.epoch)
        self._apply(decision, before, record)
        return record

    def version(self, model: str, version: int) -> VersionRecord:
        """One version with its manifest."""
        return self._catalog.get(model, version)

    def versions(self, model: str, after: int, limit: int, *, with_manifests: bool) -> tuple[list[VersionRecord], bool]:
        """A page of versions, and whether there are more."""
        found = self._catalog.versions(model, after, limit + 1, with_manifests=with_manifests)
        return found[:limit], len(found) > limit

    def lineage(self, model: str) -> LineageState:
        """Where a model's lineage stands."""
        lane = self._catalog.lane(model)
        if lane is None:
            return LineageState(model, 0, 0, 0, "", 0, "")
        return LineageState(
            model, lane.epoch, lane.revision, lane.head.version, lane.head.digest, lane.pin.version, lane.pin.digest
        )

    def aspired(self) -> AspiredSet:
        """What every replica should hold."""
        models = tuple(rollout.aspired(lane, self._policy) for lane in self._catalog.lanes())
        return AspiredSet(models, self._lease_ms)

    def report_replica(self, replica: str, statuses: Sequence[ServableStatus]) -> None:
        """Takes a replica's report; versions that failed leave the lane."""
        for status in self._health.report(replica, statuses):
            self._fail(status)

    def report_measurements(self, batch: MeasurementBatch) -> None:
        """Adds measurements, once."""
        self._catalog.add_measurements(batch)

    def tend(self) -> None:
        """One round of looking after all lanes."""
        for lane in self._catalog.lanes():
            health = self._health.of(lane.model, lane.candidate.version)
            decision = rollout.tend(lane, health, self._clock.now_us(), self._policy)
            if decision is not None:
                self._apply(decision, lane)

    def _fail(self, status: ServableStatus) -> None:
        lane = self._catalog.lane(status.model)
        if lane is None or status.version not in lane.members():
            return  # replicas repeat themselves, and may speak of versions of another catalog
        record = self._catalog.get(status.model, status.version)
        parent = self._catalog.find(status.model, record.parent_digest)
        usable = parent is not None and parent.state is not CatalogState.REJECTED
        member = Member(parent.version, parent.digest) if parent is not None and usable else rollout.NOBODY
        decision = rollout.fail(lane, status.version, member, status.reason)
        if decision is not None:
            self._apply(decision, lane)
            self._catalog.mark_failed(status.model, status.version, status.reason)

    def _apply(self, decision: Decision, before: Lane | None, admitted: VersionRecord | None = None) -> None:
        self._catalog.apply(decision, before, self._clock.now_us(), admitted)
        logger.info("%s: %s %s", decision.lane.model, decision.kind, decision.detail)
        self._changed(self.aspired())

    def _reject(self, record: VersionRecord, error: MartletError) -> VersionRecord:
        logger.warning("%s: version %d refused: %s", record.model, record.version, error)
        refused = VersionRecord(
            record.model, record.version, record.digest, record.parent_digest, record.epoch, CatalogState.REJECTED,
            str(error), record.kind, record.published_time_us, record.manifest,
        )  # fmt: skip
        self._catalog.reject(refused)
        return refused

    def _parent(self, manifest: Manifest) -> Manifest | None:
        if not manifest.lineage.parent:
            return None
        record = self._catalog.find(manifest.model, manifest.lineage.parent)
        return None if record is None else decode_manifest(record.manifest)

    def _new_record(self, manifest: Manifest, digest: str, encoded: bytes) -> VersionRecord:
        return VersionRecord(
            model=manifest.model,
            version=self._catalog.next_version(manifest.model),
            digest=digest,
            parent_digest=manifest.lineage.parent,
            epoch=manifest.lineage.epoch,
            state=CatalogState.ADMITTED,
            reason="",
            kind=manifest.kind.value,
            published_time_us=self._clock.now_us(),
            manifest=encoded,
        )


def _compare(manifest: Manifest, lane: Lane | None) -> None:
    """Compare-and-swap's comparison; the catalog repeats it inside the transaction."""
    head, epoch = (lane.head.digest, lane.epoch) if lane else ("", manifest.lineage.epoch)
    if manifest.lineage.parent != head:
        raise Conflict(f"the head is {head or 'not there yet'}, not {manifest.lineage.parent or 'absent'}")
    if manifest.lineage.epoch != epoch:
        raise Conflict(f"the epoch is {epoch}, not {manifest.lineage.epoch}")
