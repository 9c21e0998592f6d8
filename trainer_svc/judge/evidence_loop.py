"""The judge's loop: cuts, journals, reads, reports. Its state never rewinds, whatever the learner does.

Each cut is on disk before it is read, so after a crash the same batches come again under the same numbers, and the
registry drops those that it has. A batch is followed by the next one only once it is acknowledged.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from martlet.clock import Clock
from martlet.errors import Corrupt, MartletError
from martlet.evidence import EvidenceBatch
from trainer_svc.checkpoints.folder import CheckpointStore
from trainer_svc.checkpoints.state import Checkpoint
from trainer_svc.event_source import EventSource
from trainer_svc.journal import Journal, Stepped
from trainer_svc.journal_trimming import Trimmer
from trainer_svc.judge.evidence_state import EvidenceState
from trainer_svc.restorer import check_reaches

logger = logging.getLogger(__name__)

FIRST_PAUSE: Final = 0.1
LONGEST_PAUSE: Final = 5.0


class EvidencePort(Protocol):
    """What is asked of the registry."""

    def report_evidence(self, batch: EvidenceBatch) -> None:
        """Takes a batch, once."""
        ...


class EvidenceObserver(Protocol):
    """Hears what the loop did. Called on the loop's thread; must not wait."""

    def reported(self, rows: int, lag_seconds: float) -> None:
        """A batch was acknowledged, so long after its answers' event time."""
        ...

    def failed(self) -> None:
        """The registry did not take a batch; it is tried again."""
        ...


@dataclass(frozen=True, slots=True)
class EvidencePace:
    """How often things happen. None of it changes what is evidence.

    Attributes:
        records: most records of one step.
        checkpoint_interval_s: least time between two checkpoints.
        weight: about the most weight of one step's records (see `EventSource.cut`); 0: any.
    """

    records: int
    checkpoint_interval_s: float
    weight: int = 0


class EvidenceLoop:
    """See the module's docstring. All calls from one thread; blocking.

    Args:
        pause: waits so many seconds between two tries; True says that the trainer ends.
        trimmer: lets go what lies before the oldest checkpoint that is kept.
    """

    def __init__(
        self,
        *,
        journal: Journal,
        checkpoints: CheckpointStore,
        state: EvidenceState,
        source: EventSource,
        registry: EvidencePort,
        pace: EvidencePace,
        clock: Clock,
        observer: EvidenceObserver,
        pause: Callable[[float], bool],
        trimmer: Trimmer,
    ) -> None:
        self._trimmer = trimmer
        self._journal = journal
        self._checkpoints = checkpoints
        self.state = state
        self._source = source
        self._registry = registry
        self._pace = pace
        self._clock = clock
        self._observer = observer
        self._pause = pause
        self._position = 0
        self._checkpoint_step = 0
        self._acknowledged = True
        self._last_checkpoint = clock.monotonic()

    @property
    def position(self) -> int:
        """How far its journal has taken effect. From any thread."""
        return self._position

    def recover(self) -> bool:
        """Goes on where it was: newest whole checkpoint, then the journal behind it. False: the trainer ends.

        Raises:
            Corrupt: the journal is damaged.
        """
        checkpoint = self._checkpoints.newest()
        check_reaches(self._journal, checkpoint)
        if checkpoint is not None:
            self.state.restore(checkpoint.state)
            self._position, self._checkpoint_step = checkpoint.journal_position, checkpoint.step
        for entry, position in self._journal.read(self._position):
            if not isinstance(entry, Stepped):
                raise Corrupt("the judge's journal holds something that is no step")
            if not self._take(entry):
                return False
            self._position = position
        return True

    def turn(self) -> bool:
        """One step, if there is one. False: nothing was there, or the trainer ends.

        Raises:
            NotReady: the disk refused; the same step can be tried again.
        """
        cut = self._source.cut(self.state.positions, self._pace.records, self._pace.weight)
        now_us = self._clock.now_us()
        if not cut.ranges and (cut.behind or not self.state.intake.is_due(now_us)):
            return False
        entry = Stepped(cut, now_us)
        position = self._journal.append(entry)
        if not self._take(entry):
            return False
        self._position = position
        self._checkpoint_if_due()
        return True

    def close(self) -> None:
        """Writes a last checkpoint, unless the last batch is still to be acknowledged."""
        if self._acknowledged and self.state.step > self._checkpoint_step:
            self._checkpoint()

    def _take(self, entry: Stepped) -> bool:
        batch = self.state.take_step(entry)
        self._acknowledged = batch is None or self._report(batch)
        return self._acknowledged

    def _report(self, batch: EvidenceBatch) -> bool:
        """Reports until it is acknowledged. False: the trainer ends first; after a restart the batch comes again."""
        seconds = FIRST_PAUSE
        while True:
            try:
                self._registry.report_evidence(batch)
            except MartletError as error:
                logger.warning("evidence waits %.1f s: %s", seconds, error)
                self._observer.failed()
            else:
                lag_us = max((self._clock.now_us() - row.time_us for row in batch.rows), default=0)
                self._observer.reported(len(batch.rows), lag_us / 1e6)
                return True
            if self._pause(seconds):
                return False
            seconds = min(2 * seconds, LONGEST_PAUSE)

    def _checkpoint_if_due(self) -> None:
        if self._clock.monotonic() - self._last_checkpoint >= self._pace.checkpoint_interval_s:
            self._checkpoint()

    def _checkpoint(self) -> None:
        """Holds only what is acknowledged, so what a restart reads again is all that it has to send again."""
        self._last_checkpoint = self._clock.monotonic()
        state = {name: np.array(array) for name, array in self.state.state().items()}
        try:
            self._checkpoints.write(Checkpoint(self._position, self.state.step, state))
        except OSError as error:  # the journal has everything
            logger.warning("no checkpoint of the judge: %s", error)
            return
        self._checkpoint_step = self.state.step
        self._trimmer.trim(min(self._checkpoints.positions(), default=0))
