"""`python -m benchmarks.operations.faults`: the whole loop under faults, and whether its laws hold. QUICK=1: short.

SEED=n: another schedule. PARTS=embedded or real: only that form. KEEP=1: logs and data stay where they are.
"""

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.figures import Figures, at_least, at_most
from benchmarks.operations.fault_report import Verdict, as_json, judge, verdict_of
from benchmarks.operations.fault_run import Course, Run
from benchmarks.operations.fault_schedule import Possible, possible, schedule
from benchmarks.operations.fault_stage import Stage, embedded, on_real_parts

REPORT: Final = Path("out/bench/operations")
FORMS: Final = {"real": on_real_parts, "embedded": embedded}


@dataclass(frozen=True, slots=True)
class Size:
    """How much is done.

    Attributes:
        forms: seconds of faults and how many, by form of the loop.
        rate: requests a second.
        patience_s: how long the loop may take to find its place afterwards.
    """

    forms: Mapping[str, tuple[float, int]]
    rate: float
    patience_s: float
    seed: int = 7


QUICK: Final = Size({"real": (40.0, 8), "embedded": (16.0, 4)}, 20.0, 60.0)
FULL: Final = Size({"real": (1500.0, 100), "embedded": (300.0, 24)}, 30.0, 180.0)


def faults(figures: Figures, size: Size) -> None:
    """Runs each form, checks the laws, writes the reports; figures are of all forms measured in this size so far."""
    only, seed = os.environ.get("PARTS", ""), int(os.environ.get("SEED", size.seed))
    folder = REPORT / ("quick" if size == QUICK else "full")
    folder.mkdir(parents=True, exist_ok=True)
    for form, (seconds, count) in size.forms.items():
        if only in {"", form}:
            stage, run = carried_out(form, seconds, count, size, seed)
            verdict = judge(run, stage)
            (folder / f"faults-{form}.json").write_text(json.dumps(as_json(run, stage, verdict), indent=1))
            sys.stdout.write(verdict.told(form) + "\n")
    reports = [folder / f"faults-{form}.json" for form in size.forms]
    add_figures(figures, [verdict_of(json.loads(one.read_text())) for one in reports if one.exists()])


def carried_out(form: str, seconds: float, count: int, size: Size, seed: int) -> tuple[Stage, Run]:
    """One run in a folder of its own."""
    folder = Path(tempfile.mkdtemp(prefix="martlet-faults-"))
    folder.chmod(0o755)  # the database is another user's
    return asyncio.run(_run(form, folder, seconds, count, size, seed))


async def _run(form: str, folder: Path, seconds: float, count: int, size: Size, seed: int) -> tuple[Stage, Run]:
    stage = await FORMS[form](folder, seed)
    plan = schedule(seed, seconds, count, choices_of(stage))
    course = Course(stage, plan, size.rate, seed, size.patience_s)
    try:
        return stage, await course.go()
    finally:
        await stage.remove(keep=bool(os.environ.get("KEEP")))


def choices_of(stage: Stage) -> list[Possible]:
    """What can befall a stage."""
    parts = [*stage.parts, "registry"]
    return possible(list(stage.services), parts, list(stage.disks), list(stage.clocks))


def add_figures(figures: Figures, verdicts: list[Verdict]) -> None:
    """Of all forms together."""

    def total(name: str) -> float:
        return float(sum(getattr(verdict, name) for verdict in verdicts))

    figures.add("faults.injected", total("injected"), "faults")
    figures.add("faults.requests", total("requests"), "requests")
    figures.add("faults.availability", 1 - total("unanswered") / max(total("requests"), 1), "", at_least(0.9999))
    figures.add("faults.unanswered", total("unanswered"), "requests")
    figures.add("faults.events_acknowledged", total("acknowledged"), "events")
    figures.add("faults.events_lost", sum(one.lost.count for one in verdicts), "events", at_most(0))
    figures.add("faults.events_doubled", sum(one.doubled.count for one in verdicts), "events", at_most(0))
    figures.add("faults.unknown_versions_served", sum(one.unknown.count for one in verdicts), "answers", at_most(0))
    figures.add("faults.quarantined_served", sum(one.quarantined.count for one in verdicts), "answers", at_most(0))
    figures.add("faults.versions_taken_back", total("taken_back"), "versions", at_least(1))
    figures.add("faults.converged_s", max(one.converged_s for one in verdicts), "s", at_most(60))
    figures.add("faults.state_equal", min(float(one.state_equal) for one in verdicts), "", at_least(1))
    figures.add("faults.memory_growth_mb_per_min", max(one.growth for one in verdicts), "MB/min")
    figures.add("faults.unasked_ends", total("unasked_ends"), "processes")


def main() -> int:
    """1 if a law is broken."""
    figures = Figures()
    faults(figures, QUICK if os.environ.get("QUICK", "") not in {"", "0"} else FULL)
    return 0 if all(entry["met"] is not False for entry in figures.entries.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
