"""What a manager should do next for one model: pure, stateless, preserving availability.

Loads before it unloads: a version that is not aspired any more goes only when no request can be routed to it, and the
route (see `traffic_split.plan_route`) keeps an old version until its successor is READY.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto

from martlet.versions import Role, VersionState
from serving_svc.servable import ServableId


class Step(Enum):
    """LOAD: load, warm up, route. UNLOAD: drain and free. FORGET: drop the record of a version that failed."""

    LOAD = auto()
    UNLOAD = auto()
    FORGET = auto()


@dataclass(frozen=True, slots=True)
class Action:
    """One step for one version."""

    step: Step
    servable: ServableId


@dataclass(frozen=True, slots=True)
class VersionView:
    """One version as the policy sees it.

    Attributes:
        state: None: aspired, and nothing was done yet.
        roles: empty: not aspired.
        routed: requests may be sent to it.
    """

    servable: ServableId
    state: VersionState | None
    roles: frozenset[Role]
    routed: bool = False


_ORDER_WHEN_SERVING = (Role.HEAD, Role.PIN, Role.CANARY, Role.CANDIDATE)
_ORDER_WHEN_EMPTY = (Role.PIN, Role.HEAD, Role.CANARY, Role.CANDIDATE)


def next_action(versions: Sequence[VersionView]) -> Action | None:
    """The next step, or None when nothing is to be done now.

    A new head comes first, since it carries what was just learned; a replica that serves nothing yet takes the pin
    first. One version is loaded at a time, so that of several heads in a row only the newest is loaded.
    """
    if not any(view.state in (VersionState.LOADING, VersionState.WARMING) for view in versions):
        new = [view for view in versions if view.roles and view.state is None]
        if new:
            return Action(Step.LOAD, _most_urgent(new, versions).servable)
    for view in versions:
        if view.roles or view.routed:
            continue
        if view.state is VersionState.READY:
            return Action(Step.UNLOAD, view.servable)
        if view.state is VersionState.FAILED:
            return Action(Step.FORGET, view.servable)
    return None


def _most_urgent(new: Sequence[VersionView], versions: Sequence[VersionView]) -> VersionView:
    serving = any(view.state is VersionState.READY for view in versions)
    order = _ORDER_WHEN_SERVING if serving else _ORDER_WHEN_EMPTY
    return min(new, key=lambda view: min(order.index(role) for role in view.roles))
