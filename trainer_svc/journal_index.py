"""What stands where in a journal: versions, rewinds, re-admissions, words to forget. Read once, then on from there."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from martlet.errors import Corrupt
from trainer_svc.journal import (
    Acknowledged,
    Entry,
    Erased,
    Forgot,
    Published,
    Readmitted,
    Rewound,
    Stepped,
)


class JournalReader(Protocol):
    """What is asked of a journal."""

    def read(self, start: int) -> Iterator[tuple[Entry, int]]:
        """The entries from a position on, each with the position behind it."""
        ...

    def begin(self) -> int:
        """The position from which entries are kept, beside the first one; 0: all are."""
        ...


@dataclass(frozen=True, slots=True)
class TakeOff:
    """Where a version was taken off: the attempt, the journal's position right before it, the version's number."""

    number: int
    position: int
    version: int


@dataclass(frozen=True, slots=True)
class Return:
    """An entry that takes the state of a version: where it stands, and where that version was taken off."""

    position: int
    target: int


@dataclass(frozen=True, slots=True)
class Exclusion:
    """What an alarm took back: the entry that did, its epoch, and the wall time of the step before it."""

    back: Return
    epoch: int
    time_us: int


class JournalIndex:
    """See the module's docstring. Not thread-safe, but for `knows`.

    Attributes:
        published: the versions that were acknowledged, by digest.
        returns: the entries that take an earlier version's state, in their order.
        take_offs: where versions were taken off, acknowledged or not, and the wall time then, in their order.
    """

    def __init__(self, journal: JournalReader) -> None:
        self._journal = journal
        self._scanned = 0
        self._under_way: dict[int, int] = {}
        self._exclusions: dict[int, Exclusion] = {}
        self._now_us = 0
        self.published: dict[str, TakeOff] = {}
        self.returns: list[Return] = []
        self.take_offs: list[tuple[int, int]] = []

    def read_on(self) -> None:
        """Takes in what was written since.

        Raises:
            Corrupt: the journal does not hold together.
        """
        for entry, end in self._journal.read(self._scanned):
            self._take(entry, self._scanned)
            self._scanned = end

    def find(self, digest: str) -> TakeOff | None:
        """Where a version was taken off; None for one that the journal does not know as published."""
        self.read_on()
        return self.published.get(digest)

    def first_after(self, position: int) -> TakeOff | None:
        """The oldest version that was taken off behind a position, of those read so far."""
        later = [takeoff for takeoff in self.published.values() if takeoff.position > position]
        return min(later, key=lambda takeoff: takeoff.version, default=None)

    def exclusions(self, since_us: int) -> list[Exclusion]:
        """What alarms took back since a wall time, and can be learned again yet."""
        return [one for one in self._exclusions.values() if one.time_us >= since_us]

    def forget_before(self, position: int) -> None:
        """The journal holds nothing before it any more."""
        self.published = {digest: one for digest, one in self.published.items() if one.position >= position}
        self.returns = [one for one in self.returns if one.position >= position]
        self.take_offs = [one for one in self.take_offs if one[0] >= position]
        self._exclusions = {key: one for key, one in self._exclusions.items() if one.back.target >= position}

    def _take(self, entry: Entry, start: int) -> None:
        if isinstance(entry, Stepped):
            self._now_us = entry.now_us
        elif isinstance(entry, Published):
            self._under_way = {entry.number: start}
            self.take_offs.append((start, self._now_us))
        elif isinstance(entry, Acknowledged):
            if entry.number not in self._under_way:
                raise Corrupt(f"the journal ends version {entry.number}, which it does not begin")
            self.published[entry.digest] = TakeOff(entry.number, self._under_way[entry.number], entry.version)
        elif isinstance(entry, Rewound):
            self._rewound(entry, start)
        elif isinstance(entry, Readmitted):
            excluded = self._exclusions.pop(entry.epoch, None)
            if excluded is not None:
                self.returns.append(Return(start, excluded.back.target))
        elif isinstance(entry, Forgot | Erased):
            self._exclusions.clear()  # it is not whole any more

    def _rewound(self, entry: Rewound, start: int) -> None:
        target = self.published.get(entry.digest)
        if target is None:
            return  # so long ago that nothing starts before this entry any more
        back = Return(start, target.position)
        self.returns.append(back)
        if not entry.refused:
            self._exclusions[entry.epoch] = Exclusion(back, entry.epoch, self._now_us)
