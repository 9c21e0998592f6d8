"""`python -m benchmarks.serving`: conformance, throughput beside floors and peers, swaps, deltas, Recommend.

QUICK=1: within five minutes, with fewer repeats.
"""

import os
from pathlib import Path

from benchmarks.figures import Figures
from benchmarks.serving import conformance, live_delta, recommend, swap, throughput
from benchmarks.serving.conformance_page import render as render_conformance
from benchmarks.serving.peer_swap import mlserver_swaps
from benchmarks.serving.peer_throughput import peers
from benchmarks.serving.report import render

PAGE = Path("benchmarks/serving.md")


def main() -> None:
    """Measures, writes out/bench/serving.json, and in the long form the pages."""
    quick = os.environ.get("QUICK", "") not in {"", "0"}
    figures = Figures()
    size = throughput.QUICK if quick else throughput.FULL
    with throughput.scene() as standing:
        throughput.measure(figures, standing, size)
        if not quick:
            peers(figures, standing, size)
    swap.measure(figures, quick=quick)
    live_delta.measure(figures, quick=quick)
    if not quick:
        for in_thread in (False, True):
            mlserver_swaps(figures, 500, 0.1, in_thread=in_thread)
    recommend.recommend(figures, recommend.QUICK if quick else recommend.FULL)
    reports = conformance.conformance(figures, quick=quick)
    figures.write(Path("out/bench/serving.json"))
    if not quick:
        render(figures.entries, PAGE)
        render_conformance(reports, Path("benchmarks/conformance.md"))


if __name__ == "__main__":
    main()
