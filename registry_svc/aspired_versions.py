"""What replicas should hold, as a pure function of the lanes. Says what is aspired, never what to do."""

from collections.abc import Iterable

from martlet.events import SPLIT_BUCKETS
from martlet.versions import AspiredModel, AspiredSet, AspiredVersion, Role
from registry_svc.lane import NOBODY, Lane, Member


def aspired_set(lanes: Iterable[Lane], lane_weight: int, lease_ms: int) -> AspiredSet:
    """Every model's full set. A model whose first version was not admitted yet is not in it."""
    return AspiredSet(tuple(aspired_model(lane, lane_weight) for lane in lanes if lane.pin != NOBODY), lease_ms)


def aspired_model(lane: Lane, lane_weight: int) -> AspiredModel:
    """One model's full set. Weights add up to all 10,000 buckets; each version stands once.

    A head that is the pin stands as the pin and answers all; a candidate that is the head stands as the head.
    """
    if lane.head == lane.pin:
        versions = [_version(lane.pin, Role.PIN, SPLIT_BUCKETS)]
    else:
        versions = [
            _version(lane.head, Role.HEAD, lane_weight),
            _version(lane.pin, Role.PIN, SPLIT_BUCKETS - lane_weight),
        ]
    if lane.candidate not in (NOBODY, lane.head, lane.pin):
        versions.append(_version(lane.candidate, Role.CANDIDATE, 0))
    return AspiredModel(lane.model, lane.epoch, lane.revision, lane.salt, tuple(versions))


def _version(member: Member, role: Role, weight: int) -> AspiredVersion:
    return AspiredVersion(member.version, member.digest, role, weight)
