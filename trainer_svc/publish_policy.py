"""When a version is made, and of which kind. Pure."""

from dataclasses import dataclass
from typing import Final

from martlet.manifest import VersionKind

_MAX_DOUBLINGS: Final = 6


@dataclass(frozen=True, slots=True)
class PublishView:
    """What the decision rests on.

    Attributes:
        since_last_s: seconds since the last version was made, or None before the first.
        interval_s: least time between two versions.
        learned: examples learned since the last version was made.
        in_flight: a version is under way and not acknowledged.
        has_head: the registry has acknowledged a version of this lineage.
        chain_length: deltas in the head's longest chain.
        chain_limit: at that length a new base is due.
        rebased: a new base is needed for another reason: a table grew, or the head is not this lineage's own.
        refusals: versions refused in a row.
    """

    since_last_s: float | None
    interval_s: float
    learned: int
    in_flight: bool
    has_head: bool
    chain_length: int
    chain_limit: int
    rebased: bool
    refusals: int


def next_publish(view: PublishView) -> VersionKind | None:
    """The kind of version to make now, or None.

    A lineage begins with a snapshot at once, so that there is something to serve. What is refused again and again is
    offered less and less often.
    """
    if view.in_flight:
        return None
    wait = view.interval_s * 2 ** min(view.refusals, _MAX_DOUBLINGS)
    if view.since_last_s is not None and view.since_last_s < wait:
        return None
    if not view.has_head or view.rebased:
        return VersionKind.SNAPSHOT
    if not view.learned:
        return None
    return VersionKind.SNAPSHOT if view.chain_length >= view.chain_limit else VersionKind.DELTA
