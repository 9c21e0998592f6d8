"""`python -m benchmarks.training [PART ...]`: table, step, from the log to the commit, deltas, crashes, flatness.

QUICK=1: with smaller sizes. Without a part all are measured; each leaves its figures in out/bench/training/, and what
is written in the end is of all parts measured in that form so far.
"""

import json
import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from benchmarks.figures import Figures
from benchmarks.training import crash, delta, flat, parity, pipeline, restart, step, table
from benchmarks.training.report import render

PAGE: Final = Path("benchmarks/training.md")
FIGURES: Final = Path("out/bench/training.json")


def measure_table(figures: Figures, *, quick: bool) -> None:
    """Memory, lookups, growth."""
    size = table.QUICK if quick else table.FULL
    table.fullest(figures)
    table.tables(figures, size)
    table.rival(figures, size.rival)


def measure_step(figures: Figures, *, quick: bool) -> None:
    """The learning step alone, beside others'."""
    size = step.QUICK if quick else step.Size()
    step.step(figures, size)
    step.linear(figures, size)


def measure_pipeline(figures: Figures, *, quick: bool) -> None:
    """From the log to the commit."""
    pipeline.pipeline(figures, pipeline.QUICK if quick else pipeline.FULL, step.fbgemm_examples_per_s(4096))


def measure_delta(figures: Figures, *, quick: bool) -> None:
    """What an update ships, and how soon it is live."""
    delta.measure(figures, delta.QUICK if quick else delta.FULL)


def measure_crash(figures: Figures, *, quick: bool) -> None:
    """Killed all the time."""
    with tempfile.TemporaryDirectory() as folder:
        crash.crash(figures, crash.QUICK if quick else crash.FULL, Path(folder))


def measure_restart(figures: Figures, *, quick: bool) -> None:
    """From exec to health."""
    with tempfile.TemporaryDirectory() as folder:
        restart.restart(figures, 1_000_000 if quick else 10_000_000, Path(folder))


def measure_flat(figures: Figures, *, quick: bool) -> None:
    """Cost over history and table."""
    with tempfile.TemporaryDirectory() as folder:
        flat.flat(figures, flat.QUICK if quick else flat.FULL, Path(folder), FIGURES.parent)


def measure_parity(figures: Figures, *, quick: bool) -> None:
    """What is served against what was learned."""
    parity.parity(figures, 100_000 if quick else 1_000_000)


PARTS: Final[Mapping[str, Callable[..., None]]] = {
    "table": measure_table,
    "step": measure_step,
    "pipeline": measure_pipeline,
    "delta": measure_delta,
    "crash": measure_crash,
    "restart": measure_restart,
    "flat": measure_flat,
    "parity": measure_parity,
}


def main(wanted: list[str]) -> None:
    """Measures, writes out/bench/training.json, and in the long form the page."""
    quick = os.environ.get("QUICK", "") not in {"", "0"}
    folder = FIGURES.with_suffix("") / ("quick" if quick else "full")
    folder.mkdir(parents=True, exist_ok=True)
    for part in wanted or PARTS:
        figures = Figures()
        PARTS[part](figures, quick=quick)
        (folder / f"{part}.json").write_text(json.dumps(figures.entries))
    entries: dict[str, dict[str, Any]] = {}
    for part in PARTS:
        path = folder / f"{part}.json"
        entries |= json.loads(path.read_text()) if path.exists() else {}
    Figures(entries).write(FIGURES)
    if not quick:
        render(entries, PAGE)


if __name__ == "__main__":
    main(sys.argv[1:])
