"""The only hand that changes lanes: takes a standing, asks a pure policy, writes its decision, tells the watchers."""

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from martlet.clock import Clock
from martlet.errors import Conflict, MartletError, NotFound, Unavailable
from martlet.evidence import EvidenceBatch
from martlet.versions import AspiredSet, CatalogState, ServableStatus, VersionRecord, VersionState
from registry_svc import lane_rules, rollout, trial_rules
from registry_svc.analysis import ReplicaHealth
from registry_svc.aspired_versions import aspired_set
from registry_svc.catalog import Catalog, Moved, Standing, suspects_of
from registry_svc.journal import Decision
from registry_svc.judge_desk import JudgeDesk
from registry_svc.lane import NOBODY, Lane, Member
from registry_svc.lane_metrics import places_of
from registry_svc.lease import Lease
from registry_svc.lineage import STANDING
from registry_svc.metrics import RegistryMetrics
from registry_svc.policy import Policies

logger = logging.getLogger(__name__)

TRIES = 5
LONGEST_REASON = 500
BATCHES_KEPT = 50_000
BATCHES_BETWEEN_FORGETTING = 1_000

Decide = Callable[[Standing], Decision | None]


@dataclass(frozen=True, slots=True)
class Offer:
    """A version that asks for a place in the catalog. Its record has no number yet.

    `in_lineage`: it goes on where its parent stood: same lineage, feature spec and settings. Others are structural.
    `caller`: who offers it, as verified.
    """

    record: VersionRecord
    manifest: bytes
    in_lineage: bool = True
    caller: str = ""


class Controller:
    """Decides and writes. Blocking; every method is called from the catalog's one thread.

    Of several registries on one database the one with the lease decides; the others show what stands, and take over
    when the lease runs out. Without the lease a write raises Unavailable.

    Args:
        changed: called with the full set whenever what is aspired may have changed, before the caller hears of it.
    """

    def __init__(
        self,
        catalog: Catalog,
        health: ReplicaHealth,
        desk: JudgeDesk,
        lease: Lease,
        policies: Policies,
        lease_ms: int,
        clock: Clock,
        metrics: RegistryMetrics,
        changed: Callable[[AspiredSet], None],
    ) -> None:
        self._catalog = catalog
        self._health = health
        self._desk = desk
        self._lease = lease
        self._policies = policies
        self._lease_ms = lease_ms
        self._clock = clock
        self._metrics = metrics
        self._changed = changed
        self._lanes = {lane.model: lane for lane in catalog.lanes()}
        self._published_us: dict[tuple[str, int], int] = {}

    def aspired(self) -> AspiredSet:
        """What every replica should hold, as far as this registry knows."""
        lanes = (self._lanes[model] for model in sorted(self._lanes))
        return aspired_set(lanes, lambda lane: self._policies.of(lane.model).weight_of(lane), self._lease_ms)

    def answers(self, model: str) -> bool:
        """Whether a model's head answers anybody."""
        return self._policies.of(model).weight_of(self._catalog.standing(model).lane) > 0

    def check_leads(self) -> None:
        """Whether this registry decided when it last looked: before work that only the one that decides can use.

        Raises:
            Unavailable: another registry leads.
        """
        if not self._lease.held:
            raise Unavailable("another registry leads")

    def announce(self) -> None:
        """Tells the watchers what is aspired."""
        self._changed(self.aspired())
        for lane in self._lanes.values():
            self._metrics.lane(lane, self._policies.of(lane.model), self._published(lane))

    def admit(self, offer: Offer) -> VersionRecord:
        """Makes a version the head by compare-and-swap; one that is known already gets the record that stands.

        Raises:
            Conflict: the lineage's head or epoch is another.
        """

        def decide(standing: Standing, record: VersionRecord) -> Decision:
            lane = standing.lane
            if self._is_structural(offer, lane):
                self._check_structural(record, lane)
                return trial_rules.enter(lane, record, self._clock.now_us())
            rollout.compare(lane, record)
            return rollout.admit(lane, record, self._clock.now_us())

        return self._enter(offer, decide)

    def refuse(self, offer: Offer, reason: str) -> VersionRecord:
        """Records a version as refused, and why."""

        def decide(standing: Standing, record: VersionRecord) -> Decision:
            return rollout.refuse(standing.lane, replace(record, reason=_told(reason)), self._clock.now_us())

        return self._enter(offer, decide)

    def hear(self, replica: str, statuses: Sequence[ServableStatus]) -> None:
        """Takes a replica's report; versions that failed there leave their lanes.

        Raises:
            Unavailable: another registry leads, and must hear it.
        """
        self.check_leads()
        self._health.report(replica, statuses)
        for status in statuses:
            if status.state is VersionState.FAILED:
                self._take_out(status)

    def judge(self, batch: EvidenceBatch) -> bool:
        """Judges a batch of evidence, once, and decides what follows from it. False: it was here already.

        Raises:
            NotFound: no such model.
            Unavailable: try again; nothing was judged.
        """
        self.check_leads()
        standing = self._catalog.standing(batch.model)
        if standing.lane.pin == NOBODY:
            raise NotFound(f"no model {batch.model!r}")
        try:
            added = self._desk.take(batch, standing)
        except Moved as moved:
            raise Unavailable("another registry judges too; try again") from moved
        if added:
            self._metrics.judged(standing.lane, self._desk.of(standing.lane))
            if batch.sequence % BATCHES_BETWEEN_FORGETTING == 0:
                self._desk.forget(batch.model, BATCHES_KEPT)
        self._tend_model(batch.model)  # a repeated batch may be one whose decision a crash prevented
        return added

    def acknowledge_rewind(self, model: str, epoch: int, digest: str) -> None:
        """Training stands at the head of this epoch.

        Raises:
            Conflict: another epoch, or another version.
        """
        self._decide(model, lambda standing: lane_rules.acknowledge(standing.lane, epoch, digest, self._clock.now_us()))

    def obey(self, model: str, who: str, decide: Callable[[Lane, int], Decision], caller: str = "") -> None:
        """Does what somebody decides, given the lane and the time; who it was stands in the journal.

        `who` is what they say of themselves, `caller` what was verified.

        Raises:
            NotFound: no such model.
        """

        def obey(standing: Standing) -> Decision:
            if standing.lane.pin == NOBODY:
                raise NotFound(f"no model {model!r}")
            return replace(decide(standing.lane, self._clock.now_us()), who=who, caller=caller)

        self._decide(model, obey)

    def tend(self) -> None:
        """One round of looking after all lanes; also takes in what another registry wrote."""
        before, self._lanes = self._lanes, {lane.model: lane for lane in self._catalog.lanes()}
        if self._lanes != before:
            self.announce()
        if self._lease.renew():
            for model in self._lanes:
                self._tend_model(model)
        self._metrics.replicas.set(self._health.replicas())

    def _take_out(self, failed: ServableStatus) -> None:
        self._decide(failed.model, lambda standing: self._fail(standing.lane, failed))

    def _tend_model(self, model: str) -> None:
        self._decide(model, lambda standing: self._tend(standing.lane))
        self._decide(model, lambda standing: self._tend_trial(standing.lane))

    def _tend(self, lane: Lane) -> Decision | None:
        policy, now_us = self._policies.of(lane.model), self._clock.now_us()
        health = self._health.of(lane.model, lane.candidate)
        if policy.evidence is None:
            return rollout.tend(lane, health, now_us, policy)
        if lane.head == lane.pin:
            return None
        errors = self._health.of(lane.model, lane.head).errors
        evidence = replace(self._desk.of(lane).lane_evidence(), head_errors=errors)
        alarmed = evidence.findings.alarm or bool(evidence.findings.guard) or errors >= policy.evidence.head_errors
        gone = suspects_of(self._catalog, lane) if alarmed else ()
        return lane_rules.tend_by_evidence(lane, health, evidence, gone, now_us, policy)

    def _tend_trial(self, lane: Lane) -> Decision | None:
        if lane.trial is None:
            return None
        evidence, health = self._desk.of(lane).trial_evidence(), self._health.of(lane.model, lane.tried)
        rules = self._policies.of(lane.model).trial
        return trial_rules.tend_trial(lane, health, evidence, self._clock.now_us(), rules)

    def _published(self, lane: Lane) -> dict[str, int]:
        """When the versions in the live lane's places were published; each is looked up once.

        Only for the metrics, so a database that does not answer now is asked again at the next change.
        """
        members = {place: member for place, member in places_of(lane).items() if member != NOBODY}
        before = self._published_us
        known = {(lane.model, one.version) for one in members.values()}
        self._published_us = {key: time for key, time in before.items() if key[0] != lane.model or key in known}
        with suppress(MartletError):
            for model, version in known - before.keys():
                self._published_us[model, version] = self._catalog.get(model, version).published_time_us
        found = {place: self._published_us.get((lane.model, member.version), 0) for place, member in members.items()}
        return {place: time for place, time in found.items() if time}

    def _is_structural(self, offer: Offer, lane: Lane) -> bool:
        policy = self._policies.of(lane.model)
        judged = policy.evidence is not None and lane.pin != NOBODY
        return judged and (policy.certified or not offer.in_lineage)

    def _check_structural(self, record: VersionRecord, lane: Lane) -> None:
        rollout.open_to(lane)
        parent = self._catalog.find(record.model, record.parent_digest)
        if parent is None or (parent.state not in STANDING and parent.state is not CatalogState.PINNED):
            found = "absent" if parent is None else parent.state.name
            raise Conflict(f"its parent {record.parent_digest or 'absent'} is {found}; the pin is {lane.pin.digest}")
        if record.epoch != lane.epoch:
            raise Conflict(f"the epoch is {lane.epoch}, not {record.epoch}")

    def _fail(self, lane: Lane, failed: ServableStatus) -> Decision | None:
        member, reason, now_us = Member(failed.version, failed.digest), _told(failed.reason), self._clock.now_us()
        if member != NOBODY and member == lane.tried:
            return trial_rules.leave(lane, CatalogState.REJECTED, reason, now_us)
        if member == NOBODY or member not in (lane.head, lane.candidate):
            return None
        parent = self._parent(failed) if member == lane.head else NOBODY
        rewind = self._policies.of(lane.model).evidence is not None
        return rollout.fail(lane, failed.version, parent, reason, now_us, rewind=rewind)

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
            decision = decide(standing, replace(offer.record, version=standing.newest + 1))
            return replace(decision, caller=offer.caller)

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
        self._metrics.decided(decision, before)
        if decision.lane == before:
            return
        self._lanes[decision.lane.model] = decision.lane
        if decision.lane.pin != before.pin:
            self._health.forget_before(decision.lane.model, decision.lane.pin.version)
        self.announce()


def _told(reason: str) -> str:
    """A reason as it is kept: printable, and not endless."""
    return "".join(letter if letter.isprintable() else " " for letter in reason)[:LONGEST_REASON]
