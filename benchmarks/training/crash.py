"""`python -m benchmarks.training.crash`: a trainer that is killed all the time learns exactly once.

QUICK=1: some twenty kills, in less than a minute. BREAK=effect_before_journal or position_apart_from_weights: the order
of the commit is broken on purpose, and the figures must say so.
"""

import os
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.figures import Figures, at_least, at_most
from benchmarks.training.crash_run import Course, Outcome, Run, Trainers
from benchmarks.training.crash_verdict import otherwise


@dataclass(frozen=True, slots=True)
class Size:
    """How often the trainer is killed: while the log grows, and where its decisions are functions of the log."""

    growing: int
    fixed: int
    events: int


QUICK = Size(growing=12, fixed=8, events=1500)
FULL = Size(growing=330, fixed=170, events=20_000)


def crash(figures: Figures, size: Size, folder: Path, broken: str = "") -> None:
    """Kills, lets the trainer come to the end, and compares."""
    trainers, now = Trainers(folder), time.time_ns() // 1000
    growing = Run(folder / "growing", Course(size.growing, seed=1, broken=broken), trainers).go()
    course = Course(size.fixed, seed=2, fixed_us=now, events=size.events, broken=broken)
    killed = Run(folder / "killed", course, trainers).go()
    whole = Run(folder / "whole", replace(course, kills=0, broken=""), trainers).go()
    trainers.close()
    same = (killed.verdict.digest, killed.verdict.versions) == (whole.verdict.digest, whole.verdict.versions)
    outcomes = {"growing log": growing, "decided by the log": killed, "never interrupted": whole}
    lost, doubled = otherwise(killed.verdict.learned, whole.verdict.learned)
    for name, outcome in outcomes.items():
        _tell(name, outcome)
    verdicts = [outcome.verdict for outcome in outcomes.values()]
    kills = growing.kills + killed.kills
    faults = growing.faults + killed.faults
    figures.add("crash.kills", kills.total(), "", at_least(size.growing + size.fixed))
    figures.add("crash.kills_at_named_points", kills.total() - kills["any time"], "")
    figures.add("crash.points", len(kills) - 1, "")
    figures.add("crash.faulty_calls", faults.total() - faults["none"], "")
    figures.add("crash.versions", sum(len(verdict.versions) for verdict in verdicts), "")
    figures.add("crash.state_equal", float(same and all(verdict.state_equal for verdict in verdicts)), "", at_least(1))
    figures.add("crash.events_lost", lost + sum(verdict.lost for verdict in verdicts), "events", at_most(0))
    figures.add("crash.events_doubled", doubled + sum(verdict.doubled for verdict in verdicts), "events", at_most(0))


def _tell(name: str, outcome: Outcome) -> None:
    verdict = outcome.verdict
    equal = "as if never interrupted" if verdict.state_equal else "NOT as if never interrupted"
    print(  # noqa: T201  what the figures sum up
        f"{name}: {outcome.kills.total()} kills, {verdict.steps} steps, {len(verdict.versions)} versions, {equal};"
        f" {verdict.digest} {verdict.says}; link {dict(outcome.faults)}",
        flush=True,
    )


def main() -> int:
    """Measures, writes out/bench/crash.json; 1 if a target is missed."""
    quick, figures = os.environ.get("QUICK", "") not in {"", "0"}, Figures()
    with tempfile.TemporaryDirectory() as folder:
        crash(figures, QUICK if quick else FULL, Path(folder), os.environ.get("BREAK", ""))
    figures.write(Path("out/bench/crash.json"))
    return 0 if all(entry["met"] in {None, True} for entry in figures.entries.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
