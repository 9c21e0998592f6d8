"""The composition root of the judge's cursor: what reads the log beside the learner, and never rewinds."""

import logging
import secrets
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry

import martlet.learn as ml
from martlet.client.registry import BlockingRegistryClient
from martlet.clock import Clock
from martlet.eventlog.file_log import FileEventReader, FileEventWriter
from martlet.eventlog.port import EventLog
from martlet.eventlog.trimming import FileEventTrimmer
from martlet.runtime.config import Config
from trainer_svc.checkpoints.folder import FolderCheckpoints
from trainer_svc.event_source import EventSource
from trainer_svc.intake import IntakeRules
from trainer_svc.journal import JOURNAL_SEGMENT, LogJournal
from trainer_svc.journal_trimming import NoTrimmer
from trainer_svc.judge.evidence_loop import EvidenceLoop, EvidencePace
from trainer_svc.judge.evidence_state import EvidenceState
from trainer_svc.judge.evidence_thread import EvidenceMetrics, EvidenceThread
from trainer_svc.lineages.pace import CACHE_BYTES, STEP_EXAMPLES
from trainer_svc.record_weight import weigher

logger = logging.getLogger(__name__)

JUDGE_PARTITION: Final = "judge"
JUDGE_RECORDS: Final = 4096  # of one step of the judge


class ComposedJudge:
    """Everything that the judge's cursor consists of. `ending`: set when the trainer is to end.

    Raises:
        Conflict: another trainer uses the data directory.
    """

    def __init__(
        self,
        config: Config,
        clock: Clock,
        events: EventLog,
        registry: BlockingRegistryClient,
        collectors: CollectorRegistry,
        model: ml.Model,
        ending: threading.Event,
    ) -> None:
        self._ending = ending
        self._config = config
        self._clock = clock
        self._registry = registry
        self._model = model
        self._writer = FileEventWriter(config.checkpoint_dir, JUDGE_PARTITION, segment_bytes=JOURNAL_SEGMENT)
        self._trimmer = FileEventTrimmer(config.checkpoint_dir, JUDGE_PARTITION)
        self._trimmer.finish()
        self._readers = [events.reader() for _ in range(2)]
        self._journal_reader = FileEventReader(config.checkpoint_dir)
        self._metrics = EvidenceMetrics(collectors, model.name)
        self._running: EvidenceLoop | None = None

    def thread(self, failed: Callable[[], None]) -> EvidenceThread:
        """Its thread. `failed`: called when it ends with an error."""
        loop = self._running = self._loop()
        return EvidenceThread(loop, self._config.trainer.evidence_interval_ms / 1000, self._ending, failed)

    def journal_position(self) -> int:
        """How far its journal has taken effect. From any thread."""
        return 0 if self._running is None else self._running.position

    def close(self) -> None:
        """Gives the lock back."""
        self._writer.close()
        for reader in (*self._readers, self._journal_reader):
            reader.close()

    def _loop(self) -> EvidenceLoop:
        config, settings, model = self._config, self._config.trainer, self._model
        if model.label.span is None:
            logger.warning(
                "%s: versions are judged by squared error only within a range, and the label has none: give it low and "
                "high, or set registry.quality: health, else the lane stays in shadow",
                model.name,
            )
        tail, lookup = self._readers
        weigh = weigher(model.spec.layout, model.label.main)
        source = EventSource(tail, lookup, settings.read_bytes, CACHE_BYTES, weigh, self._ending.wait)
        rules = IntakeRules(model.name, model.spec, model.label.main, settings.dedup_window_seconds * 1_000_000)
        return EvidenceLoop(
            journal=LogJournal(self._writer, self._journal_reader, JUDGE_PARTITION),
            checkpoints=FolderCheckpoints(config.checkpoint_dir / "judge-checkpoints", settings.checkpoints_kept),
            state=EvidenceState(producer_name(config.checkpoint_dir, model.name), rules, source),
            source=source,
            registry=self._registry,
            pace=EvidencePace(JUDGE_RECORDS, settings.checkpoint_interval_seconds, STEP_EXAMPLES),
            clock=self._clock,
            observer=self._metrics,
            trimmer=self._trimmer if settings.journal_hours else NoTrimmer(),
            pause=self._ending.wait,
        )


def producer_name(folder: Path, model: str) -> str:
    """The judge's name to the registry: made once, and kept beside its journal, for batches are known by it."""
    path = folder / "judge-name"
    if not path.exists():
        part = path.with_suffix(".part")
        part.write_text(f"judge/{model}-{secrets.token_hex(4)}")
        part.replace(path)
    return path.read_text()
