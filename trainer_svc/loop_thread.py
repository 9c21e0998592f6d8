"""The loop's thread: recovers, turns, and ends with a last checkpoint."""

import gc
import logging
import threading
from collections.abc import Callable
from typing import Final

from martlet.clock import Clock
from martlet.errors import NotReady
from trainer_svc.hand_over import HandOver
from trainer_svc.publisher import Stopped
from trainer_svc.status_board import StatusBoard
from trainer_svc.training_loop import TrainingLoop

logger = logging.getLogger(__name__)

STATUS_SECONDS: Final = 0.25
_DISK_PAUSE: Final = 1.0
_COLLECTOR: Final = (20_000, 20, 50)


def spare_the_collector() -> None:
    """What stands by now stays, and collections are rare: what a step makes hangs in no cycles.

    Looking for cycles otherwise took a tenth of a linear model's time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECTOR)


class LoopThread(threading.Thread):
    """Runs a loop. A failure ends it, and with it the process: a restart takes up what is on disk.

    Args:
        poll_s: how long to wait before a step unless more is waiting in the log.
        ending: once it is set, the thread ends after its turn.
        recovered: called once the loop turns.
        failed: called when it ends with an error.
        next_after: makes the loop of the lineage that the head belongs to, once the one before it is closed.
    """

    def __init__(
        self,
        loop: TrainingLoop,
        board: StatusBoard,
        clock: Clock,
        poll_s: float,
        ending: threading.Event,
        recovered: Callable[[], None],
        failed: Callable[[], None],
        next_after: Callable[[HandOver], TrainingLoop] | None = None,
    ) -> None:
        super().__init__(name="training-loop", daemon=True)
        self._loop = loop
        self._next_after = next_after
        self._board = board
        self._clock = clock
        self._poll_s = poll_s
        self._recovered = recovered
        self._failed = failed
        self._ending = ending
        self._shown = float("-inf")
        self.failure: Exception | None = None

    def run(self) -> None:
        """The thread's body."""
        try:
            self._loop.recover()
            self._show()
            spare_the_collector()
            self._recovered()
            while not self._ending.is_set():
                self._turn()
            self._loop.close()
            self._show()
        except Stopped:  # while it recovered: the next start does that again
            logger.info("the trainer ends before it has recovered")
        except Exception as error:
            logger.exception("the loop failed")
            self.failure = error
            self._failed()

    def _turn(self) -> None:
        try:
            self._loop.turn(self._pause)
        except Stopped:  # the trainer ends; what was under way goes out after the restart
            self._ending.wait()
        except HandOver as word:
            self._go_over(word)
        except NotReady as error:  # nothing took effect that is not on disk: the same turn can be tried again
            logger.warning("learning waits: %s", error)
            self._ending.wait(_DISK_PAUSE)
        if self._clock.monotonic() - self._shown >= STATUS_SECONDS:
            self._show()

    def _go_over(self, word: HandOver) -> None:
        if self._next_after is None:
            raise word
        logger.warning("%s", word)
        self._loop.abandon()
        self._loop.close()
        self._loop = self._next_after(word)
        self._loop.recover()
        spare_the_collector()

    def _pause(self) -> None:
        self._ending.wait(self._poll_s)

    def _show(self) -> None:
        self._shown = self._clock.monotonic()
        state = self._loop.state
        self._board.update(state, state.quality() | state.running_quality())
