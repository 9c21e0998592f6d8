"""An operator's word, decided purely: who and why stand in the journal beside what changes."""

from collections.abc import Sequence
from dataclasses import replace

from martlet.errors import Conflict
from martlet.versions import CatalogState, VersionRecord
from registry_svc.journal import Decision, DecisionKind, Move
from registry_svc.lane import NOBODY, Lane, Member
from registry_svc.lane_rules import close, without
from registry_svc.policy import EvidencePolicy
from registry_svc.rollout import moves, settled
from registry_svc.trial_rules import leave, promote


def promoted(lane: Lane, version: int, why: str, now_us: int) -> Decision:
    """The candidate, or the structural version under way, becomes the pin at once.

    Raises:
        Conflict: the version is neither.
    """
    if version and version == lane.tried.version:
        return promote(lane, why, now_us)
    if not version or version != lane.candidate.version:
        raise Conflict(f"version {version} is neither the candidate nor the structural version under way")
    pinned = replace(lane, revision=lane.revision + 1, pin=lane.candidate, candidate=NOBODY, alarms=0)
    after = settled(pinned, now_us)
    return Decision(DecisionKind.PIN, f"version {version}: {why}", now_us, after, None, moves(lane, after))


def aborted(lane: Lane, suspects: Sequence[int], why: str, now_us: int, rules: EvidencePolicy) -> Decision:
    """The structural version under way ends; without one the live lane closes as on an alarm.

    Raises:
        Conflict: there is nothing to end.
    """
    if lane.trial is not None:
        return replace(leave(lane, CatalogState.ROLLED_BACK, why, now_us), kind=DecisionKind.ABORTED)
    if lane.head == lane.pin:
        raise Conflict("the head is the pin and no structural version is under way: there is nothing to end")
    return close(lane, suspects, why, DecisionKind.ABORTED, now_us, rules)


def pinned(lane: Lane, record: VersionRecord, suspects: Sequence[int], why: str, now_us: int) -> Decision:
    """Everything goes to an older version, in a new epoch; training goes back there.

    `suspects`: the versions above it that are in the catalog still, the head and the pin apart.

    Raises:
        Conflict: it is not an older version in good standing.
    """
    if record.state is not CatalogState.RETIRED or record.version >= lane.pin.version:
        raise Conflict(
            f"version {record.version} is {record.state.name}: only an older version in good standing can be it"
        )
    member, kept = Member(record.version, record.digest), without(lane, suspects)
    after = Lane(
        lane.model, lane.epoch + 1, 1, head=member, pin=member, rewinding=True, trial=kept.trial, waiting=kept.waiting
    )
    gone = {version: Move(version, CatalogState.QUARANTINED, why) for version in suspects}
    for old in (lane.pin, lane.head):
        gone[old.version] = Move(old.version, CatalogState.ROLLED_BACK, why)
    gone[record.version] = Move(record.version, CatalogState.PINNED)
    detail = f"back to version {record.version}: {why}"
    return Decision(DecisionKind.PINNED, detail, now_us, after, None, tuple(gone[version] for version in sorted(gone)))


def thawed(lane: Lane, why: str, now_us: int) -> Decision:
    """A frozen model may be published again.

    Raises:
        Conflict: it is not frozen.
    """
    if not lane.frozen:
        raise Conflict("the model is not frozen")
    after = replace(lane, revision=lane.revision + 1, frozen="", alarms=0)
    return Decision(DecisionKind.THAWED, why, now_us, after)
