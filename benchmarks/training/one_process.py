"""The trainer's real parts in one process, over a log that is there already; the registry takes every version."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import martlet.learn as ml
from martlet.artifacts import FolderStore
from martlet.clock import SystemClock
from martlet.eventlog.erasure import FileEventEraser
from martlet.eventlog.file_log import FileEventReader, FileEventWriter
from martlet.manifest import Manifest, decode_manifest, manifest_digest, spec_digest
from martlet.measurement import MeasurementBatch
from martlet.versions import CatalogState, LineageState, VersionRecord
from trainer_svc.audit import NoLetters
from trainer_svc.checkpoints.folder import FolderCheckpoints
from trainer_svc.erasure.eraser import Eraser, Shelf
from trainer_svc.erasure.erasures import Erasing
from trainer_svc.event_source import EventSource
from trainer_svc.export.exporter import Exporter
from trainer_svc.intake import IntakeRules
from trainer_svc.journal import PARTITION, Began, LogJournal, PublishResult, Rewound
from trainer_svc.journal_trimming import NoTrimmer, Trimming
from trainer_svc.learner import Learner
from trainer_svc.lineages.model import learning_digest
from trainer_svc.lineages.pace import CACHE_BYTES, RECORDS_FOR_AN_EXAMPLE, step_weight
from trainer_svc.loop_settings import Pace
from trainer_svc.loop_thread import spare_the_collector
from trainer_svc.publish_policy import ChainLimits
from trainer_svc.publisher import Publisher
from trainer_svc.record_weight import weigher
from trainer_svc.restorer import Restorer
from trainer_svc.stepping import Stepping
from trainer_svc.training_loop import TrainingLoop
from trainer_svc.training_state import TrainingState
from trainer_svc.version_builder import ModelIdentity, VersionBuilder

READ_BYTES = 4 << 20
PUBLISH_SECONDS = 1.0
CHECKPOINT_SECONDS = 10.0
CHAIN_LIMIT = 100


class FrozenWallClock(SystemClock):
    """Event time ends with the log, so that no window is closed by the time of the measurement."""

    def __init__(self, now_us: int) -> None:
        self._now_us = now_us

    def now_us(self) -> int:
        """The time of the log's last record."""
        return self._now_us


class WillingRegistry:
    """Takes every version at once."""

    def __init__(self) -> None:
        self.manifests: list[Manifest] = []
        self._head = ""

    def publish(self, manifest: bytes) -> VersionRecord:
        """Admitted."""
        decoded, self._head = decode_manifest(manifest), manifest_digest(manifest)
        self.manifests.append(decoded)
        lineage = decoded.lineage
        return VersionRecord(
            decoded.model, len(self.manifests), self._head, lineage.parent, lineage.epoch, CatalogState.ADMITTED, "",
            decoded.kind.value, 0,
        )  # fmt: skip

    def lineage(self, model: str) -> LineageState:
        """The newest version is head and pin."""
        version = len(self.manifests)
        return LineageState(model, 0, version, version, self._head, version, self._head)

    def acknowledge_rewind(self, _model: str, _epoch: int, _digest: str) -> None:
        """There is none."""


class Ears:
    """Hears what the loop did.

    Attributes:
        examples: learned so far.
        versions: acknowledged ones.
        checkpoints: on disk.
    """

    def __init__(self) -> None:
        self.examples = 0
        self.steps = 0
        self.versions = 0
        self.checkpoints = 0

    def stepped(self, stepping: Stepping, _seconds: float) -> None:
        """Counts."""
        self.examples += stepping.examples
        self.steps += 1

    def checkpoint_failed(self) -> None:
        """Nothing to count."""

    def published(self, _result: PublishResult, _seconds: float) -> None:
        """Counts."""
        self.versions += 1

    def checkpointed(self, _step: int, _digest: str, _seconds: float) -> None:
        """Counts."""
        self.checkpoints += 1

    def rewound(self, _entry: Rewound, _seconds: float) -> None:
        """Never happens here."""

    def reported(self, _batch: MeasurementBatch) -> None:
        """For the registry."""


def _erasing(root: Path, model: ml.Model, tail: FileEventReader, background: ThreadPoolExecutor) -> Erasing:
    """Nobody is forgotten here."""
    shelf = Shelf(tail, FileEventEraser(root / "events"))
    return Erasing(Eraser(model.name, shelf, shelf, "none", WillingRegistry()), background, lambda _: None)


@contextmanager
def trainer(root: Path, model: ml.Model, began: Began, now_us: int) -> Iterator[tuple[TrainingLoop, Ears]]:
    """A trainer that has recovered, over the log in `root/events`."""
    tail, lookup, journal_reader = (FileEventReader(root / name) for name in ("events", "events", "journal"))
    writer = FileEventWriter(root / "journal", PARTITION)
    executors = [ThreadPoolExecutor(1, name) for name in ("publisher", "checkpoint")]
    source = EventSource(tail, lookup, READ_BYTES, CACHE_BYTES, weigher(model.spec.layout, model.label))
    learner = Learner(model, began.initial_buckets, began.threads)
    exporter = Exporter(model)
    rules = IntakeRules(model.name, model.spec, model.label, began.dedup_window_seconds * 1_000_000)
    builder = VersionBuilder(FolderStore(root / "artifacts"), ModelIdentity(model.name, model.spec))
    journal = LogJournal(writer, journal_reader)
    checkpoints = FolderCheckpoints(root / "checkpoints", 2)
    ears = Ears()

    def make_state(began: Began) -> TrainingState:
        return TrainingState(began, rules, learner, lambda: exporter.graph(learner), source, NoLetters())

    loop = TrainingLoop(
        journal=journal,
        checkpoints=checkpoints,
        make_state=make_state,
        restorer=Restorer(journal, checkpoints, make_state, builder.build),
        begin=lambda: began,
        source=source,
        publisher=Publisher(builder, WillingRegistry(), executors[0], _never_ends),
        background=executors[1],
        pace=Pace(
            RECORDS_FOR_AN_EXAMPLE * began.batch_examples,
            PUBLISH_SECONDS,
            ChainLimits(CHAIN_LIMIT),
            CHECKPOINT_SECONDS,
            step_weight(began.batch_examples),
        ),
        clock=FrozenWallClock(now_us),
        observer=ears,
        erasing=_erasing(root, model, tail, executors[1]),
        trimming=Trimming(NoTrimmer(), 0),
    )
    try:
        loop.recover()
        spare_the_collector()
        yield loop, ears
    finally:
        for executor in executors:
            executor.shutdown()
        writer.close()
        for reader in (tail, lookup, journal_reader):
            reader.close()


def beginning(model: ml.Model, batch: int, buckets: int, threads: int) -> Began:
    """The first entry, with the trainer's defaults."""
    return Began(
        lineage="measured", model=model.name, model_ref="", spec_digest=spec_digest(model.spec),
        learning_digest=learning_digest(model), batch_examples=batch, initial_buckets=buckets, threads=threads,
        dedup_window_seconds=86_400, recent_requests=256,
    )  # fmt: skip


def _never_ends(_seconds: float) -> bool:
    return False
