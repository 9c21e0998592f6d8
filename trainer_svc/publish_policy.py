"""Nothing, a delta or a snapshot? Pure."""

from dataclasses import dataclass
from enum import Enum


class PublishAction(Enum):
    """What to publish now."""

    NOTHING = "nothing"
    DELTA = "delta"
    SNAPSHOT = "snapshot"


@dataclass(frozen=True, slots=True)
class PublishView:
    """What the policy looks at.

    Attributes:
        in_flight: a publish is not acknowledged yet.
        has_parent: something was acknowledged in this lineage.
        needs_base: the table grew, or a publish was refused.
        learned: examples learned since the last publish.
        elapsed: seconds since the last publish.
        chain: deltas since the base.
    """

    in_flight: bool
    has_parent: bool
    needs_base: bool
    learned: int
    elapsed: float
    chain: int


def publish_action(view: PublishView, interval: float, chain_limit: int) -> PublishAction:
    """One publish is in flight at a time; a lineage begins with a snapshot; nothing new is not published."""
    if view.in_flight:
        return PublishAction.NOTHING
    if not view.has_parent:
        return PublishAction.SNAPSHOT
    if view.elapsed < interval or (view.learned == 0 and not view.needs_base):
        return PublishAction.NOTHING
    if view.needs_base or view.chain >= chain_limit:
        return PublishAction.SNAPSHOT
    return PublishAction.DELTA
