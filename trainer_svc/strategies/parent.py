"""The version that a run goes on from: its whole training state, restored from its lineage's journal."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from martlet.errors import InvalidInput, NotFound
from martlet.eventlog.file_log import FileEventReader
from martlet.learn import Model
from trainer_svc.audit import NoStore
from trainer_svc.checkpoints.folder import FolderCheckpoints
from trainer_svc.checkpoints.state import copy_of
from trainer_svc.journal import Began, ReadOnlyJournal, Stepped, read_journal
from trainer_svc.restorer import Restorer
from trainer_svc.strategies.founding import FoundingFolder
from trainer_svc.strategies.recent_window import step_starts
from trainer_svc.training_ports import Arrays
from trainer_svc.training_state import TrainingState
from trainer_svc.version_builder import ModelIdentity, VersionBuilder


@dataclass(frozen=True, slots=True)
class Parent:
    """A version, as it was taken off.

    Attributes:
        began: its lineage's first entry.
        state: copies.
        positions, event_time_us: how far it had read.
        step_starts: see `recent_window.step_starts`.
    """

    began: Began
    model: Model
    state: Arrays
    positions: dict[str, int]
    event_time_us: int
    step_starts: list[dict[str, int]]


def read_began(folder: Path) -> Began:
    """The first entry of a lineage's journal.

    Raises:
        NotFound: there is none.
    """
    reader = FileEventReader(folder)
    try:
        first = next((entry for entry, _ in read_journal(reader, 0)), None) if reader.partitions() else None
    finally:
        reader.close()
    if not isinstance(first, Began):
        raise NotFound(f"{folder} holds no lineage")
    return first


def restore_parent(
    folder: Path, checkpoints: str, digest: str, model: Model, make_state: Callable[[Began], TrainingState]
) -> Parent:
    """Reads beside whoever writes there; changes nothing. Blocking, as long as it takes to learn behind a checkpoint.

    Raises:
        InvalidInput: the lineage did not make that version.
    """
    reader = FileEventReader(folder)
    try:
        journal = ReadOnlyJournal(reader)
        builder = VersionBuilder(NoStore(), ModelIdentity(model.name, model.spec, model.head.more))
        restorer = Restorer(
            journal,
            FolderCheckpoints(folder / checkpoints, 1, reads_only=True),
            make_state,
            builder.build,
            FoundingFolder(folder),
        )
        found = restorer.find(digest)
        if found is None:
            raise InvalidInput(f"the lineage in {folder} did not make version {digest}")
        state = restorer.restored(digest, found.version)
        steps = step_starts(entry for entry, _ in journal.read(0) if isinstance(entry, Stepped))
        return Parent(
            read_began(folder),
            model,
            copy_of(state.state()),
            dict(state.positions),
            state.intake.watermark_us,
            steps,
        )
    finally:
        reader.close()
