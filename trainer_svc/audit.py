"""The audit: learns everything again and compares with what was published and answered.

It trusts nothing of the running trainer but the journal and the event log, and writes nothing.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final

import msgspec
import numpy as np

from martlet.digest import blob_digest
from martlet.errors import Corrupt, InvalidInput, NotFound
from martlet.eventlog.port import EventReader
from martlet.manifest import BlobRef, encode_manifest, manifest_digest
from martlet.wire.recorded import RecordedPrediction, RecordKind, record_kind
from trainer_svc.checkpoints.state import Checkpoint, state_digest
from trainer_svc.event_source import Place
from trainer_svc.joiner import DeadLetter
from trainer_svc.journal import (
    Acknowledged,
    Began,
    Entry,
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
from trainer_svc.restorer import FoundingStates, NoFoundings, landed
from trainer_svc.stepping import Suspect
from trainer_svc.training_ports import Arrays
from trainer_svc.training_state import TrainingState
from trainer_svc.version_builder import VersionBuilder

_CHUNK: Final = 256
_READ_BYTES: Final = 4 << 20


class NoStore:
    """Names blobs and keeps nothing."""

    def put(self, data: Any) -> BlobRef:
        """The blob's name."""
        return BlobRef(blob_digest(data), memoryview(data).nbytes)

    def get(self, blob: BlobRef) -> bytes:
        """There is nothing to get."""
        raise NotFound(f"no blob {blob.digest}")

    def put_manifest(self, encoded: bytes) -> str:
        """The manifest's name."""
        return manifest_digest(encoded)

    def get_manifest(self, digest: str) -> bytes:
        """There is nothing to get."""
        raise NotFound(f"no manifest {digest}")


class NoCheckpoints:
    """For restoring from the journal alone."""

    def before(self, _position: int, /) -> Checkpoint | None:
        """There is none."""
        return None


class NoLetters:
    """Takes dead letters and keeps none."""

    def write(self, step: int, letters: Sequence[DeadLetter]) -> None:
        """Nothing to do."""


class EventFigures(msgspec.Struct):
    """Where the outcomes are."""

    learned: int
    excluded: int
    dead_lettered: int
    pending: int
    duplicates: int


class AuditReport(msgspec.Struct):
    """What was found.

    Attributes:
        answers: predictions scored again.
        parity_max_abs_diff: largest difference of a probability: recorded, and by the trainer's state of that version.
        versions_checked: versions made again whose digest is in the journal.
        digests_equal: all of them came out with that digest.
        state_digest: of the state after the whole journal.
        since_step: the steps up to this one were not learned again: the journal holds them no longer, and what they
            came to was taken from a checkpoint. 0: all were.
    """

    answers: int
    parity_max_abs_diff: float
    versions_checked: int
    digests_equal: bool
    events: EventFigures
    state_digest: str
    since_step: int = 0

    def as_json(self) -> dict[str, Any]:
        """For a file."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return plain


class Auditor:
    """One audit. Not thread-safe.

    Args:
        make_state: a fresh state for a lineage.
        builder: builds versions into a `NoStore`.
        sampled: answers to score again, by the digest of the version that gave them.
        targets: digests of the versions that learning goes back to: their states are kept.
        suspect: what was taken back when an epoch began.
        foundings: the states that lineages begin as; their digests stand in the journal.
    """

    def __init__(
        self,
        make_state: Callable[[Began], TrainingState],
        builder: VersionBuilder,
        sampled: dict[str, list[RecordedPrediction]],
        targets: AbstractSet[str],
        suspect: Callable[[int], Suspect],
        foundings: FoundingStates | None = None,
    ) -> None:
        self._foundings = foundings or NoFoundings()
        self._suspect = suspect
        self._targets = targets
        self._kept: dict[str, Arrays] = {}
        self._make_state = make_state
        self._builder = builder
        self._sampled = sampled
        self._answers = 0
        self._worst = 0.0
        self._checked = 0
        self._equal = True

    def run(self, entries: Iterable[Entry], start: Checkpoint | None = None) -> AuditReport:
        """Executes the journal: from its beginning, or what stands behind a checkpoint; its first entry comes first.

        Raises:
            Corrupt: the journal or the log does not hold together.
        """
        remaining = iter(entries)
        first = next(remaining, None)
        if not isinstance(first, Began):
            raise Corrupt("the journal does not begin with the beginning of a lineage")
        self._began = first
        state = self._make_state(first)
        if start is not None:
            state.restore(start.state)
        for entry in remaining:
            self._execute(state, entry)
            if not self._equal:  # what follows rests on a version that came out otherwise
                break
        account = state.intake.account
        figures = EventFigures(
            account.learned, account.excluded.total(), account.dead_lettered.total(), state.intake.pending,
            account.duplicates,
        )  # fmt: skip
        digest, since = state_digest(state.state()), 0 if start is None else start.step
        return AuditReport(self._answers, self._worst, self._checked, self._equal, figures, digest, since)

    def _execute(self, state: TrainingState, entry: Entry) -> None:
        if isinstance(entry, Stepped):
            state.take_step(entry)
        elif isinstance(entry, Published):
            manifest = self._builder.build(state.take_off(entry))
            state.cursor.built(manifest)
            digest = manifest_digest(encode_manifest(manifest))
            self._score(state, self._sampled.pop(digest, []))
            if digest in self._targets:
                self._kept[digest] = {name: np.array(array) for name, array in state.state().items()}
        elif isinstance(entry, Rewound):
            state.rewind(entry, self._restored(entry))
        elif isinstance(entry, Acknowledged | Refused | Overtaken):
            self._compare(state, entry)
        else:
            self._execute_seldom(state, entry)

    def _execute_seldom(self, state: TrainingState, entry: Entry) -> None:
        if isinstance(entry, Offered):
            state.cursor.offer(entry)
        elif isinstance(entry, Readmitted):
            state.readmit(entry, self._suspect(entry.epoch))
        elif isinstance(entry, Founded):
            if entry.digest:
                state.found(self._foundings.load(entry.digest))
        elif isinstance(entry, Grafted):
            state.cursor.grafted(entry)
        else:
            raise Corrupt("a lineage begins twice in one journal")

    def _restored(self, entry: Rewound) -> TrainingState:
        kept = self._kept.get(entry.digest)
        if kept is None:
            raise Corrupt(f"learning went back to {entry.digest}, which was not made before")
        state = self._make_state(self._began)
        state.restore(kept)
        return landed(state, entry.digest, entry.version)

    def _compare(self, state: TrainingState, entry: Acknowledged | Refused | Overtaken) -> None:
        flight = state.cursor.at.flight
        self._checked += 1
        self._equal = flight is not None and manifest_digest(encode_manifest(flight)) == entry.digest
        if self._equal:
            state.land(entry)

    def _score(self, state: TrainingState, predictions: list[RecordedPrediction]) -> None:
        for start in range(0, len(predictions), _CHUNK):
            chunk = predictions[start : start + _CHUNK]
            own = state.predict_as_published(chunk).astype(np.float64)
            given = np.concatenate([prediction.logits() for prediction in chunk]).astype(np.float64)
            difference = float(np.max(np.abs(_probability(own) - _probability(given))))
            self._worst = max(self._worst, difference) if math.isfinite(difference) else math.inf
            self._answers += len(chunk)


def rewind_targets(entries: Iterable[Entry]) -> frozenset[str]:
    """The digests of all versions that learning went back to."""
    return frozenset(entry.digest for entry in entries if isinstance(entry, Rewound))


def sample_answers(reader: EventReader, model: str, count: int) -> dict[str, list[RecordedPrediction]]:
    """About `count` answers of a model, evenly over the log, by the digest of the version that gave them."""
    places = [place for place, prediction in _predictions(reader) if prediction.model == model]
    every = max(1, len(places) // max(1, count))
    sampled: dict[str, list[RecordedPrediction]] = {}
    for place in places[::every]:
        prediction = RecordedPrediction(reader.read(place.partition, place.start, 1)[0].payload)
        if prediction.logits().shape[0]:
            sampled.setdefault(prediction.digest, []).append(prediction)
    return sampled


def _predictions(reader: EventReader) -> Iterator[tuple[Place, RecordedPrediction]]:
    for partition in reader.partitions():
        start = 0
        while records := reader.read(partition, start, _READ_BYTES):
            for record in records:
                place, start = Place(partition, start), record.end
                if record_kind(record.payload) is RecordKind.PREDICTION:
                    try:
                        yield place, RecordedPrediction(record.payload)
                    except (Corrupt, InvalidInput):
                        continue


def _probability(logits: np.ndarray[Any, np.dtype[np.float64]]) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.asarray(1.0 / (1.0 + np.exp(-logits)), np.float64)
