"""The vectorised processes against the shipped judges, on the same labels."""

import numpy as np

from benchmarks.judge.vectorised import NEVER, Verdicts, Watches, structural
from benchmarks.judge.worlds import Labels, exaggerating, shifted
from martlet.events import Arm
from martlet.evidence import EvidenceRow
from registry_svc.evidence.lane_policy import LaneJudgePolicy
from registry_svc.evidence.loss import loss_difference
from registry_svc.evidence.structural_judge import StructuralJudge
from registry_svc.evidence.structural_policy import StructuralPolicy
from registry_svc.evidence.units import Unit

PAUSE_US = 3_600_000_000


def rows_of(seen: Labels, run: int) -> list[EvidenceRow]:
    """One run's labels as rows of version 2 against pin 1: a session an hour, each of another user."""
    return [
        EvidenceRow(
            user=session + 1,
            time_us=session * PAUSE_US,
            epoch=0,
            arm=Arm.PIN,
            weight=0,
            version=1,
            head=0,
            label=float(seen.label[run, session, place]),
            logits={2: float(seen.version[run, session, place]), 1: float(seen.pin[run, session, place])},
        )
        for session in range(seen.label.shape[1])
        for place in range(seen.label.shape[2])
    ]


def structural_difference(runs: int, sessions: int, policy: StructuralPolicy) -> float:
    """Largest difference of log evidence between both forms; inf if a verdict differs."""
    rng = np.random.default_rng(11)
    worst = 0.0
    for seen in (exaggerating(rng, runs, sessions, 2.0), shifted(rng, runs, sessions, 0.15)):
        # The shipped judge knows that a session is over only when the next one has begun.
        cut = Labels(seen.version[:, :-1], seen.pin[:, :-1], seen.label[:, :-1])
        verdicts = structural(cut, policy)
        worst = max(worst, *(_difference(seen, verdicts, run, policy) for run in range(runs)))
    return worst


def _difference(seen: Labels, verdicts: Verdicts, run: int, policy: StructuralPolicy) -> float:
    judge = StructuralJudge(policy)
    judge.compare(version=2, pin=1, phase="shadow")
    judge.fold(rows_of(seen, run))
    findings = judge.findings()
    if (findings.worse != "") != (verdicts.worse[run] != NEVER):
        return NEVER
    theirs = (verdicts.rollback[run], verdicts.promotion[run], verdicts.calibration[run])
    return max(abs(path.log_evidence - float(other)) for path, other in zip(findings.paths, theirs, strict=True))


def watch_difference(runs: int, units: int, policy: LaneJudgePolicy) -> float:
    """Largest difference of log evidence of the lane's watch between both forms."""
    rng = np.random.default_rng(12)
    values = 0.05 * rng.standard_normal((runs, units)) + 0.004
    many = watches(runs, policy)
    for unit in range(units):
        many.update(values[:, unit] - policy.margin)
    worst = 0.0
    for run in range(runs):
        one = policy.watch()
        for value in values[run]:
            one.update(Unit(float(value), 1.0))
        worst = max(worst, abs(one.log_evidence - float(np.log(many.sums[:, run].mean()))))
    return worst


def watches(runs: int, policy: LaneJudgePolicy) -> Watches:
    """The lane's watch for many runs."""
    largest = policy.logit_bound + policy.margin
    units = policy.labels_to_false_alarm / policy.block_labels
    return Watches(runs, largest, policy.clip_multiple, policy.memory, units)


def lane_units(seen: Labels, policy: LaneJudgePolicy) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Blocks of the policy's size: differences less the margin, float64[runs, units]."""
    difference = loss_difference(seen.version, seen.pin, seen.label, policy.logit_bound)
    blocks = difference.reshape(len(difference), -1, policy.block_labels)
    values: np.ndarray[tuple[int, int], np.dtype[np.float64]] = blocks.mean(axis=2) - policy.margin
    return values
