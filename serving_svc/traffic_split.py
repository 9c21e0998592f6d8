"""Which version answers a session, and which others score what it answers: pure, sticky, salted.

A session falls into one of 10,000 buckets by a hash that is salted for each epoch. The live lane owns the buckets from
0 up to its weight, a canary those above it, the pin the rest. So a session stays with its arm while weights stand
still, and raising the lane's weight only adds sessions to it.
"""

from dataclasses import dataclass
from typing import Final

import xxhash

from martlet.events import SPLIT_BUCKETS, Arm
from martlet.versions import AspiredModel, AspiredVersion, Role
from serving_svc.servable import ServableId

STABLE: Final = "stable"
CANARY: Final = "canary"
LABELS: Final = frozenset({STABLE, CANARY})


@dataclass(frozen=True, slots=True)
class Scorer:
    """A READY version whose opinion of an answer is wanted, whoever answers."""

    role: Role
    servable: ServableId


@dataclass(frozen=True, slots=True)
class Route:
    """Who answers which part of a model's traffic. Every version named here is READY.

    Attributes:
        lane_weight, canary_weight: their shares in buckets of 10,000.
        lane: answers the live lane; None: the pin does.
        canary: answers the canary's share; None: the pin does.
        pin: answers the rest and whatever another arm cannot; None: no version of the model is READY.
        head: holds the live lane, whatever its weight; None: nobody apart from the pin.
        scorers: every version that the judge compares, each once.
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
    head: ServableId | None = None
    scorers: tuple[Scorer, ...] = ()

    def names(self, servable: ServableId) -> bool:
        """Whether any request may be sent to it, or it holds the lane until its successor is READY."""
        return servable in (self.lane, self.canary, self.pin, self.head)


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


def resolve_label(route: Route, label: str) -> ServableId | None:
    """The READY version that a label names now; None: there is none, or no such label.

    `stable` is what answers whoever is in no experiment: the pin. `canary` is what is being tried: a structural canary
    if there is one, else the live lane's head.
    """
    if label == STABLE:
        return route.pin
    if label == CANARY:
        return route.canary or route.lane or route.head
    return None


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
    holder = _lane_holder(aspired, named[Role.HEAD], ready, previous) if head else None
    return Route(
        model=aspired.model,
        epoch=aspired.epoch,
        revision=aspired.revision,
        salt=aspired.salt,
        lane_weight=lane_weight,
        canary_weight=canary.weight if canary else 0,
        lane=holder if lane_weight else None,
        canary=named[Role.CANARY] if canary and canary.weight else None,
        pin=_pin(named[Role.PIN if pin is not head else Role.HEAD], named, ready, previous),
        head=None if pin and holder == _id(aspired, pin) else holder,
        scorers=_scorers({**named, Role.HEAD: holder}),
    )


def gate_reference(aspired: AspiredModel, route: Route, servable: ServableId) -> ServableId | None:
    """The READY version that a new one must resemble before it may take the live lane; None: nothing is asked of it.

    Only a head is asked, and only beside a pin that is READY: it follows the version that holds the lane, else the pin.
    A version that becomes head and pin at once was judged by its rollout. A head that answers nobody may move as far as
    it likes: a newborn model does, and the judge looks at it.
    """
    head, pin = aspired.with_role(Role.HEAD), aspired.with_role(Role.PIN)
    if head is None or pin is None or not head.weight or _id(aspired, head) != servable:
        return None
    pinned = _id(aspired, pin)
    if pinned == servable or pinned != route.pin:
        return None
    return route.lane or route.head or route.pin


def _id(aspired: AspiredModel, version: AspiredVersion) -> ServableId:
    return ServableId(aspired.model, version.version, version.digest)


def _ready_id(aspired: AspiredModel, role: Role, ready: frozenset[ServableId]) -> ServableId | None:
    version = aspired.with_role(role)
    if version is None:
        return None
    servable = _id(aspired, version)
    return servable if servable in ready else None


def _lane_holder(
    aspired: AspiredModel, head: ServableId | None, ready: frozenset[ServableId], previous: Route | None
) -> ServableId | None:
    if head is not None or previous is None or previous.epoch != aspired.epoch:
        return head
    holder = previous.lane or previous.head
    return holder if holder in ready else None


def _scorers(named: dict[Role, ServableId | None]) -> tuple[Scorer, ...]:
    roles: dict[ServableId, Role] = {}
    for role in Role:
        servable = named[role]
        if servable is not None:
            roles.setdefault(servable, role)
    return tuple(Scorer(role, servable) for servable, role in roles.items())


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
