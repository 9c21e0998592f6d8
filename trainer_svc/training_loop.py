"""The loop: decides, journals, executes; brings versions out and writes checkpoints beside it.

The order is always: the decision is on disk, then it takes effect. So a killed trainer that takes the newest whole
checkpoint and executes the journal from there stands where it stood.
"""

import logging
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Final

import numpy as np

import martlet
from martlet.clock import Clock
from martlet.errors import Corrupt
from martlet.manifest import Manifest, encode_manifest, manifest_digest
from martlet.versions import LineageState
from trainer_svc.checkpoint import Checkpoint, CheckpointStore, state_digest
from trainer_svc.event_source import EventSource
from trainer_svc.journal import (
    Began,
    Entry,
    Journal,
    Overtaken,
    Published,
    Recalled,
    Rewound,
    Stepped,
)
from trainer_svc.loop_settings import LoopObserver, Pace
from trainer_svc.publish_policy import PublishView, next_publish
from trainer_svc.publisher import Offer, Publisher, PublishJob
from trainer_svc.readmission import Readmissions
from trainer_svc.restorer import Restorer
from trainer_svc.training_state import TrainingState

logger = logging.getLogger(__name__)

LINEAGE_SECONDS: Final = 1.0


class TrainingLoop:
    """See the module's docstring. All calls from one thread, the loop's; blocking.

    Args:
        make_state: a fresh state for a lineage.
        restorer: restores the states of published versions.
        begin: the first entry of a new lineage.
        background: runs checkpoint writes, one at a time.
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
    ) -> None:
        self._journal = journal
        self._checkpoints = checkpoints
        self._make_state = make_state
        self._restorer = restorer
        self._begin = begin
        self._source = source
        self._publisher = publisher
        self._background = background
        self._pace = pace
        self._clock = clock
        self._observer = observer
        self._position = 0
        self._behind = False
        self._job: PublishJob | None = None
        self._asking: Future[LineageState | None] | None = None
        self._telling: Future[LineageState] | None = None
        self._told = -1
        self._asked = float("-inf")
        self._pin = ""
        self._readmissions = Readmissions(restorer, publisher)
        self._job_began = 0.0
        self._last_publish: float | None = None
        self._last_checkpoint = clock.monotonic()
        self._checkpoint_position = -1
        self._writing: Future[str] | None = None
        self._written: tuple[int, float] = (0, 0.0)
        self.state: TrainingState
        self.began: Began

    def recover(self) -> None:
        """Begins a lineage, or goes on with the one that was: newest whole checkpoint, then the journal behind it.

        Raises:
            Corrupt: the journal is damaged, or executing it again gives something else than before.
        """
        first, self._position = next(self._journal.read(0), (None, 0))
        if first is None:
            first = self._begin()
            self._position = self._journal.append(first)
        if not isinstance(first, Began):
            raise Corrupt("the journal does not begin with the beginning of a lineage")
        self.began = first
        self.state = self._make_state(first)
        checkpoint = self._checkpoints.newest()
        if checkpoint is not None:
            self.state.restore(checkpoint.state)
            self._position = self._checkpoint_position = checkpoint.journal_position
        self._replay()
        self._resume_flight()

    def turn(self, pause: Callable[[], None]) -> bool:
        """One round. `pause` is called before the step unless more is waiting in the log. False: there was no step.

        What is decided here depends on the state and on answers, not on where a round was broken off: a restart goes on
        with the same decisions.
        """
        self._settle()
        self._ask_if_due()
        self._readmit()  # before anything is published on top of a promoted branch
        self._publish_if_due()
        self._checkpoint_if_due()
        if not self._behind:
            pause()
        self._settle()
        return self._take_step()

    def readmit(self, epoch: int) -> "Future[Offer]":
        """Offers the head with a suspect range learned again (see `Readmissions.ask`). From any thread."""
        return self._readmissions.ask(epoch)

    def close(self) -> None:
        """Writes a last checkpoint, so that the next start has nothing to execute again.

        A version that could not be built any more is left out of it: the next start builds it.
        """
        self._await_checkpoint()
        if self._job is not None and self._job.built.exception() is None:
            self._note_built()
        if self._can_checkpoint():
            self._begin_checkpoint()
            self._await_checkpoint()

    def state_digest(self) -> str:
        """Digest of the whole state; equal states share it. Waits until a version under way is built."""
        if self._job is not None:
            self._job.built.result()
            self._note_built()
        return state_digest(self.state.state())

    def _replay(self) -> None:
        count = 0
        for entry, position in self._journal.read(self._position):
            if isinstance(entry, Stepped):
                self._stepped(entry)
            else:
                self._restorer.execute(self.state, entry)
            self._position = position
            count += 1
        if count:
            logger.info("executed %d entries of the journal again, up to step %d", count, self.state.step)

    def _resume_flight(self) -> None:
        flight = self.state.cursor.at.flight
        if flight is not None:
            self._job_began = self._clock.monotonic()
            self._job = self._publisher.resubmit(self.state.cursor.at.number, flight)

    def _record(self, entry: Entry) -> None:
        self._position = self._journal.append(entry)

    def _take_step(self) -> bool:
        cut = self._source.cut(self.state.positions, self._pace.records)
        self._behind = bool(cut.behind)
        now_us = self._clock.now_us()
        if not cut.ranges and (cut.behind or not self.state.intake.is_due(now_us)):
            return False
        entry = Stepped(cut, now_us)
        self._record(entry)
        self._stepped(entry)
        return True

    def _stepped(self, entry: Stepped) -> None:
        began = self._clock.monotonic()
        stepping = self.state.take_step(entry)
        self._observer.stepped(stepping, self._clock.monotonic() - began)
        if stepping.report is not None:
            self._observer.reported(stepping.report)

    def _settle(self) -> None:
        """Takes the results of what ran beside the loop, at this step's boundary."""
        self._settle_checkpoint()
        self._settle_lineage()
        if self._job is None:
            return
        self._note_built()
        if self._job.result.done():
            result = self._job.result.result()
            self._job = None
            if isinstance(result, Recalled):
                self._recall(result.digest, result.version, result.epoch)
                return
            self._record(result)
            self.state.land(result)
            self._observer.published(result, self._clock.monotonic() - self._job_began)

    def _ask_if_due(self) -> None:
        """Between versions, asks where the lineage stands: a rewind must be seen though nothing is published."""
        now = self._clock.monotonic()
        busy = self._job is not None or self._telling is not None or self._asking is not None
        if self._must_tell() and not busy:
            head = self.state.cursor.at
            self._telling = self._publisher.tell(self.began.model, head.epoch, head.published)
        elif not busy and self.state.cursor.at.published and now >= self._asked + LINEAGE_SECONDS:
            self._asked = now
            self._asking = self._publisher.ask(self.began.model)

    def _readmit(self) -> None:
        cursor = self.state.cursor
        if cursor.at.head is not None and not self._must_tell():
            self._readmissions.begin(self.began, cursor.at)
        offered = self._readmissions.offered()
        if offered is not None:
            self._record(offered)
            cursor.offer(offered)
            self._readmissions.confirm()
        due = cursor.readmission
        if due is not None and not cursor.at.flying:
            suspect = self._restorer.suspect(due.epoch)
            self._record(due)
            self.state.readmit(due, suspect)
            logger.warning("what was taken back when epoch %d began is learned again", due.epoch)

    def _must_tell(self) -> bool:
        """A rewind that this process has not told the registry of."""
        at = self.state.cursor.at
        return at.untold and self._told != at.epoch

    def _settle_lineage(self) -> None:
        if self._telling is not None and self._telling.done():
            told, self._telling = self._telling.result(), None
            self._told = self.state.cursor.at.epoch
            self._look_at(told)
        if self._asking is not None and self._asking.done():
            found, self._asking = self._asking.result(), None
            if found is not None and not self._must_tell():
                self._look_at(found)
        if self.state.cursor.at.recalled and self._job is None:
            at = self.state.cursor.at
            self._rewind(at.published, at.version, at.epoch, refused=True)

    def _look_at(self, lineage: LineageState) -> None:
        """Goes back if the registry says so, and holds the checkpoint that going back to the pin would need."""
        at = self.state.cursor.at
        if lineage.rewind and lineage.epoch > at.epoch and self._job is None:
            self._recall(lineage.head_digest, lineage.head_version, lineage.epoch)
        elif lineage.pin_digest and lineage.pin_digest != self._pin:
            self._pin = lineage.pin_digest
            takeoff = self._restorer.find(self._pin)
            if takeoff is not None:
                self._checkpoints.hold(takeoff.position)

    def _recall(self, digest: str, version: int, epoch: int) -> None:
        """The registry took versions back. One that this journal does not know cannot be gone back to."""
        if self._restorer.find(digest) is not None:
            self._rewind(digest, version, epoch, refused=False)
            return
        logger.error("the registry asks to go back to version %d, which this trainer did not make", version)
        at = self.state.cursor.at
        if at.flying:
            self._record(entry := Overtaken(at.number, _digest_of(at.flight), epoch, digest))
            self.state.land(entry)

    def _rewind(self, digest: str, version: int, epoch: int, *, refused: bool) -> None:
        began = self._clock.monotonic()
        restored = self._restorer.restored(digest, version)
        suspect = {name: (restored.positions.get(name, 0), end) for name, end in sorted(self.state.positions.items())}
        entry = Rewound(digest, version, epoch, refused, suspect)
        self._record(entry)
        self.state.rewind(entry, restored)
        self._told = -1
        logger.warning("learning has gone back to version %d of %s, epoch %d", version, self.began.model, epoch)
        self._observer.rewound(entry, self._clock.monotonic() - began)
        self._await_checkpoint()
        if self._can_checkpoint():
            self._begin_checkpoint()

    def _note_built(self) -> None:
        cursor = self.state.cursor
        if self._job is not None and cursor.at.flight is None and self._job.built.done():
            cursor.built(self._job.built.result())

    def _publish_if_due(self) -> None:
        kind = next_publish(self._publish_view())
        if kind is None:
            return
        entry = Published(self.state.cursor.at.number + 1, kind, martlet.__version__)
        self._record(entry)
        self._last_publish = self._job_began = self._clock.monotonic()
        self._job = self._publisher.submit(self.state.take_off(entry))

    def _publish_view(self) -> PublishView:
        cursor, last = self.state.cursor, self._last_publish
        return PublishView(
            since_last_s=None if last is None else self._clock.monotonic() - last,
            interval_s=self._pace.publish_interval_s,
            learned=self.state.examples - cursor.at.examples,
            in_flight=cursor.at.flying or self._must_tell() or self._telling is not None,
            has_head=cursor.at.head is not None,
            chain=cursor.chain,
            limits=self._pace.chain_limits,
            rebased=cursor.at.rebased or cursor.at.generation != self.state.generation,
            refusals=cursor.at.refusals,
        )

    def _can_checkpoint(self) -> bool:
        at = self.state.cursor.at
        built = not at.flying or at.flight is not None
        return self._writing is None and built and self._position != self._checkpoint_position

    def _checkpoint_if_due(self) -> None:
        self._note_built()
        late = self._clock.monotonic() - self._last_checkpoint >= self._pace.checkpoint_interval_s
        if late and self._can_checkpoint():
            self._begin_checkpoint()

    def _begin_checkpoint(self) -> None:
        """Copies here, writes beside the loop."""
        self._last_checkpoint = self._clock.monotonic()
        state = {name: np.array(array) for name, array in self.state.state().items()}
        checkpoint = Checkpoint(self._position, self.state.step, state)
        self._checkpoint_position = self._position
        self._written = (self.state.step, self._last_checkpoint)
        self._writing = self._background.submit(self._checkpoints.write, checkpoint)

    def _await_checkpoint(self) -> None:
        if self._writing is not None:
            self._writing.exception()
            self._settle_checkpoint()

    def _settle_checkpoint(self) -> None:
        if self._writing is None or not self._writing.done():
            return
        writing, self._writing = self._writing, None
        step, began = self._written
        try:
            digest = writing.result()
        except OSError as error:  # the journal still has everything; the next interval tries again
            self._checkpoint_position = -1
            logger.warning("no checkpoint of step %d: %s", step, error)
            return
        self._observer.checkpointed(step, digest, self._clock.monotonic() - began)


def _digest_of(manifest: Manifest | None) -> str:
    return manifest_digest(encode_manifest(manifest)) if manifest is not None else ""
