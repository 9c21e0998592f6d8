"""Martlet beside its Python peers: the same model, the same requests, in turns within each repeat.

The peers get the version as one plain ONNX file (the whole table inside), and answer it in a custom model each, as
their documentation shows. They route nothing and record nothing; Martlet does what it always does.
"""

import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Final, Protocol

import grpc

from benchmarks.figures import Figures
from benchmarks.serving.peer_servers import kserve, mlserver
from benchmarks.serving.throughput import INFER, ROWS, Sample, Scene, Size, median
from benchmarks.serving.whole_onnx import write_whole
from martlet.artifacts import FolderStore

START_SECONDS: Final = 90.0
CASES: Final = {  # figure → payload, requests under way
    "c1_1row": ("packed-infer-1", 1),
    "c32_1row": ("packed-infer-1", 32),
    f"c32_{ROWS}rows": (f"packed-infer-{ROWS}", 32),
}


class Standing(Protocol):
    """A started server."""

    @property
    def address(self) -> str:
        """Where it listens."""
        ...

    def pids(self) -> list[int]:
        """All of its processes."""
        ...


def peers(figures: Figures, scene: Scene, size: Size) -> None:
    """Requests a second, p50 and CPU a request of each server."""
    with tempfile.TemporaryDirectory(prefix="martlet-peers-") as name, ExitStack() as stack:
        folder = Path(name)
        whole = folder / "whole.onnx"
        write_whole(scene.snapshot, FolderStore(scene.data_dir / "artifacts"), whole)
        servers: dict[str, Standing] = {"martlet": scene.one}
        for peer in ("mlserver", "kserve"):
            (folder / peer).mkdir()
        servers["mlserver"] = stack.enter_context(mlserver(folder / "mlserver", scene.snapshot.model, whole))[0]
        servers["kserve"] = stack.enter_context(kserve(folder / "kserve", scene.snapshot.model, whole))
        for server in servers.values():
            _await_answer(scene, server)
        for case, (payload, concurrency) in CASES.items():
            _one_case(figures, scene, servers, case, payload, concurrency, size)


def _one_case(
    figures: Figures,
    scene: Scene,
    servers: Mapping[str, Standing],
    case: str,
    payload: str,
    concurrency: int,
    size: Size,
) -> None:
    samples: dict[str, list[Sample]] = {name: [] for name in servers}
    for _ in range(size.repeats):
        for name, server in servers.items():
            samples[name].append(scene.window(server, INFER, payload, concurrency, size.seconds))
    for name, taken in samples.items():
        figures.add(f"peers.{name}.rps_{case}", median(one.outcome.rate for one in taken), "req/s")
        figures.add(f"peers.{name}.p50_ms_{case}", median(one.outcome.p50_ms for one in taken), "ms")
        figures.add(f"peers.{name}.cpu_ms_{case}", median(one.cpu_ms for one in taken), "ms")


def _await_answer(scene: Scene, server: Standing) -> None:
    """Until it answers."""
    request, end = scene.payloads["packed-infer-1"].read_bytes(), time.monotonic() + START_SECONDS
    with grpc.insecure_channel(server.address) as channel:
        call = channel.unary_unary(INFER)
        while True:
            try:
                call(request, timeout=5)
            except grpc.RpcError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.5)
            else:
                return
