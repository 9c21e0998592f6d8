"""From answers and versions to the demo's figures. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from trainer_svc.prequential import area_under_curve

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Moment:
    """A version, and for each partition the offset up to which it has learned."""

    version: int
    positions: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Milliseconds."""

    p50: float
    p99: float
    values: Floats
    unanswered: int = 0

    def as_json(self) -> dict[str, float]:
        """Without the values."""
        return {"p50": round(self.p50, 1), "p99": round(self.p99, 1)}


def freshness(
    partitions: Sequence[str],
    offsets: Sequence[int],
    acknowledged_at: Sequence[float],
    answered_at: Sequence[float],
    answered_by: Sequence[int],
    moments: Sequence[Moment],
    ended_at: float,
) -> Percentiles:
    """From the acknowledgement of each outcome to the first answer by a version that has learned it, milliseconds.

    `answered_at` and `answered_by` are the answers that count (a lane's). An outcome that no such answer came for has
    waited until the stream's end at least, and counts with that: a lane that went dead must not look fresh.
    """
    first_answer: dict[int, float] = {}
    for at, version in zip(answered_at, answered_by, strict=True):
        first_answer[version] = min(at, first_answer.get(version, np.inf))
    waits: list[float] = []
    unanswered = 0
    for partition in sorted(set(partitions)):
        known = sorted(
            (moment.positions.get(partition, 0), first_answer[moment.version])
            for moment in moments
            if moment.version in first_answer
        )
        covered = np.array([offset for offset, _ in known])
        # A version with more learned may answer earlier than one with less: the earliest of all later ones counts.
        earliest = np.minimum.accumulate(np.array([at for _, at in known])[::-1])[::-1]
        for where, offset, acknowledged in zip(partitions, offsets, acknowledged_at, strict=True):
            if where != partition:
                continue
            place = int(np.searchsorted(covered, offset))
            unanswered += place == len(covered)
            until = float(earliest[place]) if place < len(covered) else ended_at
            waits.append(max(until - acknowledged, 0.0) * 1000.0)
    return replace(percentiles(np.array(waits)), unanswered=unanswered)


def percentiles(values: Floats) -> Percentiles:
    """Median and 99th percentile; NaN without values."""
    if values.size == 0:
        return Percentiles(float("nan"), float("nan"), values)
    return Percentiles(float(np.percentile(values, 50)), float(np.percentile(values, 99)), values)


def auc_from(logits: Floats, labels: Floats, start: int) -> float:
    """ROC-AUC of the events from `start` on."""
    return area_under_curve(logits[start:], labels[start:])


def auc_over_time(logits: Floats, labels: Floats, window: int, points: int) -> list[tuple[int, float]]:
    """(event, AUC of the window that ends there), evenly spaced."""
    ends = np.linspace(window, labels.shape[0], points).astype(int)
    return [(int(end), area_under_curve(logits[end - window : end], labels[end - window : end])) for end in ends]
