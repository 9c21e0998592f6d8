"""`python -m benchmarks.judge [replays|numbers]`: measures the judge, or one of the two alone.

QUICK=1: within five minutes, with fewer runs.
"""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figures import Figures
from benchmarks.judge import cost_figures, lane_figures, number_figures, structural_figures
from benchmarks.judge.replay_figures import replays
from benchmarks.judge.replay_report import render_replays
from benchmarks.judge.report import render
from benchmarks.judge.worlds import SESSION
from registry_svc.evidence.lane_judge import LaneJudgePolicy
from registry_svc.evidence.structural_policy import StructuralPolicy

NUMBER_LABELS = 6000
PAGE = Path("benchmarks/judge.md")


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured."""

    aa_runs: int
    runs: int
    sessions: int
    lane_runs: int
    lane_labels: int
    declines: int
    seeds: int
    numbers: int

    def __str__(self) -> str:
        return (
            f"Measured here: {self.aa_runs:,} A/A runs and {self.runs:,} runs of every other figure of"
            f" {self.sessions * SESSION:,} labels each; {self.numbers:,} runs of {NUMBER_LABELS:,} numbers;"
            f" {self.lane_runs:,} lanes of {self.lane_labels:,} labels;"
            f" {self.declines} slow declines; {self.seeds} seeds of each replay."
        )


QUICK = Size(aa_runs=1000, runs=200, sessions=2000, lane_runs=50, lane_labels=50_000, declines=2, seeds=2, numbers=100)
FULL = Size(
    aa_runs=10_000, runs=400, sessions=2000, lane_runs=200, lane_labels=100_000, declines=8, seeds=20, numbers=1000
)


def main() -> None:
    """Measures, writes out/bench/judge.json (of replays alone replays.json), and in the long form the page."""
    quick = os.environ.get("QUICK", "") not in {"", "0"}
    size, figures = (QUICK if quick else FULL), Figures()
    if sys.argv[1:] == ["numbers"]:
        number_figures.numbers(figures, size.numbers, NUMBER_LABELS, StructuralPolicy())
        figures.write(Path("out/bench/numbers.json"))
        return
    alone = sys.argv[1:] == ["replays"]
    if not alone:
        _simulations(figures, size)
    replays(figures, size.seeds)
    figures.write(Path("out/bench/replays.json" if alone else "out/bench/judge.json"))
    if alone and not quick:
        render_replays(figures.entries, size.seeds, PAGE)
    elif not quick:
        render(figures.entries, str(size), PAGE)
        render_replays(figures.entries, size.seeds, PAGE)


def _simulations(figures: Figures, size: Size) -> None:
    structural, lane = StructuralPolicy(), LaneJudgePolicy()
    cost_figures.agreement(figures)
    cost_figures.cost(figures, 20_000)
    structural_figures.healthy(figures, size.aa_runs, size.sessions, structural)
    structural_figures.detection(figures, size.runs, size.sessions, structural)
    structural_figures.calibration(figures, size.runs, size.sessions, structural)
    structural_figures.promotion(figures, size.runs, size.sessions, structural)
    number_figures.numbers(figures, size.numbers, NUMBER_LABELS, structural)
    lane_figures.closures(figures, size.lane_runs, size.lane_labels, lane)
    lane_figures.delay(figures, size.runs, 20_000, lane)
    lane_figures.decline(figures, size.declines, lane)


if __name__ == "__main__":
    main()
