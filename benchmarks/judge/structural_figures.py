"""Figures of the structural road: false rollbacks, detection, calibration, promotion."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from benchmarks.figures import Figures, at_least, at_most, upper_99
from benchmarks.judge import rivals
from benchmarks.judge.vectorised import NEVER, Bets, bounds_of, structural
from benchmarks.judge.worlds import SESSION, Flags, Labels, choosing, equal, exaggerating, shifted
from registry_svc.evidence.loss import loss_difference
from registry_svc.evidence.structural_policy import StructuralPolicy

CHUNK = 200
WEIGHTS = (0.01, 0.05, 0.25, 0.5, 0.9)
SMALL, LARGE = 1.93, 3.92
"""Exaggerations that cost .016 and .08 nats."""


def _chunks(runs: int) -> Iterator[int]:
    for start in range(0, runs, CHUNK):
        yield min(CHUNK, runs - start)


def _mean_difference(seen: Labels) -> float:
    return float(loss_difference(seen.version, seen.pin, seen.label, 2.0).mean())


def healthy(figures: Figures, runs: int, sessions: int, policy: StructuralPolicy) -> None:
    """A/A: unequal, equally good; and exactly at the margin. A look after every unit."""
    rng = np.random.default_rng(1)
    false, naive, boundary, promoted = [], [], [], []
    for count in _chunks(runs):
        seen = equal(rng, count, sessions)
        false.append(structural(seen, policy).worse != NEVER)
        naive.append(rivals.naive(seen))
        moved = _at_margin(seen, policy)
        boundary.append(moved[0])
        promoted.append(moved[1])
    rate = np.concatenate(false)
    figures.add("aa.false_rollback_rate", float(rate.mean()), "share", at_most(policy.rollback_level))
    figures.add("aa.false_rollback_upper_99", upper_99(rate), "share", at_most(0.012))
    figures.add("aa.naive_peeked_rate", float(np.concatenate(naive).mean()), "share", at_least(0.5))
    figures.add("aa.runs", float(len(rate)), "runs")
    at_boundary = float(np.concatenate(boundary).mean())
    figures.add("aa.boundary_false_rollback_rate", at_boundary, "share", at_most(policy.rollback_level))
    figures.add(
        "promotion.false_rate", float(np.concatenate(promoted).mean()), "share", at_most(policy.promotion_level)
    )


def _at_margin(seen: Labels, policy: StructuralPolicy) -> tuple[Flags, Flags]:
    """Differences moved so that their mean is the margin exactly: which runs are condemned, which certified."""
    bound = bounds_of(seen, policy)
    difference = loss_difference(seen.version, seen.pin, seen.label, bound[:, None, None]).mean(axis=2)
    weight = SESSION / policy.session_labels
    limit = bound + 2 * policy.margin
    worse, better = (Bets(limit, policy.clip_multiple, policy.memory) for _ in range(2))
    condemned, certified = (np.zeros(len(bound), dtype=bool) for _ in range(2))
    for unit in range(policy.prefix_labels // SESSION, difference.shape[1]):
        worse.update(weight * difference[:, unit])
        better.update(-weight * difference[:, unit])
        condemned |= worse.log_wealth >= -np.log(policy.rollback_level)
        certified |= better.log_wealth >= -np.log(policy.promotion_level)
    return condemned, certified


def detection(figures: Figures, runs: int, sessions: int, policy: StructuralPolicy) -> None:
    """Worse by .016 and .08 nats, beside rules tuned to the same false-rollback rate."""
    rng = np.random.default_rng(2)
    share = 0.1
    fair = rivals.windows(equal(rng, runs, sessions), rng, share)
    for name, factor, target in (("016", SMALL, 2000.0), ("08", LARGE, 600.0)):
        seen = exaggerating(rng, runs, sessions, factor)
        worse = structural(seen, policy).worse
        figures.add(f"detect.mean_difference_{name}", _mean_difference(seen), "nats")
        figures.add(f"detect.labels_median_{name}", float(np.median(worse)), "labels", at_most(target))
        figures.add(f"detect.power_{name}", float((worse != NEVER).mean()), "share", at_least(0.95))
        delay = np.minimum(worse, sessions * SESSION).mean()
        figures.add(f"detect.restricted_mean_delay_{name}", float(delay), "labels")
        for rule, (power, rival) in rivals.compare(
            fair, rivals.windows(seen, rng, share), policy.rollback_level
        ).items():
            figures.add(f"detect.{rule}_power_{name}", power, "share")
            figures.add(f"detect.{rule}_restricted_mean_delay_{name}", rival, "labels")


def calibration(figures: Figures, runs: int, sessions: int, policy: StructuralPolicy) -> None:
    """All logits too high by .15; and versions that must not be condemned for it."""
    rng = np.random.default_rng(3)
    verdicts = structural(shifted(rng, runs, sessions, 0.15), policy)
    figures.add("calibration.labels_median", float(np.median(verdicts.worse)), "labels", at_most(6000.0))
    figures.add("calibration.power", float((verdicts.worse != NEVER).mean()), "share", at_least(0.95))
    figures.add("calibration.certified_before", float((verdicts.certified != NEVER).mean()), "share", at_most(0.05))
    fair = rivals.windows(shifted(rng, runs, sessions, 0.0), rng, 0.1)
    bad = rivals.windows(shifted(rng, runs, sessions, 0.15), rng, 0.1)
    for rule, (power, _) in rivals.compare(fair, bad, policy.rollback_level).items():
        figures.add(f"calibration.{rule}_power", power, "share", at_most(policy.rollback_level + 0.05))
    for name, version, pin in (("both_off", 0.3, 0.3), ("repairs_the_pin", 0.0, -0.2)):
        seen = equal(rng, runs, sessions, version)
        seen = replace(seen, pin=seen.pin + pin)
        false = structural(seen, policy).worse != NEVER
        figures.add(f"calibration.false_{name}", float(false.mean()), "share", at_most(policy.rollback_level))


def promotion(figures: Figures, runs: int, sessions: int, policy: StructuralPolicy) -> None:
    """How soon a tiny update is certified; and that choosing what is seen certifies nobody who is worse."""
    rng = np.random.default_rng(4)
    labels = structural(exaggerating(rng, runs, sessions, 1.1), policy).certified
    figures.add("promotion.tiny_labels_median", float(np.median(labels)), "labels", at_most(1500.0))
    worse = _worse_by_margin(policy.margin)
    for share in WEIGHTS:
        seen, served = choosing(rng, runs, sessions // 2, share, worse)
        condemned, certified = _paired(seen, served, policy)
        place = f"w{share:g}"
        figures.add(f"curse.false_promotion_rate.{place}", certified, "share", at_most(policy.promotion_level))
        seen, served = choosing(rng, runs, sessions // 2, share, 0.0)
        condemned, _ = _paired(seen, served, policy)
        figures.add(f"curse.false_rollback_rate.{place}", condemned, "share", at_most(policy.rollback_level))
        pooled = structural(seen, replace(policy, calibration_tolerance=1e9)).worse
        figures.add(f"curse.pooled_rollback_rate.{place}", float((pooled != NEVER).mean()), "share")


def _worse_by_margin(margin: float) -> float:
    """How much more the version must err for a symmetrised mean difference of the margin, by bisection."""

    def off(worse: float) -> float:
        seen, _ = choosing(np.random.default_rng(5), 40, 2000, 0.5, worse)
        return _mean_difference(seen) - margin

    return _root(off, 0.0, 2.0)


def _root(of: Callable[[float], float], low: float, high: float) -> float:
    for _ in range(8):
        middle = (low + high) / 2
        low, high = (middle, high) if of(middle) < 0 else (low, middle)
    return high


def _paired(seen: Labels, served: Flags, policy: StructuralPolicy) -> tuple[float, float]:
    """Units of both arms in pairs, first come first matched: shares of runs condemned and certified."""
    bound = bounds_of(seen, policy)
    difference = loss_difference(seen.version, seen.pin, seen.label, bound[:, None, None]).mean(axis=2)
    start = policy.prefix_labels // SESSION
    runs = len(bound)
    pairs = np.zeros((runs, difference.shape[1]))
    counts = np.zeros(runs, dtype=np.int64)
    for run in range(runs):
        mine, others = (difference[run, start:][flag] for flag in (served[run, start:], ~served[run, start:]))
        counts[run] = min(len(mine), len(others))
        pairs[run, : counts[run]] = (mine[: counts[run]] + others[: counts[run]]) / 2
    weight = SESSION / policy.session_labels
    worse, better = (Bets(bound + policy.margin, policy.clip_multiple, policy.memory) for _ in range(2))
    condemned, certified = (np.zeros(runs, dtype=bool) for _ in range(2))
    for unit in range(int(counts.max())):
        present = unit < counts
        worse.update(weight * (pairs[:, unit] - policy.margin), present)
        better.update(weight * (policy.margin - pairs[:, unit]), present)
        condemned |= worse.log_wealth >= -np.log(policy.rollback_level / 2)
        certified |= better.log_wealth >= -np.log(policy.promotion_level)
    return float(condemned.mean()), float(certified.mean())
