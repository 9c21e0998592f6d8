"""A course of learning: the trainer's whole state, moved only by journal entries.

The same entries on the same log give the same state, bit for bit; that is what restart, audit and exactly-once rest on.
"""

import hashlib
from collections.abc import Mapping
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from martlet.errors import Corrupt, InvalidInput
from martlet.events import Outcome, Prediction
from martlet.feature_encoding import concatenate
from martlet.feature_spec import FeatureBlock
from martlet.manifest import Learned, Manifest, decode_manifest, manifest_digest, spec_digest
from martlet.wire.events import decode_event
from trainer_svc.deduplication import Deduplicator
from trainer_svc.joiner import DeadLetter, Example, Joiner, JoinerState
from trainer_svc.journal import Acknowledged, Cut, Publish, Refused
from trainer_svc.learner import Batch, Learner
from trainer_svc.prequential import Prequential, Scoreboard
from trainer_svc.version_builder import Built, VersionBuilder

Arrays = dict[str, npt.NDArray[np.generic]]
EVICT_EVERY: Final = 256  # steps


class CourseState(msgspec.Struct):
    """What a checkpoint holds beside the learner's arrays."""

    entries: int
    step: int
    positions: dict[str, int]
    epoch: int
    sequence: int
    generation: int
    needs_base: bool
    parent: bytes
    parent_digest: str
    in_flight: bytes
    version: int
    examples: int
    learned_since: int
    bad_records: int
    joiner: JoinerState
    seen: list[tuple[str, int]]
    quality: list[tuple[float, float]]


class Course:
    """See the module. Not thread-safe.

    Attributes:
        step: cuts consumed.
        positions: consumed up to, for each partition.
        epoch: of the next publish.
        parent: the last acknowledged version, or None.
        in_flight: the publish that is not acknowledged yet.
        bad_records: records that could not be read.
    """

    def __init__(
        self,
        learner: Learner,
        builder: VersionBuilder,
        batch_examples: int,
        dedup_window_us: int,
        recent_requests: int,
    ) -> None:
        self.learner = learner
        self._builder = builder
        self._batch_examples = batch_examples
        self._spec_digest = spec_digest(learner.spec)
        self._recent_limit = recent_requests
        self.joiner = Joiner(learner.model.label)
        self._seen = Deduplicator(dedup_window_us + learner.model.label.window_us)
        self.prequential = Prequential()
        self.scoreboard = Scoreboard(learner.model.name)
        self._recent: tuple[FeatureBlock, npt.NDArray[np.float32]] | None = None
        self.entries = 0
        self.step = 0
        self.positions: dict[str, int] = {}
        self.epoch = 0
        self.sequence = 0
        self.version = 0
        self.parent: Manifest | None = None
        self.parent_digest = ""
        self.in_flight: Built | None = None
        self.needs_base = False
        self.examples = 0
        self.learned_since = 0
        self.bad_records = 0
        self._generation = 0
        self._bad: list[DeadLetter] = []

    @property
    def table_grew(self) -> bool:
        """Whether a table was rebuilt since the last publish: the next one must be a snapshot."""
        return self.learner.generation != self._generation

    @property
    def chain(self) -> int:
        """Deltas since the base."""
        return max((len(table.deltas) for table in self.parent.tables), default=0) if self.parent else 0

    def consume(self, cut: Cut, payloads: list[bytes]) -> list[DeadLetter]:
        """One step: join, test, then learn. Returns what could not be used."""
        examples: list[Example] = []
        for payload in payloads:
            examples += self._event(payload)
        examples += self.joiner.advance(cut.now_us)
        for example in examples:
            self.prequential.update(example)
            self.scoreboard.update(example)
        for start in range(0, len(examples), self._batch_examples):
            self._learn(examples[start : start + self._batch_examples])
        for piece in cut.ranges:
            self.positions[piece.partition] = piece.end
        self.step = cut.step
        self.entries += 1
        if self.step % EVICT_EVERY == 0:
            self.learner.evict(self.joiner.watermark_us)
            self._seen.forget_before(self.joiner.watermark_us)
        bad, self._bad = self._bad, []
        return bad + self.joiner.take_dead_letters()

    def publish(self, entry: Publish) -> Built:
        """Freezes the state as a version; its blobs are stored when this returns."""
        learned = Learned(dict(self.positions), self.step, self.examples, self.joiner.watermark_us)
        parent = None if entry.snapshot else self.parent
        self.in_flight = self._builder.build(entry, parent, learned, self._metrics())
        self.sequence = entry.sequence
        self._generation = self.learner.generation
        self.needs_base = False
        self.learned_since = 0
        self.entries += 1
        return self.in_flight

    def acknowledge(self, entry: Acknowledged) -> None:
        """The publish in flight has arrived."""
        if self.in_flight is None or self.in_flight.digest != entry.digest:
            found = self.in_flight.digest if self.in_flight else "nothing"
            raise Corrupt(f"publish {entry.sequence} was acknowledged as {entry.digest}, but {found} was built")
        self.parent, self.parent_digest, self.version = self.in_flight.manifest, entry.digest, entry.version
        self.in_flight = None
        for table in self.learner.tables.values():
            table.tracker.acknowledge()
        self.entries += 1

    def refuse(self, entry: Refused) -> None:
        """The publish in flight was refused: what it held is published anew, whole."""
        self.in_flight = None
        self.parent, self.parent_digest = None, entry.parent
        self.epoch = entry.epoch
        self.needs_base = True
        self.entries += 1

    def snapshot(self) -> tuple[Arrays, bytes]:
        """Everything, for a checkpoint."""
        arrays: Arrays = {f"learner/{name}": array for name, array in self.learner.state().items()}
        if self._recent is not None:
            block, logits = self._recent
            arrays |= {f"recent/{name}": getattr(block, name) for name in FeatureBlock.__dataclass_fields__}
            arrays["recent/logits"] = logits
        return arrays, msgspec.msgpack.encode(self._document())

    def restore(self, arrays: Mapping[str, npt.NDArray[np.generic]], document: bytes) -> None:
        """Takes a checkpoint over."""
        state = msgspec.msgpack.decode(document, type=CourseState)
        self.learner.restore(_part(arrays, "learner/"))
        recent = _part(arrays, "recent/")
        if recent:
            block = FeatureBlock(**{name: recent[name] for name in FeatureBlock.__dataclass_fields__})  # type: ignore[arg-type]
            self._recent = (block, np.asarray(recent["logits"], np.float32))
        self.joiner.restore(state.joiner, [_prediction(payload) for payload, _, _ in state.joiner.open])
        self._seen.restore(state.seen)
        self.prequential.restore(state.quality)
        for name in ("entries", "step", "positions", "epoch", "sequence", "version", "examples", "learned_since"):
            setattr(self, name, getattr(state, name))
        self.bad_records, self.needs_base, self._generation = state.bad_records, state.needs_base, state.generation
        if state.parent:
            self.parent = decode_manifest(state.parent)
        self.parent_digest = state.parent_digest
        if state.in_flight:
            manifest = decode_manifest(state.in_flight)
            digest = manifest_digest(state.in_flight)
            self.in_flight = Built(manifest, state.in_flight, digest, manifest.lineage.sequence)

    def digest(self) -> str:
        """SHA-256 of the whole state."""
        arrays, document = self.snapshot()
        found = hashlib.sha256(document)
        for name in sorted(arrays):
            found.update(name.encode())
            found.update(np.ascontiguousarray(arrays[name]).tobytes())
        return found.hexdigest()

    def _event(self, payload: bytes) -> list[Example]:
        try:
            event = decode_event(payload)
        except (Corrupt, InvalidInput) as error:
            return self._unreadable(str(error))
        if isinstance(event, Outcome):
            if not self._seen.first(event.event_id, event.time_us):
                self.joiner.counts.duplicates += 1
                return []
            return self.joiner.add_outcome(event)
        if isinstance(event, Prediction) and event.model == self.learner.model.name:
            if event.spec_digest != self._spec_digest:
                return self._unreadable(f"prediction {event.prediction_id} was made with another feature spec")
            return self.joiner.add_prediction(event, payload)
        return []

    def _unreadable(self, reason: str) -> list[Example]:
        self.bad_records += 1
        self._bad.append(DeadLetter(Outcome("", "", "", "", 0.0, 0), reason))
        return []

    def _learn(self, examples: list[Example]) -> None:
        block = _block(examples)
        labels = np.array([example.label for example in examples], np.float32)
        self.learner.learn(Batch(block, labels, np.ones_like(labels)), self.joiner.watermark_us)
        self.examples += len(examples)
        self.learned_since += len(examples)
        answered = [e.prediction.scores[e.prediction.version][e.item] for e in examples]
        self._remember(block, np.array(answered, np.float32))

    def _remember(self, block: FeatureBlock, logits: npt.NDArray[np.float32]) -> None:
        """Keeps the last requests with the logits that answered them: the gate compares on these."""
        if self._recent is not None:
            block = concatenate([self._recent[0], block])
            logits = np.concatenate([self._recent[1], logits])
        keep = slice(-self._recent_limit, None)
        n = min(block.rows, self._recent_limit)
        self._recent = (
            FeatureBlock(
                block.user_ids[keep], block.user_numbers[keep], block.item_ids[keep], block.item_numbers[keep],
                np.arange(n),
            ),
            logits[keep],
        )  # fmt: skip

    def _metrics(self) -> dict[str, float]:
        metrics = self.prequential.quality()
        if self._recent is not None:
            block, logits = self._recent
            shift = np.abs(self.learner.predict(block) - logits).astype(np.float64)
            metrics["mean_abs_logit_shift"] = float(shift.mean())
            metrics["max_abs_logit_shift"] = float(shift.max())
            metrics["recent_requests"] = float(block.rows)
        return metrics

    def _document(self) -> CourseState:
        return CourseState(
            entries=self.entries,
            step=self.step,
            positions=dict(sorted(self.positions.items())),
            epoch=self.epoch,
            sequence=self.sequence,
            generation=self._generation,
            needs_base=self.needs_base,
            parent=b"" if self.parent is None else msgspec.json.encode(self.parent, order="sorted"),
            parent_digest=self.parent_digest,
            in_flight=self.in_flight.encoded if self.in_flight else b"",
            version=self.version,
            examples=self.examples,
            learned_since=self.learned_since,
            bad_records=self.bad_records,
            joiner=self.joiner.state(),
            seen=self._seen.state(),
            quality=self.prequential.state(),
        )


def _block(examples: list[Example]) -> FeatureBlock:
    """One user row and one item row for each example, from what was recorded."""
    features = [example.prediction.features for example in examples]
    items = [(f, example.item) for f, example in zip(features, examples, strict=True)]
    return FeatureBlock(
        np.concatenate([f.user_ids for f in features]),
        np.concatenate([f.user_numbers for f in features]),
        np.stack([f.item_ids[item] for f, item in items]),
        np.stack([f.item_numbers[item] for f, item in items]),
        np.arange(len(examples)),
    )


def _prediction(payload: bytes) -> Prediction:
    event = decode_event(payload)
    if not isinstance(event, Prediction):
        raise Corrupt("a checkpoint's open prediction is something else")
    return event


def _part(arrays: Mapping[str, npt.NDArray[np.generic]], prefix: str) -> Arrays:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
