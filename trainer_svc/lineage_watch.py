"""What the registry makes of the lineage: asks where it stands, goes back when versions are taken back, tells of it."""

import logging
from concurrent.futures import Future
from typing import Final

from martlet.clock import Clock
from martlet.versions import LineageState
from trainer_svc.checkpointing import Checkpointing
from trainer_svc.committing import Committed
from trainer_svc.hand_over import HandOver, Head, Kin
from trainer_svc.journal import Recalled, Rewound
from trainer_svc.journal_trimming import JournalTrimming
from trainer_svc.loop_settings import LoopObserver
from trainer_svc.publisher import Publisher
from trainer_svc.publishing import Publishing
from trainer_svc.restorer import Restorer

logger = logging.getLogger(__name__)

LINEAGE_SECONDS: Final = 1.0


class LineageWatch:
    """All calls from the loop's thread; a rewind takes as long as restoring a version's state does."""

    def __init__(
        self,
        *,
        committed: Committed,
        restorer: Restorer,
        publisher: Publisher,
        publishing: Publishing,
        checkpointing: Checkpointing,
        trimming: JournalTrimming,
        clock: Clock,
        observer: LoopObserver,
        kin: Kin,
    ) -> None:
        self._kin = kin
        self._committed = committed
        self._restorer = restorer
        self._publisher = publisher
        self._publishing = publishing
        self._checkpointing = checkpointing
        self._trimming = trimming
        self._clock = clock
        self._observer = observer
        self._asking: Future[LineageState | None] | None = None
        self._telling: Future[LineageState] | None = None
        self._told = -1
        self._asked = float("-inf")
        self._pin = ""
        self._missed = False

    @property
    def must_tell(self) -> bool:
        """A rewind that this process has not told the registry of."""
        at = self._committed.state.cursor.at
        return at.untold and self._told != at.epoch

    @property
    def pin(self) -> str:
        """Digest of the pin, as the registry said last; "" before."""
        return self._pin

    @property
    def holds_back(self) -> bool:
        """Whether nothing may be published now."""
        return self.must_tell or self._telling is not None

    def ask_if_due(self) -> None:
        """Between versions, asks where the lineage stands: a rewind must be seen though nothing is published."""
        at, model, now = self._committed.state.cursor.at, self._committed.began.model, self._clock.monotonic()
        if self._publishing.busy or self._telling is not None or self._asking is not None:
            return
        if self.must_tell:
            self._telling = self._publisher.tell(model, at.epoch, at.published)
        elif at.published and now >= self._asked + LINEAGE_SECONDS:
            self._asked = now
            self._asking = self._publisher.ask(model)

    def settle(self) -> None:
        """Takes answers, and goes back after a refusal."""
        if self._telling is not None and self._telling.done():
            told, self._telling = self._telling.result(), None
            self._told = self._committed.state.cursor.at.epoch
            self._look_at(told)
        if self._asking is not None and self._asking.done():
            found, self._asking = self._asking.result(), None
            if found is not None and not self.must_tell:
                self._look_at(found)
        at = self._committed.state.cursor.at
        if at.recalled and not self._publishing.busy:
            self._rewind(at.published, at.version, at.epoch, refused=True)

    def recall(self, to: Recalled) -> None:
        """The registry took versions back. One that no journal here knows cannot be gone back to.

        Raises:
            HandOver: another lineage's journal does.
        """
        if self._restorer.find(to.digest) is not None:
            self._rewind(to.digest, to.version, to.epoch, refused=False)
            return
        lineage = self._kin.lineage_of(to.digest)
        if lineage is not None:
            raise HandOver(lineage, Head(to.version, to.digest, to.epoch))
        logger.error(
            "the registry asks to go back to version %d, which this trainer did not make, or knows no longer",
            to.version,
        )
        self._publishing.overtaken(to.epoch, to.digest)

    def _look_at(self, lineage: LineageState) -> None:
        """Goes back if the registry says so, and keeps what going back to the pin would need."""
        at = self._committed.state.cursor.at
        if at.published and not lineage.head_version:
            self._miss_the_catalog(at.version)
        if lineage.rewind and lineage.epoch > at.epoch and not self._publishing.busy:
            self.recall(Recalled(lineage.head_digest, lineage.head_version, lineage.epoch))
            return
        if not lineage.rewind and lineage.head_digest != at.published and not self._publishing.busy:
            self._hand_over(lineage)
        if lineage.pin_digest and lineage.pin_digest != self._pin:
            self._pin = lineage.pin_digest
            takeoff = self._restorer.find(self._pin)
            if takeoff is not None:
                self._trimming.pinned(takeoff.position)

    def _miss_the_catalog(self, version: int) -> None:
        """Numbers would be given twice, and replicas keep to what they know; so nothing is begun anew silently."""
        if not self._missed:
            self._missed = True
            logger.error(
                "the registry knows no version of %s, and this trainer published version %d: its catalog is lost; stop "
                "all services and make a data directory of a backup (martlet restore), or begin in a new one",
                self._committed.began.model,
                version,
            )

    def _hand_over(self, lineage: LineageState) -> None:
        name = self._kin.lineage_of(lineage.head_digest)
        if name is not None:
            raise HandOver(name, Head(lineage.head_version, lineage.head_digest, lineage.epoch))

    def _rewind(self, digest: str, version: int, epoch: int, *, refused: bool) -> None:
        began, state = self._clock.monotonic(), self._committed.state
        restored = self._restorer.restored(digest, version)
        suspect = {name: (restored.positions.get(name, 0), end) for name, end in sorted(state.positions.items())}
        entry = Rewound(digest, version, epoch, refused, suspect)
        self._committed.record(entry)
        state.rewind(entry, restored)
        self._told = -1
        logger.warning(
            "learning has gone back to version %d of %s, epoch %d", version, self._committed.began.model, epoch
        )
        self._observer.rewound(entry, self._clock.monotonic() - began)
        self._checkpointing.wait()
        self._checkpointing.begin()
