"""Going back: the state exactly as a published version was taken off from, from the journal and a checkpoint before it.

Each published version can be restored, for the journal is complete: what stands in it is executed again on a state of
its own, up to the version's take-off. The version is built again there, and its digest says whether it is the same.
"""

from collections.abc import Callable
from typing import Protocol

from martlet.errors import Conflict, Corrupt, NotFound
from martlet.manifest import Manifest, encode_manifest, manifest_digest
from trainer_svc.checkpoints.state import Checkpoint
from trainer_svc.journal import (
    Acknowledged,
    Began,
    Entry,
    Erased,
    Forgot,
    Founded,
    Grafted,
    Offered,
    Overtaken,
    Published,
    Readmitted,
    Refused,
    Rewound,
    Stepped,
)
from trainer_svc.journal_index import JournalIndex, JournalReader, TakeOff
from trainer_svc.labelled_rows import LabelledRows
from trainer_svc.stepping import Suspect
from trainer_svc.training_ports import Arrays
from trainer_svc.training_state import TrainingState
from trainer_svc.version_builder import VersionPayload


class EarlierCheckpoints(Protocol):
    """What is asked of a store of checkpoints."""

    def before(self, position: int) -> Checkpoint | None:
        """The newest whole checkpoint at or before a position of the journal."""
        ...


class FoundingStates(Protocol):
    """What is asked of the states that lineages begin as."""

    def load(self, digest: str, /) -> Arrays:
        """The state of a digest.

        Raises:
            Corrupt: it is not there, or damaged.
        """
        ...


class NoFoundings:
    """For a lineage that began from nothing."""

    def load(self, digest: str, /) -> Arrays:
        """There is none."""
        raise Corrupt(f"the state {digest} that the lineage begins as is not here")


class Restorer:
    """Restores states. Not thread-safe; blocking, as long as it takes to learn what lies behind a checkpoint.

    Args:
        make_state: a fresh state for a lineage, that writes no dead letters.
        rebuild: builds a version, and sends nothing.
        foundings: the states that lineages begin as.
    """

    def __init__(
        self,
        journal: JournalReader,
        checkpoints: EarlierCheckpoints,
        make_state: Callable[[Began], TrainingState],
        rebuild: Callable[[VersionPayload], Manifest],
        foundings: FoundingStates | None = None,
    ) -> None:
        self._foundings = foundings or NoFoundings()
        self._journal = journal
        self._checkpoints = checkpoints
        self._make_state = make_state
        self._rebuild = rebuild
        self.index = JournalIndex(journal)

    def find(self, digest: str) -> TakeOff | None:
        """Where a version was taken off; None for one that this journal does not know as published.

        Reads on from where it read to before: the whole journal once in a process.

        Raises:
            Corrupt: the journal does not hold together.
        """
        return self.index.find(digest)

    def knows(self, digest: str) -> bool:
        """Whether `find` has seen the version as published. Reads nothing; from any thread."""
        return digest in self.index.published

    def execute(self, state: TrainingState, entry: Entry) -> None:
        """What a journalled entry does to a state. Versions are built, not sent.

        Raises:
            Corrupt: executing it again gives something else than before.
        """
        if isinstance(entry, Stepped):
            state.take_step(entry)
        elif isinstance(entry, Published):
            state.cursor.built(self._rebuild(state.take_off(entry)))
        elif isinstance(entry, Acknowledged | Refused | Overtaken):
            state.land(entry)
        elif isinstance(entry, Rewound):
            state.rewind(entry, self.restored(entry.digest, entry.version))
        elif isinstance(entry, Forgot):
            state.forget(entry)
        elif isinstance(entry, Erased):
            state.erased(entry)
        else:
            self._execute_seldom(state, entry)

    def _execute_seldom(self, state: TrainingState, entry: Entry) -> None:
        if isinstance(entry, Offered):
            state.cursor.offer(entry)
        elif isinstance(entry, Readmitted):
            state.readmit(entry, self.suspect(entry.epoch))
        elif isinstance(entry, Founded):
            if entry.digest:
                state.found(self._foundings.load(entry.digest))
        elif isinstance(entry, Grafted):
            state.cursor.grafted(entry)
        else:
            raise Corrupt("a lineage begins twice in one journal")

    def restored(self, digest: str, version: int) -> TrainingState:
        """The state as the version was taken off from it, and as acknowledged at once.

        Raises:
            Corrupt: the journal does not know the version, or it comes out as another one.
        """
        return self._restored(digest, version)[0]

    def suspect(self, epoch: int) -> Suspect:
        """What was learned, and taken back when an epoch began: joined again from the log, in the order of the journal.

        Raises:
            NotFound: no alarm began this epoch.
            Conflict: another rewind lies inside the range, or a user was forgotten since it began.
        """
        rewinds = (one for one, _ in self._journal.read(0) if isinstance(one, Rewound) and not one.refused)
        wanted = next((one for one in rewinds if one.epoch == epoch), None)
        if wanted is None:
            raise NotFound(f"no alarm that the journal still knows began epoch {epoch}")
        if self._journal.begin() and self.find(wanted.digest) is None:
            raise Conflict(f"what epoch {epoch} took back is kept no longer")
        state, position = self._restored(wanted.digest, wanted.version)
        if any(isinstance(entry, Forgot | Erased) for entry, _ in self._journal.read(position)):
            raise Conflict(f"a user was forgotten since: what epoch {epoch} took back is not whole any more")
        before, batches = state.intake.account.learned, list[list[LabelledRows]]()
        for entry, _ in self._journal.read(position):
            if entry == wanted:
                return Suspect(batches, state.intake.account.learned - before)
            if isinstance(entry, Rewound):
                raise Conflict(f"the range of epoch {epoch} holds another rewind")
            if isinstance(entry, Stepped):
                batches += state.collect(entry)
        raise Corrupt(f"the journal ends before epoch {epoch}")

    def branch(self, digest: str, version: int, epoch: int) -> TrainingState:
        """The state of a version that has learned a suspect range on top. Raises as `suspect` does."""
        suspect = self.suspect(epoch)
        state = self.restored(digest, version)
        state.learn_again(suspect)
        return state

    def _restored(self, digest: str, version: int) -> tuple[TrainingState, int]:
        """The state, and the journal's position behind the version's take-off."""
        target = self.find(digest)
        if target is None:
            raise Corrupt(f"the journal does not know {digest}, which training goes back to")
        state, position = self._start(target.position)
        for found, end in self._journal.read(position):
            if isinstance(found, Published) and found.number == target.number:
                state.cursor.built(self._rebuild(state.take_off(found)))
                return landed(state, digest, version), end
            if not isinstance(found, Began):
                self.execute(state, found)
            position = end
        raise Corrupt(f"the journal ends before version {target.number}")

    def _start(self, position: int) -> tuple[TrainingState, int]:
        first, end = next(self._journal.read(0))
        if not isinstance(first, Began):
            raise Corrupt("the journal does not begin with the beginning of a lineage")
        state = self._make_state(first)
        checkpoint = self._checkpoints.before(position)
        check_reaches(self._journal, checkpoint)
        if checkpoint is None:
            return state, end
        state.restore(checkpoint.state)
        return state, checkpoint.journal_position


def check_reaches(journal: JournalReader, checkpoint: Checkpoint | None) -> None:
    """Whether the journal holds all that stands behind a checkpoint; None: behind its first entry.

    Raises:
        Corrupt: it was trimmed, and the checkpoints that were to stay for that are gone or damaged.
    """
    begin = journal.begin()
    if begin and (checkpoint is None or checkpoint.journal_position < begin):
        raise Corrupt(f"the journal begins at {begin}, and no whole checkpoint from there on is left: restore a backup")


def landed(state: TrainingState, digest: str, version: int) -> TrainingState:
    """A state with a version under way, as if that had been acknowledged at once: nothing was learned since.

    Raises:
        Corrupt: the version under way is another one.
    """
    flight = state.cursor.at.flight
    own = "" if flight is None else manifest_digest(encode_manifest(flight))
    if own != digest:
        raise Corrupt(f"training goes back to {digest}, which is {own or 'absent'} when made again")
    state.land(Acknowledged(state.cursor.at.number, digest, version))
    return state
