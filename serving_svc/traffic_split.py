"""Which version answers a session: pure, sticky, salted.

A session falls into one of 10,000 buckets by a hash that is salted for each epoch. The live lane owns the buckets from
0 up to its weight, a canary those above it, the pin the rest. So a session stays with its arm while weights stand
still, and raising the lane's weight only adds sessions to it.
"""

from dataclasses import dataclass

import xxhash

from martlet.events import SPLIT_BUCKETS, Arm
from martlet.versions import AspiredModel, Role
from serving_svc.servable import ServableId


@dataclass(frozen=True, slots=True)
class Route:
    """Who answers which part of a model's traffic. Every version named here is READY.

    Attributes:
        lane_weight, canary_weight: their shares in buckets of 10,000.
        lane: answers the live lane; None: the pin does.
        canary: answers the canary's share; None: the pin does.
        pin: answers the rest and whatever another arm cannot; None: no version of the model is READY.
    """

    model: str
    epoch: int
    revision: int
    salt: str
    lane_weight: int
    canary_weight: int
    lane: ServableId | None
    canary: ServableId | None
    pin: ServableId | None

    def names(self, servable: ServableId) -> bool:
        """Whether any request may be sent to it."""
        return servable in (self.lane, self.canary, self.pin)


@dataclass(frozen=True, slots=True)
class Choice:
    """One request's arm and version.

    Attributes:
        weight: the live lane's share at that moment, in buckets; 0 while nothing may or can answer it.
    """

    bucket: int
    weight: int
    arm: Arm
    servable: ServableId


def bucket_of(salt: str, session: str) -> int:
    """The session's bucket, 0 to 9,999.

    >>> bucket_of("salt", "user-1")
    168
    """
    return xxhash.xxh3_64_intdigest((salt + session).encode()) % SPLIT_BUCKETS


def choose(route: Route, session: str, *, lease_open: bool) -> Choice | None:
    """The arm and version for a session; None if no version is READY.

    When the lease is over the pin answers everything: nobody can tell this replica that the lane was fenced.
    """
    if route.pin is None:
        return None
    bucket = bucket_of(route.salt, session)
    weight = route.lane_weight if lease_open and route.lane is not None else 0
    if bucket < weight and route.lane is not None:
        return Choice(bucket, weight, Arm.LIVE, route.lane)
    in_canary = route.lane_weight <= bucket < route.lane_weight + route.canary_weight
    if in_canary and lease_open and route.canary is not None:
        return Choice(bucket, weight, Arm.CANARY, route.canary)
    return Choice(bucket, weight, Arm.PIN, route.pin)


def plan_route(aspired: AspiredModel, ready: frozenset[ServableId], previous: Route | None) -> Route:
    """The route for what is aspired, given what is READY and who answered until now.

    While a new head loads, the one before it keeps the lane, unless the epoch changed: then it is fenced. While a new
    pin loads, the old one stays. If anything is aspired and any version is READY, the route has a pin.
    """
    if not aspired.versions:
        return Route(aspired.model, aspired.epoch, aspired.revision, aspired.salt, 0, 0, None, None, None)
    head, canary = aspired.with_role(Role.HEAD), aspired.with_role(Role.CANARY)
    pin = aspired.with_role(Role.PIN) or head
    named = {role: _ready_id(aspired, role, ready) for role in Role}
    lane_weight = head.weight if head else 0
    return Route(
        model=aspired.model,
        epoch=aspired.epoch,
        revision=aspired.revision,
        salt=aspired.salt,
        lane_weight=lane_weight,
        canary_weight=canary.weight if canary else 0,
        lane=_lane(aspired, named[Role.HEAD], ready, previous) if lane_weight else None,
        canary=named[Role.CANARY] if canary and canary.weight else None,
        pin=_pin(named[Role.PIN if pin is not head else Role.HEAD], named, ready, previous),
    )


def _ready_id(aspired: AspiredModel, role: Role, ready: frozenset[ServableId]) -> ServableId | None:
    version = aspired.with_role(role)
    if version is None:
        return None
    servable = ServableId(aspired.model, version.version, version.digest)
    return servable if servable in ready else None


def _lane(
    aspired: AspiredModel, head: ServableId | None, ready: frozenset[ServableId], previous: Route | None
) -> ServableId | None:
    if head is not None or previous is None or previous.epoch != aspired.epoch:
        return head
    return previous.lane if previous.lane in ready else None


def _pin(
    target: ServableId | None,
    named: dict[Role, ServableId | None],
    ready: frozenset[ServableId],
    previous: Route | None,
) -> ServableId | None:
    if target is not None:
        return target
    if previous is not None and previous.pin in ready:
        return previous.pin
    for role in (Role.CANDIDATE, Role.HEAD, Role.CANARY):
        if named[role] is not None:
            return named[role]
    return max(ready, key=lambda servable: servable.version, default=None)
