"""The composition root of an audit: `python -m trainer_svc audit`."""

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
from trainer_svc.event_source import EventSource
from trainer_svc.journal import PARTITION, Began, Erased, ReadOnlyJournal, read_journal
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

    auditor = Auditor(
        fresh,
        builder,
        sample_answers(lookup, model.name, answers),
        rewind_targets(entry for entry, _ in read_journal(journal, 0)),
        Restorer(ReadOnlyJournal(journal), NoCheckpoints(), fresh, builder.build, FoundingFolder(folder)).suspect,
        FoundingFolder(folder),
    )
    return auditor.run(entry for entry, _ in read_journal(journal, 0))
