"""A judge's surroundings that outlive it (journal, checkpoints, registry), and a life that can end anywhere."""

from pathlib import Path

from martlet.clock import ManualClock
from martlet.errors import Unavailable
from martlet.eventlog.file_log import FileEventReader, FileEventWriter
from martlet.evidence import EvidenceBatch, EvidenceRow
from martlet.learn.labels import LabelRule
from tests.unit.trainer.fakes import SPEC
from tests.unit.trainer.streams import MODEL, START
from tests.unit.trainer.world import Death, Fate, MortalCheckpoints, MortalJournal
from trainer_svc.checkpoints.folder import FolderCheckpoints
from trainer_svc.event_source import EventSource
from trainer_svc.intake import IntakeRules
from trainer_svc.journal import LogJournal
from trainer_svc.journal_trimming import NoTrimmer, Trimmer
from trainer_svc.judge.evidence_loop import EvidenceLoop, EvidencePace
from trainer_svc.judge.evidence_state import EvidenceState

PARTITION = "judge"


class EvidenceRegistry:
    """Takes each batch once, as the registry does; is away now and then."""

    def __init__(self, fate: Fate) -> None:
        self._fate = fate
        self.batches: list[EvidenceBatch] = []
        self.away = 0

    def report_evidence(self, batch: EvidenceBatch) -> None:
        if self.away:
            self.away -= 1
            raise Unavailable("away")
        self._fate.durable("report", lambda: self._take(batch))

    def _take(self, batch: EvidenceBatch) -> None:
        if batch.sequence > len(self.batches):
            assert batch.sequence == len(self.batches) + 1, "a batch was left out"
            self.batches.append(batch)
        else:
            assert batch == self.batches[batch.sequence - 1], "another batch under a number that was taken"

    @property
    def rows(self) -> list[EvidenceRow]:
        return [row for batch in self.batches for row in batch.rows]


class JudgeWorld:
    """Lives of a judge over one log."""

    def __init__(self, root: Path, label: LabelRule, records: int = 7) -> None:
        self.root = root
        self.label = label
        self.records = records
        self.clock = ManualClock(START)
        self.fate = Fate()
        self.registry = EvidenceRegistry(self.fate)
        self.ending = False
        self.trimmer: Trimmer = NoTrimmer()
        self.segment_bytes = 64 << 20

    def life(self) -> bool:
        """One life, until nothing is left to read. False: it died before."""
        writer = FileEventWriter(self.root / "judge", PARTITION, segment_bytes=self.segment_bytes)
        readers = [FileEventReader(self.root / name) for name in ("events", "events", "judge")]
        try:
            loop = self.loop(writer, readers)
            if loop.recover():
                while loop.turn():
                    pass
            loop.close()
        except Death:
            return False
        finally:
            writer.close()
            for reader in readers:
                reader.close()
        return True

    def loop(self, writer: FileEventWriter, readers: list[FileEventReader]) -> EvidenceLoop:
        source = EventSource(readers[0], readers[1], 300, 2000)
        rules = IntakeRules(MODEL, SPEC, self.label, 3_600_000_000)
        return EvidenceLoop(
            journal=MortalJournal(LogJournal(writer, readers[2], PARTITION), self.fate),
            checkpoints=MortalCheckpoints(FolderCheckpoints(self.root / "judge" / "kept", 2), self.fate),
            state=EvidenceState("judge/shop", rules, source),
            source=source,
            registry=self.registry,
            pace=EvidencePace(self.records, 0.0),
            clock=self.clock,
            observer=_Deaf(),
            pause=lambda seconds: self.ending,
            trimmer=self.trimmer,
        )


class _Deaf:
    def reported(self, rows: int, lag_seconds: float) -> None:
        pass

    def failed(self) -> None:
        pass
