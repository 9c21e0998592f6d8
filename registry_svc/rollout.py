"""The live lane, decided purely: a lane and what is known go in, the next lane comes out.

Head: the newest admitted version. Pin: last known good. Candidate: a fixed version on its way to become the pin.
"""

from dataclasses import dataclass, replace

from martlet.events import SPLIT_BUCKETS
from martlet.versions import AspiredModel, AspiredVersion, CatalogState, Role


@dataclass(frozen=True, slots=True)
class LanePolicy:
    """How a lane is run. Weights in buckets of 10,000."""

    lane_weight: int
    pin_min_seconds: float
    pin_min_requests: int


@dataclass(frozen=True, slots=True)
class Member:
    """A version in a lane. Version 0 means none."""

    version: int = 0
    digest: str = ""


NOBODY = Member()


@dataclass(frozen=True, slots=True)
class Lane:
    """A model's lane. `revision` counts its changes within an epoch; (epoch, revision) orders them all."""

    model: str
    epoch: int
    revision: int
    head: Member
    pin: Member
    candidate: Member = NOBODY
    candidate_since_us: int = 0

    @property
    def salt(self) -> str:
        """The traffic split's salt: new in every epoch, so that not always the same users go first."""
        return f"{self.model}/{self.epoch}"

    def members(self) -> dict[int, CatalogState]:
        """Every version in the lane with its state in the catalog."""
        states = {self.head.version: CatalogState.ADMITTED, self.candidate.version: CatalogState.ADMITTED}
        states[self.pin.version] = CatalogState.PINNED
        states.pop(0, None)
        return states


@dataclass(frozen=True, slots=True)
class Health:
    """What replicas report of a version.

    Attributes:
        replicas: how many replicas report at all.
        ready: on how many of them the version is loaded.
    """

    replicas: int
    ready: int
    requests: int
    errors: int


@dataclass(frozen=True, slots=True)
class Decision:
    """A change of a lane, in the journal's words."""

    kind: str
    detail: str
    lane: Lane


def admit(lane: Lane | None, model: str, version: Member, epoch: int) -> Decision:
    """The lane with a newly admitted head. The first version of a model is its own pin."""
    if lane is None:
        return Decision("first", f"version {version.version}", Lane(model, epoch, 1, version, version))
    return Decision("head", f"version {version.version}", _next(lane, head=version))


def tend(lane: Lane, health: Health, now_us: int, policy: LanePolicy) -> Decision | None:
    """What to do about the candidate, given its health: choose one, make it the pin, or wait (None).

    Without reports nothing passes: no data holds.
    """
    if lane.candidate == NOBODY:
        if lane.head == lane.pin:
            return None
        chosen = _next(lane, candidate=lane.head, candidate_since_us=now_us)
        return Decision("candidate", f"version {lane.head.version}", chosen)
    loaded = health.replicas > 0 and health.ready == health.replicas
    old_enough = now_us - lane.candidate_since_us >= policy.pin_min_seconds * 1e6
    proven = health.requests >= policy.pin_min_requests and health.errors == 0
    if loaded and old_enough and proven:
        detail = f"version {lane.candidate.version}: {health.requests} answers on {health.ready} replicas, no error"
        return Decision("pin", detail, _next(lane, pin=lane.candidate, candidate=NOBODY, candidate_since_us=0))
    if old_enough and lane.candidate != lane.head and (health.errors > 0 or not proven):
        # It is answered by nobody any more, or erred: what did not prove itself makes room for the newest.
        chosen = _next(lane, candidate=lane.head, candidate_since_us=now_us)
        return Decision("candidate", f"version {lane.head.version} instead of {lane.candidate.version}", chosen)
    return None


def fail(lane: Lane, version: int, parent: Member, reason: str) -> Decision | None:
    """A replica could not load a version: it leaves the lane, and a new epoch begins if it was the head.

    The pin stays: it was good once, and other replicas may hold it.
    """
    if version == lane.head.version and lane.head != lane.pin:
        head = parent if parent.version else lane.pin
        candidate = NOBODY if lane.candidate.version == version else lane.candidate
        changed = replace(lane, epoch=lane.epoch + 1, revision=1, head=head, candidate=candidate)
        return Decision("failed", f"version {version}: {reason}", changed)
    if version == lane.candidate.version:
        return Decision("failed", f"version {version}: {reason}", _next(lane, candidate=NOBODY, candidate_since_us=0))
    return None


def aspired(lane: Lane, policy: LanePolicy) -> AspiredModel:
    """The full set that replicas should hold. Weights add up to all buckets; one version stands once."""
    if lane.head == lane.pin:
        versions = [AspiredVersion(lane.pin.version, lane.pin.digest, Role.PIN, SPLIT_BUCKETS)]
    else:
        versions = [
            AspiredVersion(lane.head.version, lane.head.digest, Role.HEAD, policy.lane_weight),
            AspiredVersion(lane.pin.version, lane.pin.digest, Role.PIN, SPLIT_BUCKETS - policy.lane_weight),
        ]
    if lane.candidate.version not in {0, lane.head.version, lane.pin.version}:
        versions.append(AspiredVersion(lane.candidate.version, lane.candidate.digest, Role.CANDIDATE, 0))
    return AspiredModel(lane.model, lane.epoch, lane.revision, lane.salt, tuple(versions))


def _next(
    lane: Lane,
    *,
    head: Member | None = None,
    pin: Member | None = None,
    candidate: Member | None = None,
    candidate_since_us: int | None = None,
) -> Lane:
    return replace(
        lane,
        revision=lane.revision + 1,
        head=lane.head if head is None else head,
        pin=lane.pin if pin is None else pin,
        candidate=lane.candidate if candidate is None else candidate,
        candidate_since_us=lane.candidate_since_us if candidate_since_us is None else candidate_since_us,
    )
