"""`python -m benchmarks.serving [PART ...]`: conformance, throughput beside floors and peers, swaps, deltas, Recommend.

QUICK=1: within five minutes, with fewer repeats. Without a part all are measured; each leaves its figures in
out/bench/serving/, and what is written in the end is of all parts measured in that form so far.
"""

import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from benchmarks.figures import Figures
from benchmarks.serving import conformance, live_delta, recommend, swap, throughput
from benchmarks.serving.conformance_page import render as render_conformance
from benchmarks.serving.peer_swap import mlserver_swaps
from benchmarks.serving.peer_throughput import peers
from benchmarks.serving.plain_graph import plain
from benchmarks.serving.report import render

PAGE: Final = Path("benchmarks/serving.md")
CONFORMANCE: Final = Path("benchmarks/conformance.md")
FIGURES: Final = Path("out/bench/serving.json")


def measure_throughput(figures: Figures, *, quick: bool) -> None:
    """Against an echo, and in the long form beside the peers."""
    size = throughput.QUICK if quick else throughput.FULL
    with throughput.scene() as standing:
        throughput.measure(figures, standing, size)
        if not quick:
            peers(figures, standing, size)


def measure_plain(figures: Figures, *, quick: bool) -> None:
    """The same network over a plain Gather."""
    plain(figures, throughput.QUICK if quick else throughput.FULL)


def measure_peer_swaps(figures: Figures, *, quick: bool) -> None:
    """MLServer's swaps; the long form alone, since its environment takes a while."""
    for in_thread in () if quick else (False, True):
        mlserver_swaps(figures, 500, 0.1, in_thread=in_thread)


def measure_recommend(figures: Figures, *, quick: bool) -> None:
    """Recommend over very many items."""
    recommend.recommend(figures, recommend.QUICK if quick else recommend.FULL)


def measure_conformance(figures: Figures, *, quick: bool) -> None:
    """The kit's scores, and in the long form its page."""
    reports = conformance.conformance(figures, quick=quick)
    if not quick:
        render_conformance(reports, CONFORMANCE)


PARTS: Final[Mapping[str, Callable[..., None]]] = {
    "throughput": measure_throughput,
    "plain": measure_plain,
    "swap": swap.measure,
    "delta": live_delta.measure,
    "peer-swap": measure_peer_swaps,
    "recommend": measure_recommend,
    "conformance": measure_conformance,
}


def main(wanted: list[str]) -> None:
    """Measures, writes out/bench/serving.json, and in the long form the pages."""
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
