"""The long form as a page."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

Entries = Mapping[str, dict[str, Any]]

NOTES: Final = Path(__file__).parent / "notes.md"
HEAD: Final = """# Training: tables, steps, deltas, crashes

Two vCPU of a virtual machine. Rivals learn the same examples in the same run, in environments of their own, in
turns; a figure is the median of its rounds. CPU is user and system time. `deepfm` and `linear` are end to end: from
the event log through joining, test, step, journal (with fsync), checkpoints and a delta a second; `step` is the
learning step alone.

`make bench-training` writes this page; `QUICK=1` measures the same with smaller sizes and leaves the page alone. A
figure that misses its goal is published as missed.

## Goals

| figure | value | unit | goal | met |
|---|---|---|---|---|
"""


def render(entries: Entries, path: Path) -> None:
    """Writes the page."""
    rest = "\n## Every other figure\n\n| figure | value | unit |\n|---|---|---|\n"
    path.write_text("".join([HEAD, *_goals(entries), rest, *_others(entries), "\n", NOTES.read_text()]))


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
