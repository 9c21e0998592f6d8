"""The only hand that changes lanes: takes a standing, asks a pure policy, writes its decision, tells the watchers."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from martlet.clock import Clock
from martlet.errors import Unavailable
from martlet.versions import AspiredSet, CatalogState, ServableStatus, VersionRecord, VersionState
from registry_svc import rollout
from registry_svc.analysis import ReplicaHealth
from registry_svc.aspired_versions import aspired_set
from registry_svc.catalog import Catalog, Moved, Standing
from registry_svc.journal import Decision
from registry_svc.lane import NOBODY, Lane, Member
from registry_svc.metrics import RegistryMetrics
from registry_svc.rollout import LanePolicy

logger = logging.getLogger(__name__)

TRIES = 5
LONGEST_REASON = 500

Decide = Callable[[Standing], Decision | None]


@dataclass(frozen=True, slots=True)
class Offer:
    """A version that asks for a place in the catalog. Its record has no number yet."""

    record: VersionRecord
    manifest: bytes


class Controller:
    """Decides and writes. Blocking; every method is called from the catalog's one thread.

    Another registry on the same database does no harm: what it decided first is seen, and the decision taken again.

    Args:
        changed: called with the full set whenever what is aspired may have changed, before the caller hears of it.
    """

    def __init__(
        self,
        catalog: Catalog,
        health: ReplicaHealth,
        policy: LanePolicy,
        lease_ms: int,
        clock: Clock,
        metrics: RegistryMetrics,
        changed: Callable[[AspiredSet], None],
    ) -> None:
        self._catalog = catalog
        self._health = health
        self._policy = policy
        self._lease_ms = lease_ms
        self._clock = clock
        self._metrics = metrics
        self._changed = changed
        self._lanes = {lane.model: lane for lane in catalog.lanes()}

    def aspired(self) -> AspiredSet:
        """What every replica should hold, as far as this registry knows."""
        lanes = (self._lanes[model] for model in sorted(self._lanes))
        return aspired_set(lanes, self._policy.lane_weight, self._lease_ms)

    def announce(self) -> None:
        """Tells the watchers what is aspired."""
        for lane in self._lanes.values():
            self._metrics.lane(lane)
        self._changed(self.aspired())

    def admit(self, offer: Offer) -> VersionRecord:
        """Makes a version the head by compare-and-swap; one that is known already gets the record that stands.

        Raises:
            Conflict: the lineage's head or epoch is another.
        """

        def decide(standing: Standing, record: VersionRecord) -> Decision:
            rollout.compare(standing.lane, record)
            return rollout.admit(standing.lane, record, self._clock.now_us())

        return self._enter(offer, decide)

    def refuse(self, offer: Offer, reason: str) -> VersionRecord:
        """Records a version as refused, and why."""

        def decide(standing: Standing, record: VersionRecord) -> Decision:
            return rollout.refuse(standing.lane, replace(record, reason=_told(reason)), self._clock.now_us())

        return self._enter(offer, decide)

    def hear(self, replica: str, statuses: Sequence[ServableStatus]) -> None:
        """Takes a replica's report; versions that failed there leave their lanes."""
        self._health.report(replica, statuses)
        for status in statuses:
            if status.state is VersionState.FAILED:
                self._take_out(status)

    def tend(self) -> None:
        """One round of looking after all lanes; also takes in what another registry wrote."""
        before, self._lanes = self._lanes, {lane.model: lane for lane in self._catalog.lanes()}
        if self._lanes != before:
            self.announce()
        for model in self._lanes:
            self._decide(model, lambda standing: self._tend(standing.lane))
        self._metrics.replicas.set(self._health.replicas())

    def _take_out(self, failed: ServableStatus) -> None:
        self._decide(failed.model, lambda standing: self._fail(standing.lane, failed))

    def _tend(self, lane: Lane) -> Decision | None:
        health = self._health.of(lane.model, lane.candidate)
        return rollout.tend(lane, health, self._clock.now_us(), self._policy)

    def _fail(self, lane: Lane, failed: ServableStatus) -> Decision | None:
        member = Member(failed.version, failed.digest)
        if member == NOBODY or member not in (lane.head, lane.candidate):
            return None
        parent = self._parent(failed) if member == lane.head else NOBODY
        return rollout.fail(lane, failed.version, parent, _told(failed.reason), self._clock.now_us())

    def _parent(self, status: ServableStatus) -> Member:
        """The parent of a version, or NOBODY if it may not be served."""
        record = self._catalog.get(status.model, status.version)
        parent = self._catalog.find(status.model, record.parent_digest)
        if parent is None or parent.state is CatalogState.REJECTED:
            return NOBODY
        return Member(parent.version, parent.digest)

    def _enter(self, offer: Offer, decide: Callable[[Standing, VersionRecord], Decision]) -> VersionRecord:
        """Enters a version in the catalog under the next number, unless its digest is there already."""
        model, digest = offer.record.model, offer.record.digest

        def number(standing: Standing) -> Decision | None:
            if self._catalog.find(model, digest) is not None:
                return None
            return decide(standing, replace(offer.record, version=standing.newest + 1))

        decision = self._decide(model, number, offer.manifest)
        if decision is not None and decision.added is not None:
            return replace(decision.added, manifest=offer.manifest)
        known = self._catalog.find(model, digest)
        if known is None:
            raise Unavailable(f"version {digest} of {model!r} was there and is gone")
        return known

    def _decide(self, model: str, decide: Decide, manifest: bytes = b"") -> Decision | None:
        """Decides on the present standing and writes; again if another registry was faster."""
        for _ in range(TRIES):
            standing = self._catalog.standing(model)
            decision = decide(standing)
            if decision is None:
                return None
            try:
                self._catalog.commit(decision, standing, manifest)
            except Moved:
                continue
            self._carry_out(decision, standing.lane)
            return decision
        raise Unavailable(f"model {model!r} changes too often to decide about it")

    def _carry_out(self, decision: Decision, before: Lane) -> None:
        logger.info("%s: %s, %s", decision.lane.model, decision.kind.value, decision.detail)
        self._metrics.decided(decision)
        if decision.lane == before:
            return
        self._lanes[decision.lane.model] = decision.lane
        if decision.lane.pin != before.pin:
            self._health.forget_before(decision.lane.model, decision.lane.pin.version)
        self.announce()


def _told(reason: str) -> str:
    """A reason as it is kept: printable, and not endless."""
    return "".join(letter if letter.isprintable() else " " for letter in reason)[:LONGEST_REASON]
