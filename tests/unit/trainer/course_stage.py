"""A small world for the trainer: a tiny model, a real event log, a registry that lives in memory."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from prometheus_client import CollectorRegistry

import martlet.learn as ml
from martlet.artifacts import FolderStore
from martlet.clock import ManualClock
from martlet.errors import Conflict
from martlet.eventlog.file_log import FileEventReader, FileEventWriter
from martlet.events import Arm, Event, Outcome, Prediction
from martlet.feature_encoding import RankInput, encode
from martlet.learn.models import DeepFM, model_of
from martlet.manifest import decode_manifest, manifest_digest, spec_digest
from martlet.versions import CatalogState, LineageState, VersionRecord
from martlet.wire.events import encode_event
from trainer_svc.checkpoint import CheckpointStore
from trainer_svc.course import Course
from trainer_svc.event_source import EventSource
from trainer_svc.journal import Journal
from trainer_svc.learner import Learner
from trainer_svc.publisher import Arrived, NotTaken, Result
from trainer_svc.status import StatusBoard
from trainer_svc.training_loop import DeadLetters, LoopSettings, TrainingLoop
from trainer_svc.version_builder import Built, VersionBuilder

MODEL = model_of(
    "tiny",
    DeepFM,
    inputs={
        "user": ml.Id("user_id"),
        "item": ml.Id("item_id"),
        "recent": ml.IdList("recent_items", space="item", max_len=3, pool="mean"),
    },
    label=ml.Binary("rating", window="60s", explicit=True, threshold=4.0),
    dim=3,
    hidden=(4,),
)
IMPLICIT = ml.Binary("click", window="60s")
START_US = 1_700_000_000_000_000


class OneGraph:
    """Stands for the exporter: the graph's bytes do not matter here."""

    def graph(self, learner: Learner) -> bytes:
        return f"graph of generation {learner.generation}".encode()


class MemoryRegistry:
    """Compare-and-swap in memory."""

    def __init__(self) -> None:
        self.digests: list[str] = []

    @property
    def head(self) -> str:
        return self.digests[-1] if self.digests else ""

    def publish(self, manifest: bytes) -> VersionRecord:
        digest, parent = manifest_digest(manifest), decode_manifest(manifest).lineage.parent
        if digest not in self.digests:
            if parent != self.head:
                raise Conflict(f"the head is {self.head}, not {parent}")
            self.digests.append(digest)
        return VersionRecord(
            "tiny", self.digests.index(digest) + 1, digest, parent, 0, CatalogState.ADMITTED, "", "delta", 0
        )

    def lineage(self, model: str) -> LineageState:
        return LineageState(model, 0, 1, len(self.digests), self.head, 0, "")


class InlinePublisher:
    """Offers when it is told to, in the caller's thread."""

    def __init__(self, registry: MemoryRegistry) -> None:
        self.registry = registry
        self._work: Built | None = None

    def submit(self, built: Built) -> None:
        self._work = built

    def take_result(self) -> Result | None:
        built, self._work = self._work, None
        if built is None:
            return None
        try:
            record = self.registry.publish(built.encoded)
        except Conflict as error:
            lineage = self.registry.lineage("tiny")
            return NotTaken(built.sequence, lineage.epoch, lineage.head_digest, str(error))
        return Arrived(built.sequence, record.version, record.digest)

    def close(self) -> None:
        pass


def events(count: int, seed: int = 0) -> Iterator[Event]:
    """Predictions and their outcomes, with repetitions, strangers and bad ones among them."""
    rng = np.random.default_rng(seed)
    for n in range(count):
        user, items = int(rng.integers(20)), [int(item) for item in rng.choice(50, 3, replace=False)]
        block = encode(MODEL.spec, RankInput(user, {"recent_items": items[:2]}, items, [{}] * 3))
        prediction = Prediction(
            f"p{n}", "tiny", START_US + n * 100_000, 0, 1, "s", 1, 9000, Arm.LIVE, 1, "d", user, "", tuple(items), None,
            {1: rng.normal(size=3).astype(np.float32)}, spec_digest(MODEL.spec), block,
        )  # fmt: skip
        outcome = Outcome(f"e{n}", f"p{n}", items[0], "rating", float(rng.integers(1, 6)), prediction.time_us + 1000)
        pair: list[Event] = [prediction, outcome] if rng.random() < 0.8 else [outcome, prediction]
        yield from pair
        if rng.random() < 0.2:
            yield outcome
        if rng.random() < 0.1:
            yield Outcome(f"x{n}", "nobody", 1, "rating", 5.0, prediction.time_us)
        if rng.random() < 0.1:
            yield Outcome(f"v{n}", f"p{n}", items[0], "view", 1.0, prediction.time_us)


class World:
    """A folder with log, journal, checkpoints and artifacts; trainers come and go."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.registry = MemoryRegistry()
        self.clock = ManualClock(START_US)

    def write(self, stream: Iterator[Event], partition: str = "serving-0") -> None:
        writer = FileEventWriter(self.root / "events", partition)
        for event in stream:
            writer.append(encode_event(event))
        writer.append(b"\xff\xff not a record").result(10)
        writer.close()

    def course(self, batch: int = 16) -> Course:
        learner = Learner(MODEL, 8, threads=1)
        builder = VersionBuilder(learner, OneGraph(), FolderStore(self.root / "artifacts"), "tests:MODEL", "c")
        return Course(learner, builder, batch, 3600 * 1_000_000, 32)

    def loop(self, records: int = 40) -> TrainingLoop:
        """A trainer that starts now: recovers, and may then be turned."""
        trainer = self.root / "trainer"
        loop = TrainingLoop(
            self.course(),
            EventSource(FileEventReader(self.root / "events"), 1 << 20),
            Journal(trainer / "journal"),
            CheckpointStore(trainer / "checkpoints", 2),
            InlinePublisher(self.registry),  # type: ignore[arg-type]
            DeadLetters(self.root / "dead.jsonl"),
            LoopSettings(0.0, 0.0, 4, 1e9, records),
            self.clock,
            StatusBoard(CollectorRegistry()),
            lambda batch: None,
        )
        loop.recover()
        return loop


def drain(loop: TrainingLoop) -> None:
    """Turns until the log is learned and everything is published."""
    quiet = 0
    for _ in itertools.count():
        quiet = 0 if loop.turn() else quiet + 1
        if quiet > 3:
            return
