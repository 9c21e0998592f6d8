"""Figures of the live lane: false closures, a delay that history does not lengthen, slow decline."""

from dataclasses import replace

import numpy as np

from benchmarks.figures import Figures, at_most
from benchmarks.judge.agreement import lane_units, watches
from benchmarks.judge.worlds import ERROR, SESSION, Array, equal, exaggerating
from martlet.events import Arm
from martlet.evidence import EvidenceRow
from registry_svc.evidence.lane_judge import LaneJudge, LaneJudgePolicy

CHUNK = 50


def closures(figures: Figures, runs: int, labels: int, policy: LaneJudgePolicy) -> None:
    """Equal versions for ever, and versions exactly at the margin: closures per A labels."""
    rng = np.random.default_rng(6)
    counts = {"false_closures_per_A": 0, "boundary_closures_per_A": 0}
    for start in range(0, runs, CHUNK):
        units = lane_units(equal(rng, min(CHUNK, runs - start), labels // SESSION), policy)
        counts["false_closures_per_A"] += _closures(units, policy)
        counts["boundary_closures_per_A"] += _closures(units + policy.margin, policy)
    scale = policy.labels_to_false_alarm / (runs * labels)
    figures.add("lane.false_closures_per_A", counts["false_closures_per_A"] * scale, "closures", at_most(1.0))
    figures.add("lane.boundary_closures_per_A", counts["boundary_closures_per_A"] * scale, "closures", at_most(1.0))


def _closures(units: Array, policy: LaneJudgePolicy) -> int:
    many, count = watches(len(units), policy), 0
    for unit in range(units.shape[1]):
        alarms = many.update(units[:, unit])
        count += int(alarms.sum())
        if alarms.any():
            many.reset(alarms)
    return count


def delay(figures: Figures, runs: int, long: int, policy: LaneJudgePolicy) -> None:
    """The head becomes worse by .016 nats, soon or after a long healthy history."""
    medians = {}
    for name, before in (("short", 1000), ("long", long)):
        rng = np.random.default_rng(7)
        many = watches(runs, policy)
        for _ in range(before // 1000):
            units = lane_units(equal(rng, runs, 1000 // SESSION), policy)
            for unit in range(units.shape[1]):
                alarms = many.update(units[:, unit])
                if alarms.any():
                    many.reset(alarms)
        units = lane_units(exaggerating(rng, runs, 1200, 1.93), policy)
        first = np.full(runs, np.inf)
        for unit in range(units.shape[1]):
            alarms = many.update(units[:, unit])
            first[alarms & np.isinf(first)] = (unit + 1) * policy.block_labels
        medians[name] = float(np.median(first))
        figures.add(f"lane.delay_median_after_{name}", medians[name], "labels")
    figures.add("lane.delay_long_over_short", medians["long"] / medians["short"], "ratio", at_most(1.3))


def decline(figures: Figures, runs: int, policy: LaneJudgePolicy) -> None:
    """Updates each worse by .2 of the margin, 400 labels each, by the shipped judge: how far it lets the head fall."""
    reached = [_decline(seed, policy, 500) for seed in range(runs)]
    figures.add("decline.stopped_at_margins", float(np.median(reached)), "margins", at_most(5.0))
    figures.add("decline.stopped_share", float(np.mean(np.isfinite(reached))), "share")
    held = [_decline(seed, replace(policy, certificate_level=1e-9), 60) for seed in range(runs)]
    figures.add("decline.against_a_pin_that_stays", float(np.median(held)), "margins", at_most(5.0))


def _decline(seed: int, policy: LaneJudgePolicy, updates: int) -> float:
    """Margins by which the head was worse than the first pin when the alarm came."""
    rng = np.random.default_rng(seed)
    judge, pin, candidate, count = LaneJudge(policy), 1, 0, 0
    for head in range(2, updates + 2):
        for _ in range(400 // SESSION):
            count += 1
            rows = _session(rng, count, (head, pin, candidate), policy.margin)
            candidate = candidate or head
            judge.compare(epoch=0, pin=pin, candidate=candidate, alarms=0)
            judge.fold(rows)
            findings = judge.findings()
            if findings.alarm:
                return 0.2 * (head - 1)
            if findings.certified:
                pin, candidate = candidate, 0
            elif findings.undecided:
                candidate = 0
    return float("inf")


def _session(rng: np.random.Generator, user: int, versions: tuple[int, int, int], margin: float) -> list[EvidenceRow]:
    """Version v errs by so much that it costs .2 (v - 1) margins: its error grows in one fixed direction an item."""
    truth = -1.6 + 0.7 * rng.standard_normal(SESSION) + 0.6 * rng.standard_normal()
    label = (rng.random(SESSION) < 1.0 / (1.0 + np.exp(-truth))).astype(float)
    noise = rng.standard_normal(SESSION)
    base, spread = ERROR**2, 0.139  # mean p (1 - p) of this world
    head = versions[0]
    return [
        EvidenceRow(
            user,
            user * 60_000_000,
            0,
            Arm.LIVE,
            5000,
            head,
            head,
            float(label[place]),
            {
                version: float(truth[place] + np.sqrt(base + 2 * 0.2 * (version - 1) * margin / spread) * noise[place])
                for version in versions
                if version
            },
        )
        for place in range(SESSION)
    ]
