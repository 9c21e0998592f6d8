"""The same drive against MLServer: new versions of a model under load, one in ten broken, as its API has it."""

import asyncio
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import grpc.aio

from benchmarks.figures import Figures
from benchmarks.serving.peer_servers import MlserverModel, mlserver
from benchmarks.serving.stage import SERVER_CORE, Versions, infer_request, packed_model
from benchmarks.serving.swap_versions import made_up_probe
from benchmarks.serving.watching_load import METHOD, WatchingLoad
from benchmarks.serving.whole_onnx import write_whole
from martlet.artifacts import FolderStore

RATE: Final = 500.0
DISTINCT: Final = 5
ONE_IN: Final = 10
BUCKETS: Final = 1 << 14
LOAD_METHOD: Final = "/inference.GRPCInferenceService/RepositoryModelLoad"
PATIENCE: Final = 60.0


def mlserver_swaps(figures: Figures, swaps: int, pause: float, *, in_thread: bool) -> None:
    """Loads so many versions, one after the other; what the load saw meanwhile."""
    with tempfile.TemporaryDirectory(prefix="martlet-peer-") as name:
        folder = Path(name)
        versions = Versions(packed_model(), folder, BUCKETS)
        files = []
        for number in range(DISTINCT):
            versions.learn(5, 128)
            files.append(folder / f"{number}.onnx")
            write_whole(versions.snapshot(), FolderStore(folder / "artifacts"), files[-1])
        (folder / "broken.onnx").write_bytes(b"this is no model")
        request = folder / "request.bin"
        request.write_bytes(infer_request(versions.model, made_up_probe(versions.model)))
        served = folder / "models"
        served.mkdir()
        with mlserver(served, versions.model.name, files[0], in_thread=in_thread) as (server, model):
            asyncio.run(_drive(figures, server.address, model, request, files, folder / "broken.onnx", swaps, pause))


async def _drive(
    figures: Figures,
    address: str,
    model: MlserverModel,
    request: Path,
    files: Sequence[Path],
    broken: Path,
    swaps: int,
    pause: float,
) -> None:
    async with grpc.aio.insecure_channel(address) as channel:
        infer: Any = channel.unary_unary(METHOD)
        load_model: Any = channel.unary_unary(LOAD_METHOD)
        await _ready(infer, request.read_bytes())
        load = WatchingLoad(address, request, RATE, 1 - SERVER_CORE)
        await asyncio.sleep(2.0)
        steady = time.monotonic()
        await asyncio.sleep(5.0)
        begun = time.monotonic()
        for number in range(swaps):
            is_broken = number % ONE_IN == ONE_IN - 1
            model.point_to(broken if is_broken else files[number % len(files)], str(number + 2))
            try:
                await load_model(_load_request(model.name), timeout=30)
            except grpc.aio.AioRpcError:
                if not is_broken:
                    print(f"MLServer refuses swap {number}", flush=True)  # noqa: T201
            await asyncio.sleep(pause)
        ended = time.monotonic()
        seen = await asyncio.to_thread(load.end)
    p99_steady, p99 = seen.quantile_ms(0.99, steady, begun), seen.quantile_ms(0.99, begun, ended)
    name = "peers.mlserver_threaded" if model.in_thread else "peers.mlserver"
    figures.add(f"{name}.swaps", swaps, "swaps")
    figures.add(f"{name}.swap_requests", sum(seen.codes.values()), "requests")
    figures.add(f"{name}.swap_failed_requests", seen.failed, "requests")
    figures.add(f"{name}.swap_p99_steady_ms", p99_steady, "ms")
    figures.add(f"{name}.swap_p99_ms", p99, "ms")


def _load_request(model: str) -> bytes:
    """A RepositoryModelLoadRequest: `model_name` is its field 2. Martlet's own protocol has no such call."""
    name = model.encode()
    return bytes([2 << 3 | 2, len(name)]) + name


async def _ready(infer: Any, request: bytes) -> None:
    """Until the server answers."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            await infer(request, timeout=5)
        except grpc.aio.AioRpcError:
            if time.monotonic() > end:
                raise
            await asyncio.sleep(0.2)
        else:
            return


if __name__ == "__main__":
    for way in (False, True):
        mlserver_swaps(Figures(), 100, 0.05, in_thread=way)
