"""When a version is made, and of which kind. Pure."""

from dataclasses import dataclass
from typing import Final

from martlet.digest import CHUNK_SIZE
from martlet.manifest import VersionKind

_MAX_DOUBLINGS: Final = 6
REFUSALS_BEFORE_A_BASE: Final = 3


@dataclass(frozen=True, slots=True)
class Chain:
    """What stands behind the head's bases.

    Attributes:
        length: deltas in the longest chain.
        chain_bytes: of all deltas of all tables.
        base_bytes: of all bases.
    """

    length: int = 0
    chain_bytes: int = 0
    base_bytes: int = 0


@dataclass(frozen=True, slots=True)
class ChainLimits:
    """When a chain is long enough for a new base.

    Attributes:
        length: deltas.
        bytes_share: bytes of deltas for each byte of bases: a replica that starts reads both. Less than one chunk of
            deltas is never too much.
    """

    length: int
    bytes_share: float = 1.0

    def reached_by(self, chain: Chain) -> bool:
        """Whether a new base is due."""
        heavy = chain.chain_bytes >= CHUNK_SIZE and chain.chain_bytes >= self.bytes_share * chain.base_bytes
        return chain.length >= self.length or heavy


@dataclass(frozen=True, slots=True)
class PublishView:
    """What the decision rests on.

    Attributes:
        since_last_s: seconds since the last version was made, or None before the first.
        interval_s: least time between two versions.
        learned: examples learned since the last version was made.
        in_flight: a version is under way and not acknowledged.
        has_head: the registry has acknowledged a version of this lineage.
        chain: what stands behind the head's bases.
        limits: when that is too much.
        rebased: a new base is needed for another reason: a table grew, or the head is not this lineage's own.
        refusals: versions refused in a row.
    """

    since_last_s: float | None
    interval_s: float
    learned: int
    in_flight: bool
    has_head: bool
    chain: Chain
    limits: ChainLimits
    rebased: bool
    refusals: int


def next_publish(view: PublishView) -> VersionKind | None:
    """The kind of version to make now, or None.

    One is under way at a time: what is learned meanwhile goes into the next one, however slow the registry is. A
    lineage begins with a snapshot at once, so that there is something to serve. What is refused again and again is
    offered less and less often, and then with a base of its own.
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
    rebase = view.limits.reached_by(view.chain) or view.refusals >= REFUSALS_BEFORE_A_BASE
    return VersionKind.SNAPSHOT if rebase else VersionKind.DELTA
