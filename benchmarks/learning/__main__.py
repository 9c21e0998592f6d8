"""`python -m benchmarks.learning [PART ...]`: what learning all the time is worth, part by part.

QUICK=1: with smaller sizes. Without a part all are measured; each leaves its figures in out/bench/learning/, and what
is written in the end is of all parts measured in that form so far. LOGS=FOLDER: logs that no package has are read from
there (see `benchmarks.learning.retail_log`); without it their figures are left out.
"""

import importlib
import importlib.util
import json
import os
import sys
from pathlib import Path
from typing import Any, Final

from benchmarks.figures import Figures
from benchmarks.learning.report import PLOTS, render

PAGE: Final = Path("benchmarks/learning.md")
FIGURES: Final = Path("out/bench/learning.json")
PARTS: Final = (
    "ml100k",
    "online",
    "strategies",
    "retraining",
    "delayed",
    "negatives",
    "drift",
    "freshness",
    "cold_items",
)
"""Each is a module here with a function of its own name, `part(figures, size)`, and its sizes QUICK and FULL."""


def main(wanted: list[str]) -> None:
    """Measures, writes out/bench/learning.json, and in the long form the page."""
    quick = os.environ.get("QUICK", "") not in {"", "0"}
    folder = FIGURES.with_suffix("") / ("quick" if quick else "full")
    folder.mkdir(parents=True, exist_ok=True)
    for part in wanted or _there():
        figures = _measured(part, quick=quick)
        (folder / f"{part}.json").write_text(json.dumps(figures.entries))
    entries: dict[str, dict[str, Any]] = {}
    for part in PARTS:
        path = folder / f"{part}.json"
        entries |= json.loads(path.read_text()) if path.exists() else {}
    Figures(entries).write(FIGURES)
    if not quick:
        render(entries, PLOTS, PAGE)


def _there() -> list[str]:
    return [part for part in PARTS if importlib.util.find_spec(f"benchmarks.learning.{part}")]


def _measured(part: str, *, quick: bool) -> Figures:
    module = importlib.import_module(f"benchmarks.learning.{part}")
    figures = Figures()
    getattr(module, part)(figures, module.QUICK if quick else module.FULL)
    return figures


if __name__ == "__main__":
    main(sys.argv[1:])
