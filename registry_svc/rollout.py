"""The live lane, decided purely: a lane and what is known of it go in, a decision with the next lane comes out.

Nothing here reads a clock or a catalog. `tend` is for models whose quality does not decide: there a candidate becomes
the pin by health alone. With evidence see `lane_rules`.
"""

from dataclasses import dataclass, replace

from martlet.errors import Conflict
from martlet.versions import CatalogState, VersionRecord
from registry_svc.journal import Decision, DecisionKind, Move
from registry_svc.lane import NOBODY, Lane, Member
from registry_svc.policy import LanePolicy


@dataclass(frozen=True, slots=True)
class Health:
    """What replicas report of a version.

    Attributes:
        replicas: how many report at all.
        ready: on how many of them the version is READY.
        ready_seconds: since when it has been so on every one of them; 0 if it is not.
        answers: requests answered without error by the version or by later ones, which contain what it learned. Its
            own alone would not do: a head is overtaken within a second, and a candidate answers nobody.
        errors: its own errors.
    """

    replicas: int = 0
    ready: int = 0
    ready_seconds: float = 0.0
    answers: int = 0
    errors: int = 0


def compare(lane: Lane, record: VersionRecord) -> None:
    """The comparison of compare-and-swap: a version extends the head, in the head's epoch.

    Raises:
        Conflict: it does not; the trainer asks where the lineage stands and goes on from there.
    """
    open_to(lane)
    if record.parent_digest != lane.head.digest:
        raise Conflict(f"the head is {lane.head.digest or 'absent'}, not {record.parent_digest or 'absent'}")
    if record.epoch != lane.epoch:
        raise Conflict(f"the epoch is {lane.epoch}, not {record.epoch}")


def open_to(lane: Lane) -> None:
    """Whether anything may be taken at all.

    Raises:
        Conflict: the model is frozen, or training has not gone back yet.
    """
    if lane.frozen:
        raise Conflict(f"frozen: {lane.frozen}")
    if lane.rewinding:
        raise Conflict(f"training has to go back to version {lane.head.version} and acknowledge epoch {lane.epoch}")


def refuse(lane: Lane, record: VersionRecord, now_us: int) -> Decision:
    """A version that admission refused enters the catalog and nothing else changes. `record` says why."""
    added = replace(record, state=CatalogState.REJECTED, manifest=b"")
    return Decision(DecisionKind.REFUSED, f"version {record.version}: {record.reason}", now_us, lane, added)


def admit(lane: Lane, record: VersionRecord, now_us: int) -> Decision:
    """A version becomes the head. A model's first one is its own pin."""
    version = Member(record.version, record.digest)
    pin = version if lane.pin == NOBODY else lane.pin
    after = settled(replace(lane, revision=lane.revision + 1, head=version, pin=pin), now_us)
    added = replace(record, state=after.states()[record.version], manifest=b"")
    detail = f"version {record.version} after {lane.head.version}" if lane.head != NOBODY else "the first version"
    return Decision(DecisionKind.HEAD, detail, now_us, after, added, moves(lane, after))


def tend(lane: Lane, health: Health, now_us: int, policy: LanePolicy) -> Decision | None:
    """What to do about the candidate, given its health: make it the pin, drop it, or wait (None).

    Without reports nothing passes: no data holds.
    """
    if lane.candidate == NOBODY:
        return None
    if health.errors:
        return renew_candidate(lane, f"{health.errors} errors", now_us)
    if not is_loaded(health, policy) or health.answers < policy.pin_min_requests:
        return None
    after = settled(replace(lane, revision=lane.revision + 1, pin=lane.candidate, candidate=NOBODY), now_us)
    detail = f"version {lane.candidate.version}: READY on all {health.ready} replicas, {health.answers} answers"
    return Decision(DecisionKind.PIN, detail, now_us, after, None, moves(lane, after))


def is_loaded(health: Health, policy: LanePolicy) -> bool:
    """Whether every replica that reports has had a version READY for long enough. Without reports none has."""
    everywhere = health.replicas > 0 and health.ready == health.replicas
    return everywhere and health.ready_seconds >= policy.pin_min_seconds


def fail(
    lane: Lane, version: int, parent: Member, reason: str, now_us: int, *, rewind: bool = False
) -> Decision | None:
    """A replica could not load a version: it leaves the lane, and a new epoch begins if it was the head.

    The pin stays: it was good once, and other replicas hold it. A version outside the lane is nobody's concern. The
    parent is the head's, or NOBODY if that may not serve: then the pin takes the head's place. `rewind`: training has
    to go back to the new head first.
    """
    if version in (NOBODY.version, lane.pin.version) or version not in lane.states():
        return None
    candidate = NOBODY if lane.candidate.version == version else lane.candidate
    if version == lane.head.version:
        head = lane.pin if parent == NOBODY else parent
        changed = replace(
            lane, epoch=lane.epoch + 1, revision=1, head=head, candidate=candidate, weight=0, stepped_at=0, pinned_at=0,
            rewinding=rewind,
        )  # fmt: skip
    else:
        changed = replace(lane, revision=lane.revision + 1, candidate=candidate)
    after = settled(changed, now_us)
    failed = Move(version, CatalogState.REJECTED, reason)
    return Decision(
        DecisionKind.FAILED, f"version {version}: {reason}", now_us, after, None, moves(lane, after, failed)
    )


def renew_candidate(lane: Lane, why: str, now_us: int) -> Decision | None:
    """The newest takes the candidate's place; a candidate that is the newest waits for its successor."""
    if lane.candidate == lane.head:
        return None
    after = settled(replace(lane, revision=lane.revision + 1, candidate=NOBODY), now_us)
    detail = f"version {after.candidate.version} instead of {lane.candidate.version}: {why}"
    return Decision(DecisionKind.CANDIDATE, detail, now_us, after, None, moves(lane, after))


def settled(lane: Lane, now_us: int) -> Lane:
    """The lane with a candidate exactly if its head is not its pin.

    So a head that falls back to the pin takes the candidate along, which would certify what is served no more.
    """
    if lane.head == lane.pin:
        return replace(lane, candidate=NOBODY, candidate_since_us=0)
    if lane.candidate == NOBODY:
        return replace(lane, candidate=lane.head, candidate_since_us=now_us)
    return lane


def moves(before: Lane, after: Lane, failed: Move | None = None) -> tuple[Move, ...]:
    """The state changes of versions that were in the catalog before."""
    old, new = before.states(), after.states()
    moves = {
        version: Move(version, new.get(version, CatalogState.RETIRED))
        for version in old.keys() | new.keys()
        if new.get(version, CatalogState.RETIRED) is not old.get(version)
    }
    if failed is not None:
        moves[failed.version] = failed
    elif after.head != before.head:
        moves.pop(after.head.version)  # it enters with this very decision
    return tuple(moves[version] for version in sorted(moves))
