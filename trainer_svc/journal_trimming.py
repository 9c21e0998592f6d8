"""Lets the journal's head go, and the checkpoints before it, once learning cannot go back there any more.

Called when the pin has moved, on the loop's thread; costs some milliseconds. Nothing that is learned hangs on it: what
a restart and a rewind need stays (`trainer_svc.journal_retention`).
"""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Protocol

from martlet.clock import Clock
from trainer_svc.checkpoints.folder import CheckpointStore
from trainer_svc.journal_index import JournalIndex
from trainer_svc.journal_retention import kept

logger = logging.getLogger(__name__)
FOREVER_US: Final = 1 << 62  # with `NoTrimmer`: the index must know all that the journal still has


class Trimmer(Protocol):
    """What is asked of a partition's trimmer (`martlet.eventlog.trimming`)."""

    def trim(self, position: int) -> None:
        """Lets records before a position go."""
        ...


class NoTrimmer:
    """Keeps everything."""

    def trim(self, position: int) -> None:
        """Nothing goes."""


def nobody() -> tuple[str, ...]:
    """Nobody else goes back to a version."""
    return ()


@dataclass(frozen=True, slots=True)
class Trimming:
    """How a lineage's journal is trimmed.

    Attributes:
        kept_us: what is younger stays, and what an alarm took back can be learned again for so long.
        parents: digests of the versions that runs under way go on from.
    """

    trimmer: Trimmer
    kept_us: int
    parents: Callable[[], Iterable[str]] = nobody


class JournalTrimming:
    """See the module's docstring. `forgetting`: where the journal names the first user whose erasure is not done."""

    def __init__(
        self,
        trimming: Trimming,
        index: JournalIndex,
        checkpoints: CheckpointStore,
        forgetting: Callable[[], Iterable[int]],
        clock: Clock,
    ) -> None:
        self._trimming = trimming
        self._index = index
        self._checkpoints = checkpoints
        self._forgetting = forgetting
        self._clock = clock

    def pinned(self, position: int) -> None:
        """The version that was taken off there is the pin: learning goes back to it, and to nothing before it."""
        since_us = self._clock.now_us() - self._trimming.kept_us
        index = self._index
        parents = [index.published[digest] for digest in self._trimming.parents() if digest in index.published]
        targets = {position, *(one.position for one in parents)}
        targets |= {one.back.target for one in index.exclusions(since_us)}
        aged = max((at for at, time_us in index.take_offs if time_us <= since_us), default=0)
        take_offs = [at for at, _ in index.take_offs]
        stays = kept(targets, index.returns, self._checkpoints.positions(), take_offs, [aged, *self._forgetting()])
        self._checkpoints.hold(position, stays.checkpoints)
        if stays.begin:
            self._trimming.trimmer.trim(stays.begin)
            index.forget_before(stays.begin)
