"""The composition root of an audit: `python -m trainer_svc audit`."""

from collections.abc import Iterator

from martlet.clock import SystemClock
from martlet.errors import Conflict, NotFound
from martlet.eventlog.file_log import FileEventReader
from martlet.runtime.config import Config
from martlet.runtime.parts import event_log
from trainer_svc.audit import (
    Auditor,
    AuditReport,
    NoCheckpoints,
    NoLetters,
    NoStore,
    rewind_targets,
    sample_answers,
)
from trainer_svc.checkpoints.folder import FolderCheckpoints
from trainer_svc.checkpoints.state import Checkpoint
from trainer_svc.event_source import EventSource
from trainer_svc.journal import PARTITION, Began, Entry, Erased, ReadOnlyJournal, read_journal
from trainer_svc.journal_index import JournalIndex
from trainer_svc.journal_retention import audit_start
from trainer_svc.lineage_parts import CHECKPOINTS
from trainer_svc.lineages.model import live_model
from trainer_svc.lineages.pace import CACHE_BYTES
from trainer_svc.lineages.state import make_state
from trainer_svc.restorer import Restorer
from trainer_svc.strategies.founding import FoundingFolder
from trainer_svc.strategies.lineage_folders import LineageFolders
from trainer_svc.training_ports import AsTheyAre, Preparing
from trainer_svc.training_state import TrainingState
from trainer_svc.version_builder import ModelIdentity, VersionBuilder


def run_audit(config: Config, answers: int, preparing: Preparing = AsTheyAre) -> AuditReport:
    """Learns everything again and compares (see `trainer_svc.audit`). Reads only; the trainer may run meanwhile.

    Raises:
        NotFound: there is no journal.
        Conflict: the log is not whole any more, since a user was erased from it.
    """
    folders = LineageFolders(config.checkpoint_dir)
    folder, model = folders.path(folders.live.lineage), live_model(config, folders)
    log = event_log(config, SystemClock())
    events, lookup, journal = log.reader(), log.reader(), FileEventReader(folder)
    if PARTITION not in journal.partitions():
        raise NotFound(f"{folder} holds no journal")
    if any(isinstance(entry, Erased) for entry, _ in read_journal(journal, 0)):
        raise Conflict("a user was erased from the log: what was learned before cannot be learned again from it")
    source = EventSource(events, lookup, config.trainer.read_bytes, CACHE_BYTES)
    builder = VersionBuilder(NoStore(), ModelIdentity(model.name, model.spec, model.head.more))

    def fresh(began: Began) -> TrainingState:
        return make_state(began, model, config, source, NoLetters(), preparing)

    read_only, stored = ReadOnlyJournal(journal), FolderCheckpoints(folder / CHECKPOINTS, 1, reads_only=True)
    start = start_of(read_only, stored)
    checkpoints = NoCheckpoints() if start is None else stored
    auditor = Auditor(
        fresh,
        builder,
        sample_answers(lookup, model.name, answers),
        rewind_targets(entry for entry, _ in read_only.read(0)),
        Restorer(read_only, checkpoints, fresh, builder.build, FoundingFolder(folder)).suspect,
        FoundingFolder(folder),
    )
    return auditor.run(entries_from(read_only, start), start)


def start_of(journal: ReadOnlyJournal, checkpoints: FolderCheckpoints) -> Checkpoint | None:
    """The oldest checkpoint from which on the journal is whole, if it was trimmed."""
    begin, index = journal.begin(), JournalIndex(journal)
    if not begin:
        return None
    index.read_on()
    position = audit_start(begin, checkpoints.positions(), index.returns)
    return checkpoints.before(position)


def entries_from(journal: ReadOnlyJournal, start: Checkpoint | None) -> Iterator[Entry]:
    """The first entry, and what stands behind a checkpoint; all entries without one."""
    first, end = next(journal.read(0))
    yield first
    yield from (entry for entry, _ in journal.read(end if start is None else start.journal_position))
