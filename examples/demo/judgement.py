"""What the judge did, from the journals and the log alone. Pure, given what they hold."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from examples.demo.faulty_trainer import Flip
from martlet.events import Arm, Outcome, Prediction
from martlet.manifest import Manifest
from martlet.replay.traffic import LIKED
from martlet.versions import CatalogState, VersionRecord
from registry_svc.journal import Decision, DecisionKind
from trainer_svc.journal import Rewound

TAKEN_BACK = frozenset({CatalogState.ROLLED_BACK, CatalogState.QUARANTINED})


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything that there is to go by.

    Attributes:
        predictions, outcomes: in the log's order. `offsets`: behind each outcome.
        decisions: the registry's, oldest first. `rewinds`: the trainer's.
    """

    records: Mapping[int, VersionRecord]
    manifests: Mapping[int, Manifest]
    predictions: Sequence[Prediction]
    outcomes: Sequence[Outcome]
    offsets: Sequence[int]
    decisions: Sequence[Decision]
    rewinds: Sequence[Rewound]


def alarms(evidence: Evidence) -> list[Decision]:
    """The lane was closed on evidence so often."""
    return [decision for decision in evidence.decisions if decision.kind is DecisionKind.ALARM]


def pins(evidence: Evidence) -> list[tuple[int, int]]:
    """(time_us, version) of every move of the pin by its certificate."""
    return [(one.time_us, one.lane.pin.version) for one in evidence.decisions if one.kind is DecisionKind.PIN]


def judgement(evidence: Evidence, flip: Flip | None) -> dict[str, Any]:
    """The figures of the summary that are about the judge."""
    found: dict[str, Any] = {
        "pin_moves": len(pins(evidence)),
        "alarms": len(alarms(evidence)),
        "logloss": log_losses(evidence),
        "requests_by_quarantined_after_fence": after_fence(evidence),
        "trainer_rewound": rewound(evidence),
        "rewinds": len(evidence.rewinds),
    }
    if flip is None:
        return {**found, "healthy_rollbacks": len(alarms(evidence))}
    start_us = evidence.outcomes[flip.first].time_us
    return {
        **found,
        "healthy_rollbacks": sum(alarm.time_us < start_us for alarm in alarms(evidence)),
        "bad_version": bad_version(evidence, flip),
        **poisoned_pins(evidence, flip),
    }


def bad_version(evidence: Evidence, flip: Flip) -> dict[str, Any]:
    """The first alarm after the fault began: which head, after how many labels, how many users had met it."""
    start_us = evidence.outcomes[flip.first].time_us
    alarm = next((one for one in alarms(evidence) if one.time_us >= start_us), None)
    if alarm is None:
        return {"state": "NEVER CAUGHT", "labels_to_detect": None, "user_requests": None}
    head = max(move.version for move in alarm.moves if move.state is CatalogState.ROLLED_BACK)
    bad = {version for version, one in evidence.manifests.items() if one.learned.examples > flip.first}
    return {
        "version": head,
        "state": evidence.records[head].state.name,
        "reason": evidence.records[head].reason,
        "labels_to_detect": sum(one.time_us <= alarm.time_us for one in evidence.outcomes) - flip.first,
        "user_requests": sum(one.version in bad and one.time_us <= alarm.time_us for one in evidence.predictions),
    }


def poisoned_pins(evidence: Evidence, flip: Flip) -> dict[str, Any]:
    """Pins that hold sabotaged examples: those before the first alarm, and what the later ones hold."""
    start_us = evidence.outcomes[flip.first].time_us
    first = next((one.time_us for one in alarms(evidence) if one.time_us >= start_us), None)
    held = {version: sabotaged(evidence, version, flip) for _, version in pins(evidence)}
    before = [version for at, version in pins(evidence) if held[version] and (first is None or at <= first)]
    later = {version: held[version] for at, version in pins(evidence) if first is not None and at > first}
    return {
        "poisoned_pins_before_alarm": len(before),
        "sabotaged_examples_in_later_pins": max(later.values(), default=0),
    }


def sabotaged(evidence: Evidence, version: int, flip: Flip) -> int:
    """How many examples of the fault's stretch a version's weights hold."""
    taken = evidence.manifests[version].learned.examples
    epoch = evidence.records[version].epoch
    back = max((one for one in evidence.rewinds if one.epoch <= epoch), key=lambda one: one.epoch, default=None)
    if back is None or back.version >= version:
        return _overlap(0, taken, flip)
    gone = max((end for _, end in back.suspect.values()), default=0)
    since = int(np.searchsorted(np.array(evidence.offsets), gone, "right"))
    return sabotaged(evidence, back.version, flip) + _overlap(since, taken, flip)


def after_fence(evidence: Evidence) -> int:
    """Answers by a version that was taken back, in the epoch that took it back or a later one."""
    gone: dict[int, int] = {}
    for decision in evidence.decisions:
        for move in decision.moves:
            if move.state in TAKEN_BACK:
                gone.setdefault(move.version, decision.lane.epoch)
    return sum(
        one.arm is not Arm.EXPLICIT and one.version in gone and one.epoch >= gone[one.version]
        for one in evidence.predictions
    )


def rewound(evidence: Evidence) -> bool:
    """Every alarm was followed by a rewind to its pin, restored to the pin's digest, and acknowledged."""
    done = {(one.epoch, one.digest) for one in evidence.rewinds}
    told = {one.lane.epoch for one in evidence.decisions if one.kind is DecisionKind.REWOUND}
    return all(
        (alarm.lane.epoch, alarm.lane.pin.digest) in done and alarm.lane.epoch in told for alarm in alarms(evidence)
    )


def log_losses(evidence: Evidence) -> dict[str, float]:
    """Mean log-loss of what was served, and of what head and pin said of the same items, where all three are known.

    From the moment on when a head first answers somebody: what a newborn one says before that, nobody is told.
    """
    first = next((one.time_us for one in evidence.decisions if one.kind is DecisionKind.SHARE), 0)
    labels = {(one.prediction_id, one.item_id): float(one.value >= LIKED) for one in evidence.outcomes}
    pinned = {(one.lane.epoch, one.lane.revision): one.lane.pin.version for one in evidence.decisions}
    losses: list[tuple[float, float, float]] = []
    for one in evidence.predictions:
        pin = pinned.get((one.epoch, one.revision), 0)
        if one.time_us < first or pin not in one.scores or one.head not in one.scores:
            continue
        for row, item in enumerate(one.item_ids):
            label = labels.get((one.prediction_id, item))
            if label is not None:
                logits = (one.scores[version][row] for version in (one.version, one.head, pin))
                losses.append(tuple(float(np.logaddexp(0.0, z) - label * z) for z in logits))  # type: ignore[arg-type]
    means = np.array(losses).reshape(-1, 3).mean(0) if losses else np.full(3, np.nan)
    return {name: round(float(mean), 5) for name, mean in zip(("served", "head", "pin"), means, strict=True)}


def _overlap(start: int, end: int, flip: Flip) -> int:
    return max(0, min(end, flip.first + flip.count) - max(start, flip.first))
