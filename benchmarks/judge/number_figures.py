"""Figures of the judge of numbers (squared error): the shipped structural judge on labels one by one."""

from collections.abc import Iterator

import numpy as np

from benchmarks.figures import Figures, at_least, at_most, upper_99
from benchmarks.judge.number_world import deviation_at_margin, number_rows
from benchmarks.judge.vectorised import NEVER
from registry_svc.evidence.criterion import SquaredError
from registry_svc.evidence.structural_judge import StructuralJudge, StructuralPolicy

PIN = 0.05
LOOKS = 20
"""Labels between two looks: a session of the judge's."""


def numbers(figures: Figures, runs: int, labels: int, policy: StructuralPolicy) -> None:
    """False verdicts of equal versions and exactly at the margin; power and delay for losses 5 % and 10 % larger."""
    criterion = SquaredError(policy.margin_share)
    equal = np.array([first_worse(seed, labels, PIN, policy) != NEVER for seed in range(runs)])
    figures.add("numbers.false_rollback_rate", float(equal.mean()), "share", at_most(policy.rollback_level))
    figures.add("numbers.false_rollback_upper_99", upper_99(equal), "share")
    at_margin = deviation_at_margin(PIN, criterion.share)
    verdicts = [boundary(seed, labels, at_margin, policy) for seed in range(runs)]
    condemned, certified = (float(np.mean(one)) for one in zip(*verdicts, strict=True))
    figures.add("numbers.boundary_false_rollback_rate", condemned, "share", at_most(policy.rollback_level))
    figures.add("numbers.boundary_false_promotion_rate", certified, "share", at_most(policy.promotion_level))
    for name, share in (("5_percent", 0.05), ("10_percent", 0.1)):
        worse = [first_worse(seed, labels, deviation_at_margin(PIN, share), policy) for seed in range(runs // 4)]
        target = at_least(0.95) if share == 0.1 else None  # noqa: PLR2004
        figures.add(f"numbers.power_{name}", float(np.mean(np.array(worse) != NEVER)), "share", target)
        figures.add(f"numbers.labels_median_{name}", float(np.median(worse)), "labels")


def first_worse(seed: int, labels: int, deviation: float, policy: StructuralPolicy) -> float:
    """After how many labels the version is found worse; NEVER if it is not."""
    for seen, judge in _folded(seed, labels, deviation, policy):
        if judge.findings().worse:
            return float(seen)
    return NEVER


def boundary(seed: int, labels: int, deviation: float, policy: StructuralPolicy) -> tuple[bool, bool]:
    """Whether it is ever found worse, and whether it is ever certified."""
    worse = certified = False
    for _, judge in _folded(seed, labels, deviation, policy):
        found = judge.findings()
        worse, certified = worse or found.worse != "", certified or found.certified
    return worse, certified


def _folded(
    seed: int, labels: int, deviation: float, policy: StructuralPolicy
) -> Iterator[tuple[int, StructuralJudge]]:
    judge = StructuralJudge(policy.for_numbers(), criterion=SquaredError(policy.margin_share))
    judge.compare(version=2, pin=1, phase="shadow")
    rows = number_rows(seed, labels, pin=PIN, version=deviation)
    for start in range(0, labels, LOOKS):
        judge.fold(rows[start : start + LOOKS])
        yield start + LOOKS, judge
