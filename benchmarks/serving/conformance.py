"""`python -m benchmarks.serving.conformance`: the conformance kit against Martlet, MLServer and KServe.

QUICK=1: peers whose environments are not there are left out, and the page is left alone.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final

from benchmarks.figures import Figures, at_least
from benchmarks.serving.conformance_page import render
from benchmarks.serving.conformance_servers import KSERVE, MLSERVER, Peer, Tensor, kserve, mlserver
from serving_svc.tensor_types import BY_NAME
from tests.conformance.martlet_server import ECHO, ECHO_HALF, MODELS, served

PAGE: Final = Path("benchmarks/conformance.md")
STARTING_SECONDS: Final = 60
Report = dict[str, Any]
Start = Callable[[Path, Mapping[str, Sequence[Tensor]]], AbstractContextManager[str]]
PEERS: Final[Sequence[tuple[Peer, Start]]] = ((MLSERVER, mlserver), (KSERVE, kserve))


def conformance(figures: Figures, *, quick: bool) -> dict[str, Report]:
    """Each server's score; the whole reports, by name and version."""
    reports: dict[str, Report] = {}
    with served() as address:
        reports["martlet"] = asked(address)
    for peer, start in PEERS:
        if quick and not peer.is_installed:
            continue
        peer.install()
        with tempfile.TemporaryDirectory(prefix="peer-") as folder, start(Path(folder), echo_models()) as address:
            reports[peer.requirement] = asked(address)
    for name, report in reports.items():
        told = f"conformance.{name.split('=')[0]}"
        figures.add(told, report["score"], "share", at_least(1.0) if name == "martlet" else None)
        figures.add(f"{told}_passed", report["passed"], "cases", at_least(150) if name == "martlet" else None)
        figures.add(f"{told}_failed", report["failed"], "cases")
        figures.add(f"{told}_not_applicable", report["not_applicable"], "cases")
    return reports


def asked(address: str) -> Report:
    """The kit's report of one server."""
    models = [option for name in (ECHO, ECHO_HALF) for option in ("--model", name, "--echo", name)]
    command = [sys.executable, "-m", "tests.conformance", "--target", address, *models]
    done = subprocess.run(
        [*command, "--json", "--wait", str(STARTING_SECONDS)], capture_output=True, text=True, check=False
    )
    if not done.stdout:
        raise RuntimeError(f"the kit could not ask {address}: {done.stderr[-1000:]}")
    report: Report = json.loads(done.stdout)
    return report


def echo_models() -> dict[str, list[Tensor]]:
    """Martlet's echo models as metadata; without BF16, which the others do not know."""
    return {
        name: [
            {
                "name": spec.name,
                "datatype": BY_NAME[spec.dtype].datatype,
                "shape": [dim if isinstance(dim, int) else -1 for dim in spec.dims],
            }
            for spec in MODELS[name]
            if spec.dtype != "bfloat16"
        ]
        for name in (ECHO, ECHO_HALF)
    }


def main() -> None:
    """Measures, writes out/bench/conformance.json, and in the long form the page."""
    quick, figures = os.environ.get("QUICK", "") not in {"", "0"}, Figures()
    reports = conformance(figures, quick=quick)
    figures.write(Path("out/bench/conformance.json"))
    if not quick:
        render(reports, PAGE)


if __name__ == "__main__":
    main()
