"""The laws that must hold after any faults, as functions of what was seen and of what stands on disk. Pure."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from benchmarks.operations.fault_ledger import Asked


@dataclass(frozen=True, slots=True)
class Fates:
    """What the trainer and the log say of the outcomes.

    Attributes:
        logged: event id → how often it stands in the log.
        learned: ids whose item has a row in the table: each event has an item of its own.
        dead: event id → how many dead letters it has.
        excluded, pending: how many, for no list is kept of these.
        counted: how many events the trainer's account has in all of its four classes.
        learned_counted, dead_counted: its own counts of these.
        uncovered, covered_again: records of the log that no step has read, or several have, as counts of cuts.
    """

    logged: Mapping[str, int]
    learned: frozenset[str]
    dead: Mapping[str, int]
    excluded: int
    pending: int
    counted: int
    learned_counted: int
    dead_counted: int
    uncovered: int = 0
    covered_again: int = 0


@dataclass(frozen=True, slots=True)
class Broken:
    """Violations, counted, with a few of them named."""

    count: int = 0
    examples: tuple[str, ...] = ()

    def __add__(self, other: "Broken") -> "Broken":
        return Broken(self.count + other.count, (self.examples + other.examples)[:10])


def lost(acknowledged: Iterable[str], fates: Fates) -> Broken:
    """Acknowledged events that are not in the log, or in none of learned, dead-lettered, excluded, pending."""
    absent = [event for event in acknowledged if not fates.logged.get(event)]
    nowhere = set(fates.logged) - fates.learned - set(fates.dead)
    held = fates.excluded + fates.pending
    missing = len(nowhere) - held
    found = Broken(len(absent), tuple(f"{event} is not in the log" for event in absent[:5]))
    if missing > 0:
        found += Broken(missing, (f"{len(nowhere)} events neither learned nor dead, {held} excluded or pending",))
    if fates.counted < len(fates.logged):
        found += Broken(len(fates.logged) - fates.counted, (f"{fates.counted} accounted of {len(fates.logged)}",))
    if fates.uncovered:
        found += Broken(fates.uncovered, (f"{fates.uncovered} stretches of the log were never read",))
    return found


def doubled(fates: Fates) -> Broken:
    """Events that are in more than one place, or more than once in one."""
    both = sorted(fates.learned & set(fates.dead))
    twice = sorted(event for event, count in fates.dead.items() if count > 1)
    found = Broken(len(both), tuple(f"{event} is learned and dead" for event in both[:5]))
    found += Broken(len(twice), tuple(f"{event} has {fates.dead[event]} dead letters" for event in twice[:5]))
    for name, own, counted in (
        ("learned", len(fates.learned), fates.learned_counted),
        ("dead-lettered", len(fates.dead), fates.dead_counted),
    ):
        if counted > own:
            found += Broken(counted - own, (f"{counted} counted as {name}, but {own} events are",))
    if fates.counted > len(fates.logged):
        found += Broken(fates.counted - len(fates.logged), (f"{fates.counted} accounted of {len(fates.logged)}",))
    if fates.covered_again:
        found += Broken(fates.covered_again, (f"{fates.covered_again} stretches of the log were read again",))
    return found


def unknown_answers(asked: Iterable[Asked], catalog: Mapping[int, str]) -> Broken:
    """Answers that name a version that never existed, or another digest than it has."""
    wrong = [one for one in asked if not one.error and catalog.get(one.version) != one.digest]
    return Broken(len(wrong), tuple(f"version {one.version} {one.digest} at {one.sent_s:.1f} s" for one in wrong[:5]))


@dataclass(frozen=True, slots=True)
class Served:
    """An answer as the replica recorded it."""

    prediction_id: str
    version: int
    epoch: int
    revision: int = 0


def served_after_fence(served: Iterable[Served], gone: Mapping[int, int]) -> Broken:
    """Answers by a version that was taken back, given in the epoch that took it back or later.

    `gone`: version → the epoch that began when it was taken back.
    """
    wrong = [one for one in served if one.version in gone and one.epoch >= gone[one.version]]
    told = tuple(f"{one.prediction_id} by version {one.version} in epoch {one.epoch}" for one in wrong[:5])
    return Broken(len(wrong), told)


def served_too_late(asked: Iterable[Asked], gone_s: Mapping[int, float], fence_s: float) -> Broken:
    """Answers by a version that was taken back, to requests sent when even a cut-off replica's lease was over.

    `gone_s`: version → when the operator's word was acknowledged. `fence_s`: the longest that a replica may go on
    without hearing of it.
    """
    wrong = [
        one for one in asked if not one.error and one.version in gone_s and one.sent_s > gone_s[one.version] + fence_s
    ]
    told = tuple(
        f"version {one.version}, {one.sent_s - gone_s[one.version]:.1f} s after it was taken back" for one in wrong[:5]
    )
    return Broken(len(wrong), told)


def availability(asked: Sequence[Asked]) -> float:
    """Share of requests that were answered; 1 without any."""
    return 1.0 - sum(bool(one.error) for one in asked) / len(asked) if asked else 1.0


@dataclass(slots=True)
class Memory:
    """Resident memory of one process over its life: (seconds, MB)."""

    samples: list[tuple[float, float]] = field(default_factory=list)

    def growth_mb_per_min(self, warm_up_s: float) -> float:
        """Slope of a robust line (median of pairwise slopes) after the warm-up; NaN if it lived too short a time."""
        settled = [(at, mb) for at, mb in self.samples if at >= self.samples[0][0] + warm_up_s]
        if len(settled) < 8 or settled[-1][0] - settled[0][0] < warm_up_s:  # noqa: PLR2004  too few to say anything
            return float("nan")
        times, sizes = np.array(settled).T
        first, second = np.triu_indices(len(times), 1)
        return float(np.median((sizes[second] - sizes[first]) / (times[second] - times[first]))) * 60


def counts_of(ids: Iterable[str]) -> Mapping[str, int]:
    """How often each comes."""
    return Counter(ids)


def all_equal(values: Collection[object]) -> bool:
    """Whether replicas stand in one place."""
    return len(set(values)) <= 1
