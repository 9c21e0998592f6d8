"""Which parts of the chains stay, and when a chain is folded into a new base. Pure."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

MOST_KEPT: Final = 64  # while nobody knows which one is needed, beside the oldest
FOLD_RATIO: Final = 1.0  # the log may be as large as its base: so a restart reads at most two of them
FOLD_PARTS: Final = 256


@dataclass(frozen=True, slots=True, order=True)
class Part:
    """A part on disk. Parts at one step and position hold one state.

    Attributes:
        previous: digest of the part that this one follows; empty for a base.
    """

    step: int
    journal_position: int
    is_base: bool
    digest: str
    previous: str
    size: int


def chain_of(part: Part, known: Iterable[Part]) -> tuple[Part, ...]:
    """A part with all that it rests on, its base first; empty when something of it is missing."""
    by_digest = {one.digest: one for one in known}
    chain = [part]
    while not chain[-1].is_base:
        before = by_digest.get(chain[-1].previous)
        if before is None or len(chain) > len(by_digest):
            return ()
        chain.append(before)
    return tuple(reversed(chain))


def is_long(chain: Sequence[Part]) -> bool:
    """Whether the chain should be folded."""
    base, *log = chain
    return len(log) > FOLD_PARTS or sum(part.size for part in log) > FOLD_RATIO * base.size


def dispensable(known: Sequence[Part], keep: int, held: int | None, also: Collection[int] = ()) -> tuple[Part, ...]:
    """What may go: no checkpoint that is to stay rests on it.

    The last `keep` checkpoints stay; with a held position of the journal also the newest at or before it, and all newer
    ones, and those at the positions `also`. As long as none is old enough for that, nearly all stay, the oldest in any
    case.
    """
    newest_first = sorted(known, reverse=True)
    whole = [chain for chain in (chain_of(part, known) for part in newest_first) if chain]
    points: dict[tuple[int, int], tuple[Part, ...]] = {}
    for chain in whole:  # a base comes before the change that it replaces
        points.setdefault((chain[-1].step, chain[-1].journal_position), chain)
    wanted = _wanted(list(points.values()), keep, held)
    wanted += [chain for (_, position), chain in points.items() if position in also]
    kept = {part for chain in wanted for part in chain}
    return tuple(part for part in newest_first if part not in kept)


def _wanted(newest_first: list[tuple[Part, ...]], keep: int, held: int | None) -> list[tuple[Part, ...]]:
    if held is None:
        return newest_first[:keep]
    for place, chain in enumerate(newest_first):
        if chain[-1].journal_position <= held:
            return newest_first[: max(keep, place + 1)]
    return newest_first[:MOST_KEPT] + newest_first[MOST_KEPT:][-1:]
