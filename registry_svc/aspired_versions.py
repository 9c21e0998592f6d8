"""What replicas should hold, as a pure function of the lanes. Says what is aspired, never what to do."""

from collections.abc import Callable, Iterable
from typing import Final

from martlet.events import SPLIT_BUCKETS
from martlet.versions import AspiredModel, AspiredSet, AspiredVersion, Role
from registry_svc.lane import NOBODY, Lane, Member

# The pin keeps at least so many buckets as control beside a lane.
LEAST_CONTROL: Final = 500


def aspired_set(lanes: Iterable[Lane], weight_of: Callable[[Lane], int], lease_ms: int) -> AspiredSet:
    """Every model's full set. A model whose first version was not admitted yet is not in it."""
    return AspiredSet(tuple(aspired_model(lane, weight_of(lane)) for lane in lanes if lane.pin != NOBODY), lease_ms)


def aspired_model(lane: Lane, lane_weight: int) -> AspiredModel:
    """One model's full set. Weights add up to all 10,000 buckets; each version stands once.

    A head that is the pin stands as the pin and answers all that no canary does; a candidate that is the head stands as
    the head. A structural version is a canary, in shadow while it has no weight.
    """
    trial = lane.trial
    canary = trial.weight if trial is not None else 0
    versions = []
    rest = SPLIT_BUCKETS - canary
    if lane.head != lane.pin:
        weight = min(lane_weight, max(rest - LEAST_CONTROL, 0)) if canary else lane_weight
        versions.append(_version(lane.head, Role.HEAD, weight))
        rest -= weight
    versions.append(_version(lane.pin, Role.PIN, rest))
    if lane.candidate not in (NOBODY, lane.head, lane.pin):
        versions.append(_version(lane.candidate, Role.CANDIDATE, 0))
    if trial is not None:
        member = trial.member
        versions.append(AspiredVersion(member.version, member.digest, Role.CANARY, canary, shadow=not canary))
    return AspiredModel(lane.model, lane.epoch, lane.revision, lane.salt, tuple(versions))


def _version(member: Member, role: Role, weight: int) -> AspiredVersion:
    return AspiredVersion(member.version, member.digest, role, weight)
