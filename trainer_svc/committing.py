"""The order of a commit: a decision is on disk, then it takes effect.

So a killed trainer that takes the newest whole checkpoint and executes the journal from there stands where it stood.
"""

import logging
from collections.abc import Callable

from martlet.errors import Corrupt
from trainer_svc.checkpoints.folder import CheckpointStore
from trainer_svc.journal import Began, Entry, Journal
from trainer_svc.restorer import Restorer, check_reaches
from trainer_svc.training_state import TrainingState

logger = logging.getLogger(__name__)


class Committed:
    """The state of a lineage, and how far its journal has taken effect in it. Not thread-safe; blocking.

    Args:
        make_state: a fresh state for a lineage.
        begin: the first entry of a new lineage.

    Attributes:
        state: all entries up to `position` have taken effect in it, once the caller of `record` has seen to that.
        began: the lineage's first entry.
        position: in the journal.
    """

    state: TrainingState
    began: Began

    def __init__(
        self, journal: Journal, make_state: Callable[[Began], TrainingState], begin: Callable[[], Began]
    ) -> None:
        self._journal = journal
        self._make_state = make_state
        self._begin = begin
        self.position = 0

    def open(self, checkpoints: CheckpointStore) -> bool:
        """Begins a lineage, or takes over its newest whole checkpoint; says whether there was one.

        Raises:
            Corrupt: the journal is damaged, or the checkpoint is another model's.
        """
        first, self.position = next(self._journal.read(0), (None, 0))
        if first is None:
            first = self._begin()
            self.position = self._journal.append(first)
        if not isinstance(first, Began):
            raise Corrupt("the journal does not begin with the beginning of a lineage")
        self.began = first
        self.state = self._make_state(first)
        checkpoint = checkpoints.newest()
        check_reaches(self._journal, checkpoint)
        if checkpoint is None:
            return False
        self.state.restore(checkpoint.state)
        self.position = checkpoint.journal_position
        return True

    def record(self, entry: Entry) -> None:
        """Puts an entry on disk; only then may the caller let it take effect.

        Raises:
            NotReady: the disk refused; the entry must not take effect.
        """
        self.position = self._journal.append(entry)

    def replay(self, restorer: Restorer, execute: Callable[[Entry], bool]) -> None:
        """Executes what stands behind the position again; `execute` says whether it has done so itself.

        Raises:
            Corrupt: it gives something else than before.
        """
        count = 0
        for entry, position in self._journal.read(self.position):
            if not execute(entry):
                restorer.execute(self.state, entry)
            self.position = position
            count += 1
        if count:
            logger.info("executed %d entries of the journal again, up to step %d", count, self.state.step)
