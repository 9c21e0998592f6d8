"""How much of a journal has to stay, and which checkpoints. Pure.

A restart executes what stands behind a checkpoint; so does going back to a version, from the newest checkpoint before
its take-off. On the way there may stand entries that went back themselves, and what those take is needed as well.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from martlet.errors import Corrupt
from trainer_svc.journal_index import Return


@dataclass(frozen=True, slots=True)
class Kept:
    """What has to stay.

    Attributes:
        checkpoints: positions of the journal, of the checkpoints that going back needs.
        begin: the journal's entries from here on, where a version was taken off; 0: all.
    """

    checkpoints: frozenset[int]
    begin: int


def kept(
    targets: Iterable[int],
    returns: Sequence[Return],
    checkpoints: Sequence[int],
    take_offs: Sequence[int],
    limits: Iterable[int] = (),
) -> Kept:
    """What has to stay so that learning can go back to these take-offs.

    Args:
        targets: positions that learning may go back to; none is no question, everything stays.
        returns: entries that take an earlier version's state.
        checkpoints: positions of those that are there, whole.
        take_offs: positions at which versions were taken off, ascending.
        limits: positions from which on the journal stays in any case.

    >>> kept([40], [], [10, 30, 50], [5, 20, 40]).begin
    20
    >>> kept([40], [Return(35, 12)], [10, 30, 50], [5, 20, 40])
    Kept(checkpoints=frozenset({10, 30}), begin=5)
    """
    needed = _needed(list(targets), returns, checkpoints)
    if not needed:
        return Kept(needed, 0)
    floor = min(*needed, *limits, max(needed))
    return Kept(needed, max((position for position in take_offs if position <= floor), default=0))


def audit_start(begin: int, checkpoints: Sequence[int], returns: Sequence[Return]) -> int:
    """The oldest checkpoint of a trimmed journal behind which nothing goes back to what lies before it.

    Raises:
        Corrupt: there is none.
    """
    found = (
        one
        for one in sorted(checkpoints)
        if one >= begin and all(back.target >= one for back in returns if back.position >= one)
    )
    start = next(found, None)
    if start is None:
        raise Corrupt(f"the journal begins at {begin}, and no checkpoint is whole from which on it could be executed")
    return start


def _needed(open_targets: list[int], returns: Sequence[Return], checkpoints: Sequence[int]) -> frozenset[int]:
    """The checkpoints; none if a target has none before it, and so takes the journal from its first entry on."""
    found: set[int] = set()
    while open_targets:
        target = open_targets.pop()
        start = max((one for one in checkpoints if one <= target), default=None)
        if start is None:
            return frozenset()
        if start not in found:
            found.add(start)
            open_targets += [one.target for one in returns if one.position >= start]
    return frozenset(found)
