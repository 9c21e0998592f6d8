"""The long form as a page."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

Entries = Mapping[str, dict[str, Any]]

NOTES: Final = Path(__file__).parent / "notes.md"
PLOTS: Final = Path("benchmarks/learning")
HEAD: Final = """# Learning: what it is worth to learn all the time

Two vCPU of a virtual machine. MovieLens 100K comes with a package that is downloaded; other logs are read from a folder
that is named (`LOGS`). No event is ever scored by a model that has learned it. Seeds are five (strategies, negatives:
three); intervals are of a bootstrap over users. An AUC point is 0.01. `make bench-learning` writes this page; `QUICK=1`
measures the same with smaller sizes and leaves the page alone. A figure that misses its goal is published as missed.

## Goals

| figure | value | unit | goal | met |
|---|---|---|---|---|
"""


def render(entries: Entries, plots: Path, page: Path) -> None:
    """Writes the page; the plots that stand in their folder are shown in it."""
    shown = [f"![{plot.stem}]({plot.relative_to(page.parent)})\n\n" for plot in sorted(plots.glob("*.svg"))]
    rest = "\n## Every other figure\n\n| figure | value | unit |\n|---|---|---|\n"
    parts: Sequence[str] = [HEAD, *_goals(entries), "\n", *shown, NOTES.read_text(), rest, *_others(entries)]
    page.write_text("".join(parts))


def _goals(entries: Entries) -> Iterator[str]:
    for name, entry in entries.items():
        if entry["target"]:
            met = "yes" if entry["met"] else "**missed**"
            yield f"| {name} | {_value(entry)} | {entry['unit']} | {entry['target']} | {met} |\n"


def _others(entries: Entries) -> Iterator[str]:
    for name, entry in entries.items():
        if not entry["target"]:
            yield f"| {name} | {_value(entry)} | {entry['unit']} |\n"


def _value(entry: Mapping[str, Any]) -> str:
    return "never" if entry["value"] is None else f"{entry['value']:.4g}"
