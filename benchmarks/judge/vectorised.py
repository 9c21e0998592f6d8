"""The judge's processes over many runs at once: arrays [runs] where the shipped code has a number.

`agreement.py` checks that they give what the shipped code gives. Figures are about the code that ships.
"""

from dataclasses import dataclass

import numpy as np

from benchmarks.judge.worlds import SESSION, Array, Flags, Labels
from registry_svc.evidence.betting import LARGEST_STAKE, PRIOR_UNITS, WATCHED_UNITS
from registry_svc.evidence.detector import STAKES
from registry_svc.evidence.loss import loss_difference
from registry_svc.evidence.structural_judge import BOUND_QUANTILE, BOUND_SLACK, SMALLEST_BOUND
from registry_svc.evidence.structural_policy import StructuralPolicy

NEVER = np.inf


class Bounds:
    """RunningBound."""

    def __init__(self, largest: Array, multiple: float, memory: float) -> None:
        self.largest, self.multiple, self.memory = largest, multiple, memory
        self.mean_square = np.full(largest.shape, -1.0)

    def apply(self, unit: Array) -> tuple[Array, Array]:
        """The clipped units and their clips."""
        fresh = self.mean_square < 0
        scaled = np.maximum(self.multiple * np.sqrt(np.maximum(self.mean_square, 0.0)), 1e-9)
        clip = np.where(fresh, self.largest, np.minimum(self.largest, scaled))
        square = np.minimum(unit * unit, self.largest * self.largest)
        past = np.where(fresh, square, self.mean_square)
        self.mean_square = self.memory * past + (1.0 - self.memory) * square
        return np.clip(unit, -clip, clip), clip


class Bets:
    """Certificate: RunningBound and BettingProcess."""

    def __init__(self, largest: Array, multiple: float, memory: float) -> None:
        self.bounds = Bounds(largest, multiple, memory)
        self.log_wealth, self.total, self.squares = (np.zeros(largest.shape) for _ in range(3))
        self.units = np.zeros(largest.shape)
        self.seen = np.zeros(largest.shape, dtype=np.int64)

    def update(self, unit: Array, present: Flags | None = None) -> None:
        """One unit of each run; where `present` is False the run has none."""
        before = (self.bounds.mean_square, self.log_wealth, self.total, self.squares, self.units, self.seen)
        x, clip = self.bounds.apply(unit)
        units = np.maximum(self.units, 1.0)
        variance = np.maximum(self.squares / units, 1e-12)
        stake = np.minimum(np.maximum(self.total / units / variance, 0.0), LARGEST_STAKE / clip)
        stake = np.where(self.seen < WATCHED_UNITS, 0.0, stake)
        self.log_wealth = self.log_wealth + np.log1p(stake * x)
        self.total = self.total + x
        self.squares = self.squares + x * x
        self.units = self.units + 1.0
        self.seen = self.seen + 1
        watched = self.seen == WATCHED_UNITS
        self.squares = np.where(watched, self.squares + PRIOR_UNITS * self.squares / self.units, self.squares)
        self.units = np.where(watched, self.units + PRIOR_UNITS, self.units)
        if present is not None:
            after = (self.bounds.mean_square, self.log_wealth, self.total, self.squares, self.units, self.seen)
            kept = [np.where(present, new, old) for new, old in zip(after, before, strict=True)]
            self.bounds.mean_square, self.log_wealth, self.total, self.squares, self.units, self.seen = kept


class Watches:
    """Watch without its warning: RunningBound and EDetector."""

    def __init__(self, runs: int, largest: float, multiple: float, memory: float, units_to_false_alarm: float) -> None:
        self.bounds = Bounds(np.full(runs, largest), multiple, memory)
        self.sums = np.zeros((len(STAKES), runs))
        self.stakes = np.array(STAKES)[:, None]
        self.limit = units_to_false_alarm * len(STAKES)

    def update(self, unit: Array, weight: float = 1.0) -> Flags:
        """One unit of each run; which runs alarm now."""
        x, clip = self.bounds.apply(unit)
        self.sums = np.minimum((self.sums + weight) * (1.0 + self.stakes * (x / clip)), 1e300)
        alarms: Flags = self.sums.sum(axis=0) >= self.limit
        return alarms

    def reset(self, where: Flags) -> None:
        """Runs that alarmed start anew."""
        self.sums[:, where] = 0.0


@dataclass(frozen=True, slots=True)
class Verdicts:
    """Of each run: labels until it was condemned and until it was certified (NEVER), and the last log evidences."""

    worse: Array
    certified: Array
    rollback: Array
    promotion: Array
    calibration: Array


def bounds_of(seen: Labels, policy: StructuralPolicy) -> Array:
    """B of each run, from its prefix."""
    sessions = policy.prefix_labels // SESSION
    gaps = np.abs(seen.version - seen.pin)[:, :sessions].reshape(len(seen.label), -1)
    quantile = np.sort(gaps, axis=1)[:, int(BOUND_QUANTILE * (gaps.shape[1] - 1))]
    return np.clip(BOUND_SLACK * quantile, SMALLEST_BOUND, policy.largest_bound)


def structural(seen: Labels, policy: StructuralPolicy) -> Verdicts:
    """StructuralJudge without pairs, one whole session a unit, with a look after every unit."""
    bound = bounds_of(seen, policy)
    prefix = policy.prefix_labels // SESSION
    zc, zs, y = (part[:, prefix:] for part in (seen.version, seen.pin, seen.label))
    runs, sessions, _ = y.shape
    differences = loss_difference(zc, zs, y, bound[:, None, None]).mean(axis=2)
    shift = np.cumsum((zc - zs).reshape(runs, -1), axis=1)
    chance, other = 1.0 / (1.0 + np.exp(-zc)), 1.0 / (1.0 + np.exp(-zs))
    direction = np.where(shift >= 0, 1.0, -1.0)
    biased = (direction.reshape(y.shape) * (chance - y)).mean(axis=2)
    ends = np.arange(1, sessions + 1) * SESSION - 1
    shift_at, sign_at = shift[:, ends], direction[:, ends]
    square_at = np.cumsum(((zc - zs) ** 2).sum(axis=2), axis=1)
    bias_at = np.cumsum((chance - y).sum(axis=2), axis=1)
    other_at = np.cumsum((other - y).sum(axis=2), axis=1)
    hidden_at = np.cumsum(np.maximum(np.abs(zc - zs) - bound[:, None, None], 0.0).sum(axis=2), axis=1)
    one = np.ones(runs)
    rollback = Bets(bound + policy.margin, policy.clip_multiple, policy.memory)
    promotion = Bets(bound + policy.margin, policy.clip_multiple, policy.memory)
    calibration = Bets(one, policy.clip_multiple, policy.memory)
    worse, certified, crossed = np.full(runs, NEVER), np.full(runs, NEVER), np.zeros(runs, dtype=bool)
    weight = SESSION / policy.session_labels
    for unit in range(sessions):
        rollback.update(weight * (differences[:, unit] - policy.margin))
        promotion.update(weight * (policy.margin - differences[:, unit]))
        calibration.update(weight * biased[:, unit])
        labels = (unit + 1) * SESSION
        shifted = np.abs(shift_at[:, unit]) > policy.calibration_tolerance * labels
        error = np.sqrt(square_at[:, unit] * policy.session_labels) / labels
        surely = np.abs(shift_at[:, unit]) > (policy.calibration_tolerance + 2.0 * error) * labels
        condemns = surely & (sign_at[:, unit] * bias_at[:, unit] > np.abs(other_at[:, unit]))
        evidence = np.logaddexp(rollback.log_wealth, np.where(condemns, calibration.log_wealth, -1e9)) - np.log(2.0)
        total = labels + policy.prefix_labels
        now = (evidence >= -np.log(policy.rollback_level)) & (worse == NEVER)
        worse[now] = total
        crossed |= promotion.log_wealth >= -np.log(policy.promotion_level)
        old = (labels >= policy.min_labels) & (total >= np.where(shifted, policy.shifted_min_labels, policy.min_labels))
        passes = crossed & old & (hidden_at[:, unit] <= policy.margin / 4 * labels) & (worse == NEVER)
        certified[passes & (certified == NEVER)] = total
    return Verdicts(worse, certified, rollback.log_wealth, promotion.log_wealth, calibration.log_wealth)
