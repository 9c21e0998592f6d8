"""When a checkpoint is made, and of what. The loop's thread copies what changed; the writing goes on beside it."""

import logging
from concurrent.futures import Executor, Future
from typing import Final

from martlet.clock import Clock
from martlet.errors import Corrupt
from trainer_svc.checkpoints.folder import CheckpointStore
from trainer_svc.checkpoints.state import Checkpoint, changed_since, copy_of, is_small
from trainer_svc.committing import Committed
from trainer_svc.loop_settings import LoopObserver

logger = logging.getLogger(__name__)

_NEVER: Final = -1


class Checkpointing:
    """One checkpoint at a time. All calls from the loop's thread.

    Args:
        background: runs the writes, one at a time.
        interval_s: least time between two checkpoints.
    """

    def __init__(
        self,
        committed: Committed,
        store: CheckpointStore,
        background: Executor,
        interval_s: float,
        clock: Clock,
        observer: LoopObserver,
    ) -> None:
        self._committed = committed
        self._store = store
        self._background = background
        self._interval_s = interval_s
        self._clock = clock
        self._observer = observer
        self._chained = False  # what the trackers hold is the difference to the store's last checkpoint
        self._position = _NEVER
        self._step = 0
        self._began = clock.monotonic()
        self._writing: Future[str] | None = None

    def taken_over(self) -> None:
        """The state is that of the store's newest checkpoint."""
        for tracker in self._committed.state.trackers().values():
            tracker.take_unsaved()
            tracker.saved()
        self._chained, self._position = True, self._committed.position

    def begin_if_due(self) -> None:
        """Begins a checkpoint if the last one is long ago."""
        if self._clock.monotonic() - self._began >= self._interval_s:
            self.begin()

    def begin(self) -> None:
        """Begins a checkpoint, unless one is under way, or nothing has happened since the last.

        A version under way must have been built: its manifest is part of the state.
        """
        at, position = self._committed.state.cursor.at, self._committed.position
        built = not at.flying or at.flight is not None
        if self._writing is not None or not built or position == self._position:
            return
        self._began, self._position, self._step = self._clock.monotonic(), position, self._committed.state.step
        self._writing = self._submit()

    def begin_whole(self) -> None:
        """Begins a checkpoint that rests on no earlier one; what is under way is waited for."""
        self.wait()
        for tracker in self._committed.state.trackers().values():
            tracker.take_unsaved()
            tracker.unsaved_failed()
        self._chained, self._position = False, _NEVER
        self.begin()

    def settle(self) -> None:
        """Takes the result of a write that has ended."""
        if self._writing is None or not self._writing.done():
            return
        writing, self._writing = self._writing, None
        trackers = self._committed.state.trackers().values()
        try:
            digest = writing.result()
        except (OSError, Corrupt) as error:  # the journal still has everything; the next interval tries again
            for tracker in trackers:
                tracker.unsaved_failed()
            self._chained, self._position = False, _NEVER
            logger.warning("no checkpoint of step %d: %s", self._step, error)
            self._observer.checkpoint_failed()
            return
        for tracker in trackers:
            tracker.saved()
        self._chained = True
        self._observer.checkpointed(self._step, digest, self._clock.monotonic() - self._began)

    def wait(self) -> None:
        """Returns once no checkpoint is under way."""
        if self._writing is not None:
            self._writing.exception()
            self.settle()

    def _submit(self) -> "Future[str]":
        state, trackers = self._committed.state.state(), self._committed.state.trackers()
        unsaved = {prefix: tracker.take_unsaved() for prefix, tracker in trackers.items()}
        if self._chained and is_small(state, unsaved):
            change = changed_since(state, unsaved, self._position, self._step)
            return self._background.submit(self._store.extend, change)
        checkpoint = Checkpoint(self._position, self._step, copy_of(state))
        return self._background.submit(self._store.write, checkpoint)
