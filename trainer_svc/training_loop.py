"""The loop: decides, journals, executes; brings versions out and writes checkpoints beside it.

The order is always: the decision is on disk, then it takes effect (see `trainer_svc.committing`).
"""

import logging
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future

from martlet.clock import Clock
from martlet.feature_encoding import ItemId
from martlet.manifest import encode_manifest, manifest_digest
from martlet.said import NOBODY, Said
from martlet.wire.trainer import Erasure
from trainer_svc.checkpointing import Checkpointing
from trainer_svc.checkpoints.folder import CheckpointStore
from trainer_svc.checkpoints.state import state_digest
from trainer_svc.committing import Committed
from trainer_svc.erasure.erasures import Erasing, Erasures
from trainer_svc.event_source import EventSource
from trainer_svc.hand_over import Alone, Head, Kin
from trainer_svc.journal import Acknowledged, Began, Entry, Grafted, Journal, Stepped
from trainer_svc.journal_trimming import JournalTrimming, Trimming
from trainer_svc.lineage_watch import LineageWatch
from trainer_svc.loop_settings import LoopObserver, Pace, StepWeight
from trainer_svc.publisher import Offer, Publisher
from trainer_svc.publishing import Publishing
from trainer_svc.readmission import Readmissions
from trainer_svc.restorer import Restorer
from trainer_svc.training_state import TrainingState

logger = logging.getLogger(__name__)


class TrainingLoop:
    """See the module's docstring. All calls from one thread, the loop's; blocking.

    Args:
        make_state: a fresh state for a lineage.
        restorer: restores the states of published versions.
        begin: the first entry of a new lineage.
        background: runs checkpoint writes, one at a time.
        erasing: how forgotten users are taken out of what is stored.
        trimming: how much of the journal stays.
        kin: the other lineages of this data directory. `turn` raises HandOver once the head is one of theirs.
        head: a version of this lineage that has become the head by another road, from which learning goes on.
    """

    def __init__(
        self,
        *,
        journal: Journal,
        checkpoints: CheckpointStore,
        make_state: Callable[[Began], TrainingState],
        restorer: Restorer,
        begin: Callable[[], Began],
        source: EventSource,
        publisher: Publisher,
        background: Executor,
        pace: Pace,
        clock: Clock,
        observer: LoopObserver,
        erasing: Erasing,
        trimming: Trimming,
        kin: Kin | None = None,
        head: Head | None = None,
    ) -> None:
        self._head = head
        kin = kin or Alone()
        self._checkpoints = checkpoints
        self._restorer = restorer
        self._source = source
        self._pace = pace
        self._step_weight = StepWeight(pace.weight)
        self._clock = clock
        self._observer = observer
        self._behind = False
        committed = self._committed = Committed(journal, make_state, begin)
        self._checkpointing = Checkpointing(
            committed, checkpoints, background, pace.checkpoint_interval_s, clock, observer
        )
        self._publishing = Publishing(committed, publisher, pace, clock, observer, kin)
        self._readmissions = Readmissions(restorer, publisher)
        self._erasures = Erasures(
            committed=committed,
            checkpointing=self._checkpointing,
            restorer=restorer,
            journal=journal,
            eraser=erasing.eraser,
            background=erasing.background,
            ends=source.ends,
            scrub=erasing.scrub,
            clock=clock,
        )
        self._watch = LineageWatch(
            committed=committed,
            restorer=restorer,
            publisher=publisher,
            publishing=self._publishing,
            checkpointing=self._checkpointing,
            trimming=JournalTrimming(trimming, restorer.index, checkpoints, self._erasures.unfinished, clock),
            clock=clock,
            observer=observer,
            kin=kin,
        )

    @property
    def state(self) -> TrainingState:
        """The state; there is one once `recover` has begun."""
        return self._committed.state

    @property
    def began(self) -> Began:
        """The lineage's first entry; there is one once `recover` has begun."""
        return self._committed.began

    @property
    def position(self) -> int:
        """How far the journal has taken effect."""
        return self._committed.position

    @property
    def damaged(self) -> int:
        """Partitions of the event log that cannot be read on. From any thread."""
        return len(self._source.damaged)

    @property
    def record_span(self) -> float:
        """See `EventSource.record_span`. From any thread."""
        return self._source.record_span

    @property
    def pin(self) -> str:
        """Digest of the pin, if this lineage made it; else "". From any thread."""
        pin = self._watch.pin
        return pin if pin and self._restorer.knows(pin) else ""

    def recover(self) -> None:
        """Begins a lineage, or goes on with the one that was: newest whole checkpoint, then the journal behind it.

        Raises:
            Corrupt: the journal is damaged, or executing it again gives something else than before.
        """
        if self._committed.open(self._checkpoints):
            self._checkpointing.taken_over()
        self._committed.replay(self._restorer, self._step_again)
        if self._head is not None:
            self._take_up(self._head)
        self._publishing.resume()
        self._erasures.recover()

    def turn(self, pause: Callable[[], None]) -> bool:
        """One round. `pause` is called before the step unless more is waiting in the log. False: there was no step.

        What is decided here depends on the state and on answers, not on where a round was broken off: a restart goes on
        with the same decisions.
        """
        self._settle()
        self._watch.ask_if_due()
        self._erasures.turn(self._watch.pin)
        self._readmit()  # before anything is published on top of a promoted branch
        self._publishing.begin_if_due(held_back=self._watch.holds_back)
        self._publishing.note_built()
        self._checkpointing.begin_if_due()
        if not self._behind:
            pause()
        self._settle()
        return self._take_step()

    def readmit(self, epoch: int) -> "Future[Offer]":
        """Offers the head with a suspect range learned again (see `Readmissions.ask`). From any thread."""
        return self._readmissions.ask(epoch)

    def forget(self, user_id: ItemId, until: Mapping[str, int] | None = None, said: Said = NOBODY) -> "Future[Erasure]":
        """Forgets a user (see `Erasures.ask`). From any thread."""
        return self._erasures.ask(user_id, until, said)

    def abandon(self) -> None:
        """Learning goes on in another lineage: who asked for something here has to ask again."""
        self._erasures.abandon()
        self._readmissions.abandon()

    def erasures(self) -> list[Erasure]:
        """How far erasures have come. From any thread."""
        return self._erasures.known()

    def close(self) -> None:
        """Writes a last checkpoint, so that the next start has nothing to execute again.

        A version that could not be built any more is left out of it: the next start builds it.
        """
        self._checkpointing.wait()
        self._publishing.await_built()
        self._checkpointing.begin()
        self._checkpointing.wait()

    def state_digest(self) -> str:
        """Digest of the whole state; equal states share it. Waits until a version under way is built."""
        self._publishing.await_built()
        return state_digest(self.state.state())

    def _take_up(self, head: Head) -> None:
        """Goes on from a version of this lineage that has become the head by another road.

        What is on disk already is not written again, so this may be broken off and repeated.
        """
        state, at = self.state, self.state.cursor.at
        if at.flight is not None and at.flying:
            digest = manifest_digest(encode_manifest(at.flight))
            if digest == head.digest:
                landed = Acknowledged(at.number, digest, head.version)
                self._committed.record(landed)
                state.land(landed)
        if not at.flying and at.epoch < head.epoch and at.published == head.digest:
            graft = Grafted(head.epoch, head.digest)
            self._committed.record(graft)
            state.cursor.grafted(graft)

    def _settle(self) -> None:
        """Takes the results of what ran beside the loop, at this step's boundary."""
        self._checkpointing.settle()
        self._watch.settle()
        recalled = self._publishing.settle()
        if recalled is not None:
            self._watch.recall(recalled)

    def _readmit(self) -> None:
        cursor = self.state.cursor
        if cursor.at.head is not None and not self._watch.must_tell:
            self._readmissions.begin(self._committed.began, cursor.at)
        offered = self._readmissions.offered()
        if offered is not None:
            self._committed.record(offered)
            cursor.offer(offered)
            self._readmissions.confirm()
        due = cursor.readmission
        if due is not None and not cursor.at.flying:
            suspect = self._restorer.suspect(due.epoch)
            self._committed.record(due)
            self.state.readmit(due, suspect)
            logger.warning("what was taken back when epoch %d began is learned again", due.epoch)

    def _take_step(self) -> bool:
        cut = self._source.cut(self.state.positions, self._pace.records, self._step_weight.value)
        self._behind = bool(cut.behind)
        now_us = self._clock.now_us()
        if not cut.ranges and (cut.behind or not self.state.intake.is_due(now_us)):
            return False
        entry = Stepped(cut, now_us)
        self._committed.record(entry)
        self._stepped(entry)
        return True

    def _step_again(self, entry: Entry) -> bool:
        if isinstance(entry, Stepped):
            self._stepped(entry)
        return isinstance(entry, Stepped)

    def _stepped(self, entry: Stepped) -> None:
        began = self._clock.monotonic()
        stepping = self.state.take_step(entry)
        seconds = self._clock.monotonic() - began
        self._step_weight.observe(stepping.examples, seconds)
        self._observer.stepped(stepping, seconds)
        if stepping.report is not None:
            self._observer.reported(stepping.report)
