"""A trainer's surroundings that outlive it: what is on disk, the registry, and the point at which the process dies."""

from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import msgspec

from martlet.eventlog.erasure import FileEventEraser, erased
from martlet.eventlog.file_log import FileEventReader, FileEventWriter
from martlet.learn.labels import LabelRule
from martlet.manifest import BlobRef
from martlet.versions import LineageState, VersionRecord
from martlet.wire.recorded import RecordedPrediction
from tests.unit.trainer.fakes import SPEC, AtOnce, FakeRegistry, Heard, LinearLearner, MemoryStore
from tests.unit.trainer.streams import MODEL, SECOND, START, Label
from trainer_svc import audit_app
from trainer_svc.audit import Auditor, AuditReport, NoCheckpoints, NoLetters, NoStore, rewind_targets
from trainer_svc.checkpoints.folder import FolderCheckpoints
from trainer_svc.checkpoints.state import Checkpoint, StateChange
from trainer_svc.dead_letters import DeadLetterLog, read_letters
from trainer_svc.erasure.eraser import Eraser, Shelf
from trainer_svc.erasure.erasures import Erasing
from trainer_svc.event_source import EventSource
from trainer_svc.intake import IntakeRules
from trainer_svc.journal import PARTITION, Began, Entry, LogJournal, ReadOnlyJournal, read_journal
from trainer_svc.journal_trimming import FOREVER_US, NoTrimmer, Trimmer, Trimming
from trainer_svc.loop_settings import Pace
from trainer_svc.publish_policy import ChainLimits
from trainer_svc.publisher import Publisher, RegistryPort
from trainer_svc.restorer import Restorer
from trainer_svc.training_loop import TrainingLoop
from trainer_svc.training_ports import LetterPort
from trainer_svc.training_state import TrainingState
from trainer_svc.version_builder import ModelIdentity, VersionBuilder

BEGAN = Began("shop-1", MODEL, "tests:MODEL", "spec", "learning", 8, 4, 1, 3600, 6)
INEXACT = msgspec.structs.replace(BEGAN, delta_encoding="int8", exact_repair_every=2)


class Death(BaseException):
    """The process dies here. Nothing but the harness catches it."""


class Fate:
    """Counts durable writes and kills before or after the chosen ones (2k: before the k-th; 2k + 1: after it)."""

    def __init__(self) -> None:
        self.deaths: set[int] = set()
        self.moment = 0
        self.writes: list[str] = []

    def durable(self, what: str, write: Callable[[], Any]) -> Any:
        self._pass()
        result = write()
        self.writes.append(what)
        self._pass()
        return result

    def _pass(self) -> None:
        now, self.moment = self.moment, self.moment + 1
        if now in self.deaths:
            raise Death(f"at moment {now}")


class MortalJournal:
    def __init__(self, inner: LogJournal, fate: Fate) -> None:
        self._inner, self._fate = inner, fate

    def append(self, entry: Entry) -> int:
        return int(self._fate.durable(type(entry).__name__, lambda: self._inner.append(entry)))

    def read(self, start: int) -> Iterator[tuple[Entry, int]]:
        return self._inner.read(start)

    def begin(self) -> int:
        return self._inner.begin()


class MortalStore:
    def __init__(self, inner: MemoryStore, fate: Fate) -> None:
        self._inner, self._fate = inner, fate

    def put(self, data: Any) -> BlobRef:
        blob: BlobRef = self._fate.durable("blob", lambda: self._inner.put(data))
        return blob

    def get(self, blob: BlobRef) -> bytes:
        return self._inner.get(blob)

    def put_manifest(self, encoded: bytes) -> str:
        return str(self._fate.durable("manifest", lambda: self._inner.put_manifest(encoded)))

    def get_manifest(self, digest: str) -> bytes:
        return self._inner.get_manifest(digest)


class MortalRegistry:
    def __init__(self, inner: RegistryPort, fate: Fate) -> None:
        self._inner, self._fate = inner, fate

    def publish(self, manifest: bytes) -> VersionRecord:
        record: VersionRecord = self._fate.durable("publish", lambda: self._inner.publish(manifest))
        return record

    def lineage(self, model: str) -> LineageState:
        return self._inner.lineage(model)

    def acknowledge_rewind(self, model: str, epoch: int, digest: str) -> None:
        self._fate.durable("acknowledge", lambda: self._inner.acknowledge_rewind(model, epoch, digest))


class MortalCheckpoints:
    def __init__(self, inner: FolderCheckpoints, fate: Fate) -> None:
        self._inner, self._fate = inner, fate

    def write(self, checkpoint: Checkpoint) -> str:
        return str(self._fate.durable("checkpoint", lambda: self._inner.write(checkpoint)))

    def extend(self, change: StateChange) -> str:
        return str(self._fate.durable("change", lambda: self._inner.extend(change)))

    def newest(self) -> Checkpoint | None:
        return self._inner.newest()

    def before(self, position: int) -> Checkpoint | None:
        return self._inner.before(position)

    def hold(self, position: int, also: Collection[int] = ()) -> None:
        self._inner.hold(position, also)

    def positions(self) -> list[int]:
        return self._inner.positions()


class MortalWriter:
    def __init__(self, inner: FileEventWriter, fate: Fate) -> None:
        self._inner, self._fate = inner, fate

    def offer(self, payload: bytes) -> bool:
        return self._inner.offer(payload)

    def append(self, payload: bytes) -> Any:
        def write() -> Any:
            future = self._inner.append(payload)
            future.result(5)
            return future

        return self._fate.durable("letters", write)

    def waiting(self) -> int:
        return self._inner.waiting()

    def close(self) -> None:
        self._inner.close()


class StillClock:
    """Wall time stands, so that a run which takes longer decides nothing else; monotonic time is moved by hand."""

    def __init__(self, now_us: int) -> None:
        self.wall_us = now_us
        self._monotonic = 0.0

    def now_us(self) -> int:
        return self.wall_us

    def monotonic(self) -> float:
        return self._monotonic

    def advance(self, seconds: float) -> None:
        self._monotonic += seconds


class World:
    """Everything outside the process. `life` is one process."""

    def __init__(
        self, root: Path, label: LabelRule | None = None, now_us: int = START + 1000 * SECOND, interval_s: float = 0.0
    ) -> None:
        self.root = root
        self.label: LabelRule = label or Label()
        self.clock = StillClock(now_us)
        self.store = MemoryStore()
        self.registry = FakeRegistry(self.store)
        self.fate = Fate()
        self.heard = Heard()
        self.lives = 0
        self.interval_s = interval_s
        self.chain_limit = 4
        self.records = 7
        self.publishing: Executor = AtOnce()
        self.background: Executor = AtOnce()
        self._readers: list[FileEventReader] = []
        self.make_learner: Callable[[], LinearLearner] = LinearLearner
        self.began = BEGAN
        self.registry_seen: RegistryPort = self.registry
        self.publisher_gives_up = True
        self.trimmer: Callable[[Path], Trimmer] = lambda root: NoTrimmer()
        self.segment_bytes = 64 << 20
        self.kept_us = FOREVER_US

    def life(self, live: Callable[[TrainingLoop], None]) -> bool:
        """Starts a process and lets it live; False: it died."""
        self.lives += 1
        journal = FileEventWriter(self.root, PARTITION, segment_bytes=self.segment_bytes)
        letters = FileEventWriter(self.root / "dead-letters", "trainer")
        try:
            loop = self._loop(journal, letters)
            loop.recover()
            live(loop)
        except Death:
            return False
        finally:
            for reader in self._readers:
                reader.close()
            journal.close()
            letters.close()
        return True

    def letters(self) -> list[tuple[int, str, str, int]]:
        found = read_letters(FileEventReader(self.root / "dead-letters"), "trainer")
        return [(step.step, one.reason, one.partition, one.offset) for step in found for one in step.letters]

    def published(self) -> list[str]:
        return self.registry.digests

    def audit(self, sampled: dict[str, list[RecordedPrediction]] | None = None) -> AuditReport:
        """Learns everything again, from the beginning."""
        reader, lookup, journal = (FileEventReader(self.root / name) for name in ("events", "events", "."))
        source = EventSource(reader, lookup, 5000, 4000)
        builder = VersionBuilder(NoStore(), ModelIdentity(MODEL, SPEC))

        def fresh(began: Began) -> TrainingState:
            return self._state(began, source, NoLetters())

        read_only, stored = ReadOnlyJournal(journal), FolderCheckpoints(self.root / "checkpoints", 1, reads_only=True)
        start = audit_app.start_of(read_only, stored)
        auditor = Auditor(
            fresh,
            builder,
            sampled or {},
            rewind_targets(entry for entry, _ in read_journal(journal, 0)),
            Restorer(read_only, NoCheckpoints() if start is None else stored, fresh, builder.build).suspect,
        )
        report = auditor.run(audit_app.entries_from(read_only, start), start)
        for one in (reader, lookup, journal):
            one.close()
        return report

    def _state(self, began: Began, source: EventSource, letters: LetterPort) -> TrainingState:
        learner = self.make_learner()
        rules = IntakeRules(MODEL, SPEC, self.label, 3600 * SECOND)
        return TrainingState(began, rules, learner, lambda: b"graph %d" % learner.table.buckets, source, letters)

    def _loop(self, journal: FileEventWriter, letters: FileEventWriter) -> TrainingLoop:
        events = self.root / "events"
        self._readers = [FileEventReader(events), FileEventReader(events), FileEventReader(self.root)]
        source = EventSource(self._readers[0], self._readers[1], 5000, 4000)
        letter_log = DeadLetterLog(
            MortalWriter(letters, self.fate), FileEventReader(self.root / "dead-letters"), "trainer", source.payload
        )
        identity = ModelIdentity(MODEL, SPEC)
        builder = VersionBuilder(MortalStore(self.store, self.fate), identity)
        kept = MortalJournal(LogJournal(journal, self._readers[2]), self.fate)
        checkpoints = MortalCheckpoints(FolderCheckpoints(self.root / "checkpoints", 2, held=0), self.fate)
        return TrainingLoop(
            journal=kept,
            checkpoints=checkpoints,
            restorer=Restorer(kept, checkpoints, lambda began: self._state(began, source, NoLetters()), builder.build),
            make_state=lambda began: self._state(began, source, letter_log),
            begin=lambda: self.began,
            source=source,
            publisher=Publisher(
                builder,
                MortalRegistry(self.registry_seen, self.fate),
                self.publishing,
                lambda seconds: self.publisher_gives_up,
            ),
            background=self.background,
            pace=Pace(self.records, self.interval_s, ChainLimits(self.chain_limit), 2.0),
            clock=self.clock,
            observer=self.heard,
            erasing=self._erasing(),
            trimming=Trimming(self.trimmer(self.root), self.kept_us),
        )

    def _erasing(self) -> Erasing:
        events, letters = self.root / "events", self.root / "dead-letters"
        shelves = [Shelf(FileEventReader(folder), FileEventEraser(folder)) for folder in (events, letters)]
        journal = FileEventReader(self.root)
        self._readers += [journal, *(shelf.reader for shelf in shelves)]  # type: ignore[list-item]

        def scrub(start: int) -> None:
            entry = journal.read(PARTITION, start, 1)[0]
            FileEventEraser(self.root).replace(PARTITION, {start: erased(len(entry.payload))})

        eraser = Eraser(MODEL, shelves[0], shelves[1], "trainer", self.registry)
        return Erasing(eraser, self.background, scrub)


def until_quiet(world: World, loop: TrainingLoop) -> None:
    """Turns until nothing is left to learn or to publish. A second passes with each turn."""
    quiet = 0
    while quiet < 3:
        world.clock.advance(1.0)
        quiet = 0 if loop.turn(lambda: None) else quiet + 1
