"""The audit: learns everything again from the journal and the log, and compares with what was published and answered.

It trusts nothing of the running trainer but the log and the journal: each published version must come out with the
digest that was acknowledged, and answers that a version gave must be those of the trainer's own state at that publish.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass

import numpy as np
from typing_extensions import Buffer

from martlet.digest import blob_digest
from martlet.errors import Corrupt, InvalidInput, NotFound
from martlet.eventlog.port import EventReader
from martlet.events import Prediction
from martlet.feature_encoding import concatenate
from martlet.manifest import BlobRef, manifest_digest
from martlet.wire.events import decode_event
from trainer_svc.course import Course
from trainer_svc.event_source import EventSource
from trainer_svc.journal import Acknowledged, Cut, Entry, Publish, Refused

_CHUNK = 256


class NoStore:
    """Names blobs and keeps nothing: an audit must not write."""

    def put(self, data: Buffer) -> BlobRef:
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


@dataclass(slots=True)
class AuditReport:
    """What was found.

    Attributes:
        parity_max_abs_diff: largest difference of a probability, recorded against the trainer's state of that version.
        digests_equal: every acknowledged version came out with its digest.
    """

    answers: int = 0
    parity_max_abs_diff: float = 0.0
    versions_checked: int = 0
    digests_equal: bool = True
    learned: int = 0
    excluded: int = 0
    dead_lettered: int = 0
    pending: int = 0
    duplicates: int = 0
    state_digest: str = ""

    def as_json(self) -> dict[str, object]:
        """For a file."""
        return asdict(self)


def audit(course: Course, reader: EventReader, entries: list[Entry], answers: int) -> AuditReport:
    """Re-executes the journal on a fresh course (with a `NoStore`) and compares."""
    acknowledged = {entry.sequence: entry for entry in entries if isinstance(entry, Acknowledged)}
    sampled = sample_predictions(reader, answers)
    source = EventSource(reader, 4 << 20)
    report = AuditReport()
    for entry in entries:
        if isinstance(entry, Cut):
            course.consume(entry, source.again(entry.ranges))
        elif isinstance(entry, Publish):
            built = course.publish(entry)
            known = acknowledged.get(entry.sequence)
            if known is not None:
                report.versions_checked += 1
                report.digests_equal = report.digests_equal and known.digest == built.digest
                _score(course, sampled.get(known.version, []), known.version, report)
        elif isinstance(entry, Refused):
            course.refuse(entry)
        elif report.digests_equal:
            course.acknowledge(entry)
        else:
            return report
    counts = course.joiner.counts
    report.learned, report.excluded, report.dead_lettered = counts.learned, counts.excluded, counts.dead_lettered
    report.duplicates, report.pending, report.state_digest = counts.duplicates, course.joiner.pending, course.digest()
    return report


def sample_predictions(reader: EventReader, answers: int) -> dict[int, list[Prediction]]:
    """About so many predictions, evenly over the log, by answering version."""
    found = [event for payload in _payloads(reader) if (event := _prediction(payload)) is not None]
    every = max(len(found) // max(answers, 1), 1)
    by_version: dict[int, list[Prediction]] = defaultdict(list)
    for prediction in found[::every]:
        by_version[prediction.version].append(prediction)
    return by_version


def _score(course: Course, predictions: list[Prediction], version: int, report: AuditReport) -> None:
    for start in range(0, len(predictions), _CHUNK):
        chunk = predictions[start : start + _CHUNK]
        own = course.learner.predict(concatenate([prediction.features for prediction in chunk])).astype(np.float64)
        recorded = np.concatenate([prediction.scores[version] for prediction in chunk]).astype(np.float64)
        difference = np.abs(1.0 / (1.0 + np.exp(-own)) - 1.0 / (1.0 + np.exp(-recorded)))
        # NumPy's maximum lets NaN win; Python's max would hide it.
        report.parity_max_abs_diff = float(np.maximum(report.parity_max_abs_diff, difference.max()))
        report.answers += len(chunk)


def _payloads(reader: EventReader) -> Iterable[bytes]:
    for partition in reader.partitions():
        at = 0
        while found := reader.read(partition, at, 4 << 20):
            yield from (record.payload for record in found)
            at = found[-1].end


def _prediction(payload: bytes) -> Prediction | None:
    try:
        event = decode_event(payload)
    except (Corrupt, InvalidInput):
        return None
    return event if isinstance(event, Prediction) else None
