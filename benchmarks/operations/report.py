"""The long form as a page."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

Entries = Mapping[str, dict[str, Any]]

NOTES: Final = Path(__file__).parent / "notes.md"
FORMS: Final = {
    "real": "two registries on PostgreSQL, JetStream, an S3 store",
    "embedded": "one registry, everything on one disk",
}
HEAD: Final = """# Operations: what the system stands

Two vCPU of a virtual machine, shared with other work. `make bench-operations` writes this page; `QUICK=1` measures the
same with smaller sizes and leaves the page alone. A figure that misses its goal is published as missed.

## Goals

| figure | value | unit | goal | met |
|---|---|---|---|---|
"""
FAULTS_HEAD: Final = """
| fault | befalls | times | requests unanswered | slowest answer (ms) | events not acknowledged |
|---|---|---|---|---|---|
"""


def render(entries: Entries, reports: Path, page: Path) -> None:
    """Writes the page. `reports`: where the fault runs have left theirs."""
    tables = [part for form in FORMS for part in _faults(reports / f"faults-{form}.json", form)]
    rest = "\n## Every other figure\n\n| figure | value | unit |\n|---|---|---|\n"
    page.write_text("".join([HEAD, *_goals(entries), *tables, "\n", NOTES.read_text(), rest, *_others(entries)]))


def _faults(path: Path, form: str) -> Iterator[str]:
    """The worst that clients saw of any fault of a kind, from its beginning until three seconds after its end."""
    if not path.exists():
        return
    report = json.loads(path.read_text())
    yield f"\n## Faults: {FORMS[form]}\n\n"
    yield f"{len(report['faults'])} faults in {report['seconds'] / 60:.0f} minutes. "
    yield "Worst of each kind, as clients saw it after their own retries; faults overlap.\n"
    yield FAULTS_HEAD
    for row in report["by_kind"]:
        told = (row["unanswered"], f"{row['slowest_ms']:.0f}", row["events_unacknowledged"])
        yield f"| {row['kind']} | {row['target'] or 'the lane'} | {row['count']} | {' | '.join(map(str, told))} |\n"
    yield "\n| process | lives | most resident (MB) | growth in a long life (MB/min) |\n|---|---|---|---|\n"
    for name, memory in report["memory"].items():
        growth = max(memory["growth_mb_per_min"], default=None)
        yield f"| {name} | {memory['lives']} | {memory['peak_mb']} | {'' if growth is None else growth} |\n"


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
    return "never" if entry["value"] is None else f"{entry['value']:.6g}"
