"""The long form as a page: goals first, then Martlet beside its peers, then every figure."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

Entries = Mapping[str, dict[str, Any]]

HEAD = """# Serving: what a request costs, and what a swap does to it

Servers stand on one core, the load on the other (2 vCPU of a virtual machine); servers take turns within each
repeat, and a figure is the median of the repeats. CPU is user and system time of all of a server's processes. The
model is a DeepFM of 20 ids of width 16 and an MLP of 256, 128 and 64; its table is *in* the graph, also for the
peers, who get one plain ONNX file and run it in a custom model each. They route nothing, judge nothing and record
nothing; Martlet does what it always does. `ModelInfer` writes no prediction record, since raw tensors do not say
who asked about what; `Rank` does.

`make bench-serving` writes this page and [the conformance scores](conformance.md); `QUICK=1` measures the same with
fewer repeats, without the peers' throughput, and leaves the pages alone. A figure that misses its goal is published
as missed.

"""
NOTES = Path(__file__).parent / "notes.md"
CASES = {"c1_1row": "1 under way, 1 row", "c32_1row": "32 under way, 1 row", "c32_100rows": "32 under way, 100 rows"}
PEERS = {"martlet": "Martlet", "mlserver": "MLServer 1.7.1", "kserve": "KServe SDK 0.21.0"}


def render(entries: Entries, path: Path) -> None:
    """Writes the page."""
    goals = {name: entry for name, entry in entries.items() if entry["target"]}
    rest = {name: entry for name, entry in entries.items() if not entry["target"] and not name.startswith("peers.")}
    parts = [
        HEAD,
        "## Goals\n\n| figure | value | unit | goal | met |\n|---|---|---|---|---|\n",
        *_goal_rows(goals),
        "\n## Beside its peers\n\n| server | case | requests/s | p50 ms | CPU ms/request |\n|---|---|---|---|---|\n",
        *_peer_rows(entries),
        "\n## New versions under load, MLServer\n\n| figure | value | unit |\n|---|---|---|\n",
        *_rows({name: entry for name, entry in entries.items() if ".swap" in name and name.startswith("peers.")}),
        "\n## Every other figure\n\n| figure | value | unit |\n|---|---|---|\n",
        *_rows(rest),
        "\n",
        NOTES.read_text(),
    ]
    path.write_text("".join(parts))


def _goal_rows(entries: Entries) -> Iterator[str]:
    for name, entry in entries.items():
        met = "yes" if entry["met"] else "**missed**"
        yield f"| {name} | {_value(entry)} | {entry['unit']} | {entry['target']} | {met} |\n"


def _peer_rows(entries: Entries) -> Iterator[str]:
    for case, words in CASES.items():
        for peer, title in PEERS.items():
            found = [entries.get(f"peers.{peer}.{what}_{case}") for what in ("rps", "p50_ms", "cpu_ms")]
            if all(found):
                yield f"| {title} | {words} | " + " | ".join(_value(entry) for entry in found if entry) + " |\n"


def _rows(entries: Entries) -> Iterator[str]:
    for name, entry in entries.items():
        yield f"| {name} | {_value(entry)} | {entry['unit']} |\n"


def _value(entry: Mapping[str, Any]) -> str:
    return "never" if entry["value"] is None else f"{entry['value']:.4g}"
