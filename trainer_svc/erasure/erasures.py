"""The life of an erasure, at the loop's turns.

Asked → *forgotten*: journalled, the rows leave the tables, the next version is a snapshot → once the pin is a version
that was taken off behind that, and the log is read so far: events and dead letters are erased, older versions expire,
`Erased` is journalled → once the pin is behind that too, no checkpoint and no replay needs what names the user: the
journal's own entry goes.
"""

import logging
import queue
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future
from dataclasses import dataclass, replace

from martlet.clock import Clock
from martlet.errors import MartletError, NotReady
from martlet.feature_encoding import ItemId
from martlet.said import NOBODY, Said
from martlet.wire.trainer import Erasure, ErasureState
from trainer_svc.checkpointing import Checkpointing
from trainer_svc.committing import Committed
from trainer_svc.erasure.eraser import Eraser, Removed
from trainer_svc.journal import Erased, Forgot
from trainer_svc.journal_index import JournalReader
from trainer_svc.restorer import Restorer

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Erasing:
    """What erasures work with.

    Attributes:
        background: runs `eraser`, one at a time.
        scrub: erases the journal's entry that starts at a position.
    """

    eraser: Eraser
    background: Executor
    scrub: Callable[[int], None]


@dataclass(slots=True)
class _Scrub:
    """A user who is erased but for the journal's own entry. `behind`: the journal's position of that word."""

    start: int
    behind: int


@dataclass(frozen=True, slots=True)
class _Asked:
    """That a user is to be forgotten, on whose word. See `Erasures.ask`."""

    user_id: ItemId
    until: Mapping[str, int] | None
    said: Said
    asked: "Future[Erasure]"


class Erasures:
    """`ask` and `known` from any thread; everything else on the loop's.

    Args:
        ends: partition → the durable end of the event log now.
        scrub: erases the journal's entry that starts at a position.
    """

    def __init__(
        self,
        *,
        committed: Committed,
        checkpointing: Checkpointing,
        restorer: Restorer,
        journal: JournalReader,
        eraser: Eraser,
        background: Executor,
        ends: Callable[[], Mapping[str, int]],
        scrub: Callable[[int], None],
        clock: Clock,
    ) -> None:
        self._committed = committed
        self._checkpointing = checkpointing
        self._restorer = restorer
        self._journal = journal
        self._eraser = eraser
        self._background = background
        self._ends = ends
        self._scrub = scrub
        self._clock = clock
        self._asked: queue.SimpleQueue[_Asked] = queue.SimpleQueue()
        self._known: dict[int, Erasure] = {}
        self._scrubs: list[_Scrub] = []
        self._working: tuple[Forgot, Future[Removed]] | None = None

    def ask(self, user_id: ItemId, until: Mapping[str, int] | None = None, said: Said = NOBODY) -> "Future[Erasure]":
        """Asks for a user to be forgotten, on somebody's word; the future is done when the rows are gone.

        `until`: partition → position up to which nothing of the user is learned any more; the log's ends, if not given.
        """
        asked: Future[Erasure] = Future()
        self._asked.put(_Asked(user_id, until, said, asked))
        return asked

    def abandon(self) -> None:
        """Nothing is taken up here any more: who asked has to ask again."""
        while not self._asked.empty():
            self._asked.get().asked.set_exception(NotReady("learning goes on in another lineage: ask again"))

    def known(self) -> list[Erasure]:
        """The erasures since the process began, and those that were under way then, oldest first."""
        return [self._known[start] for start in sorted(self._known)]

    def recover(self) -> None:
        """Takes up what the journal says is under way."""
        for forgot in self._committed.state.forgotten:
            self._known[forgot.start] = Erasure(
                forgot.start, ErasureState.FORGOTTEN, forgot.now_us, 0, said=said_of(forgot)
            )
        forgotten = {entry.start for entry, _ in self._journal.read(0) if isinstance(entry, Forgot)}
        self._scrubs = [
            _Scrub(entry.start, end)
            for entry, end in self._journal.read(0)
            if isinstance(entry, Erased) and entry.start in forgotten
        ]

    def unfinished(self) -> list[int]:
        """Where the journal names users that it must name yet."""
        return [one.start for one in self._committed.state.forgotten] + [one.start for one in self._scrubs]

    def turn(self, pin: str) -> None:
        """One round. `pin`: digest of the version that learning may go back to."""
        while not self._committed.state.cursor.at.flying and not self._asked.empty():
            self._begin()
        takeoff = self._restorer.find(pin) if pin else None
        self._settle()
        if takeoff is not None:
            self._erase(takeoff.position)
            self._end(takeoff.position)

    def _begin(self) -> None:
        """Forgets one user. Not while a version is under way: it knows the user, and may be acknowledged yet."""
        ends = dict(self._ends())  # may have to wait: first, so that nobody's asking is lost
        one = self._asked.get()
        until = ends if one.until is None else dict(one.until)
        said, asked = one.said, one.asked
        now_us = self._clock.now_us()
        entry = Forgot(self._committed.position, one.user_id, until, now_us, said.who, said.why, said.caller)
        try:
            self._committed.record(entry)
        except NotReady as error:  # nothing was begun: who asked is told, and asks again
            asked.set_exception(error)
            raise
        rows = self._committed.state.forget(entry)
        self._checkpointing.begin_whole()
        self._known[entry.start] = Erasure(entry.start, ErasureState.FORGOTTEN, entry.now_us, rows, said=said)
        logger.warning("a user is forgotten: %d rows are cleared", rows)
        asked.set_result(self._known[entry.start])

    def _erase(self, pinned: int) -> None:
        """Begins to erase once the pin was made without the user, and what is passed over has been read."""
        state = self._committed.state
        if self._working is not None or not state.forgotten:
            return
        forgot = state.forgotten.oldest()
        first = self._restorer.index.first_after(forgot.start)
        passed = all(state.positions.get(name, 0) >= end for name, end in forgot.until.items())
        if pinned > forgot.start and passed and first is not None:
            self._working = forgot, self._background.submit(self._eraser.erase, forgot, first.version)

    def _settle(self) -> None:
        if self._working is None or not self._working[1].done():
            return
        (forgot, working), self._working = self._working, None
        try:
            removed = working.result()
        except (MartletError, OSError) as error:
            logger.warning("a forgotten user is not erased yet: %s", error)
            return
        entry = Erased(forgot.start, forgot.who, forgot.why, forgot.caller)
        self._committed.record(entry)
        self._committed.state.erased(entry)
        self._checkpointing.begin_whole()
        self._scrubs.append(_Scrub(forgot.start, self._committed.position))
        known = self._known[forgot.start]
        self._known[forgot.start] = replace(known, events=removed.events, versions=removed.versions)

    def _end(self, pinned: int) -> None:
        """Nothing behind the pin names the user any more: the journal need not either."""
        for scrub in [one for one in self._scrubs if pinned > one.behind]:
            self._scrub(scrub.start)
            self._scrubs.remove(scrub)
            known = self._known.get(scrub.start, Erasure(scrub.start, ErasureState.FORGOTTEN, 0, 0))
            self._known[scrub.start] = replace(known, state=ErasureState.ERASED)
            logger.warning("a forgotten user is erased: %d events, %d versions", known.events, known.versions)


def said_of(forgot: Forgot) -> Said:
    """On whose word a user was forgotten."""
    return Said(forgot.who, forgot.why, forgot.caller)
