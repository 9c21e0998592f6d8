"""`python -m benchmarks.operations [PART ...]`: what the system stands, and what it takes, part by part.

QUICK=1: with smaller sizes. Without a part all are measured; each leaves its figures in out/bench/operations/, and what
is written in the end is of all parts measured in that form so far.
"""

import importlib
import importlib.util
import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any, Final

from benchmarks.figures import Figures
from benchmarks.operations.report import render

PAGE: Final = Path("benchmarks/operations.md")
FIGURES: Final = Path("out/bench/operations.json")
PARTS: Final = ("faults", "fuzz", "images", "scrape")
"""Each is a module here with a function of its own name, `part(figures, size)`, and its sizes QUICK and FULL."""


def main(wanted: list[str]) -> int:
    """Measures, writes out/bench/operations.json, and in the long form the page; 1 if a goal or a part failed."""
    quick = os.environ.get("QUICK", "") not in {"", "0"}
    folder = FIGURES.with_suffix("") / ("quick" if quick else "full")
    folder.mkdir(parents=True, exist_ok=True)
    failed = [part for part in wanted or _there() if not _carried_out(part, folder, quick=quick)]
    entries: dict[str, dict[str, Any]] = {}
    for part in PARTS:
        path = folder / f"{part}.json"
        entries |= json.loads(path.read_text()) if path.exists() else {}
    Figures(entries).write(FIGURES)
    if not quick:
        render(entries, folder, PAGE)
    return int(bool(failed) or any(entry["met"] is False for entry in entries.values()))


def _there() -> list[str]:
    return [part for part in PARTS if importlib.util.find_spec(f"benchmarks.operations.{part}")]


def _carried_out(part: str, folder: Path, *, quick: bool) -> bool:
    """A part that cannot be carried out here, for want of a program say, is told and does not keep the others."""
    try:
        figures = _measured(part, quick=quick)
    except Exception:  # noqa: BLE001  told below, and the exit code
        sys.stderr.write(f"{part} could not be carried out:\n{traceback.format_exc()}")
        return False
    (folder / f"{part}.json").write_text(json.dumps(figures.entries))
    return True


def _measured(part: str, *, quick: bool) -> Figures:
    module = importlib.import_module(f"benchmarks.operations.{part}")
    figures = Figures()
    getattr(module, part)(figures, module.QUICK if quick else module.FULL)
    return figures


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
