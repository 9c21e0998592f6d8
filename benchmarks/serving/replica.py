"""A serving replica as a process of its own, on one core, and a registry that aspires one version for it."""

import asyncio
import json
import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import grpc.aio

from martlet.v1 import registry_pb2 as pb
from martlet.v1 import registry_pb2_grpc
from martlet.versions import AspiredModel, AspiredSet, AspiredVersion, Role
from martlet.wire.registry import aspired_message

LEASE_MS: Final = 600_000
POLL_SECONDS: Final = 0.05


class OneVersion(registry_pb2_grpc.RegistryServiceServicer):
    """Aspires one version, for ever, and takes whatever is reported."""

    def __init__(self, model: str, digest: str) -> None:
        versions = (AspiredVersion(1, digest, Role.HEAD, 0), AspiredVersion(1, digest, Role.PIN, 10_000))
        self._set = AspiredSet((AspiredModel(model, 1, 1, "salt", versions),), LEASE_MS)

    async def WatchAspired(
        self, _request: pb.WatchAspiredRequest, _context: object
    ) -> AsyncIterator[pb.WatchAspiredResponse]:
        """The set, then nothing new."""
        yield aspired_message(self._set)
        await asyncio.Event().wait()

    async def ReportReplica(self, _request: pb.ReportReplicaRequest, _context: object) -> pb.ReportReplicaResponse:
        """Taken."""
        return pb.ReportReplicaResponse()

    async def ReportMeasurements(
        self, _request: pb.ReportMeasurementsRequest, _context: object
    ) -> pb.ReportMeasurementsResponse:
        """Taken."""
        return pb.ReportMeasurementsResponse()


@dataclass(frozen=True)
class Replica:
    """A running replica."""

    process: "subprocess.Popen[bytes]"
    grpc_port: int
    metrics_port: int

    @property
    def address(self) -> str:
        """Where it answers."""
        return f"127.0.0.1:{self.grpc_port}"

    @property
    def resident_bytes(self) -> int:
        """Anonymous memory: its own, without the mapped tables."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.findall(r"RssAnon:\s+(\d+)", status)[0]) * 1024

    def metric(self, name: str) -> float:
        """The value of a metric with one series; NaN while it has none."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics") as reply:
            found = re.findall(rf"^{name}(?:{{.*}})? (\S+)$", reply.read().decode(), re.MULTILINE)
        return float(found[0]) if found else float("nan")


@asynccontextmanager
async def replica_of(model: str, digest: str, root: Path, settings: Mapping[str, str]) -> AsyncIterator[Replica]:
    """Starts a replica over the data directory `root`; this process and its registry keep to another core."""
    server = grpc.aio.server()
    registry_pb2_grpc.add_RegistryServiceServicer_to_server(OneVersion(model, digest), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    cores = sorted(os.sched_getaffinity(0))
    ports_file = root / "ports.json"
    ports_file.unlink(missing_ok=True)
    environment = {
        **os.environ,
        "MARTLET_DATA_DIR": str(root),
        "MARTLET_SERVING_REGISTRY": f"127.0.0.1:{port}",
        "MARTLET_SERVING_GRPC_PORT": "0",
        "MARTLET_SERVING_METRICS_PORT": "0",
        "MARTLET_LOG_LEVEL": "error",
        **settings,
    }
    command = [sys.executable, "-m", "serving_svc", "--ports-file", str(ports_file)]
    process = subprocess.Popen(  # noqa: ASYNC220  nothing else goes on yet; our own interpreter
        command, env=environment, stdout=subprocess.DEVNULL
    )
    os.sched_setaffinity(process.pid, cores[:1])
    try:
        while not ports_file.exists():
            if process.poll() is not None:
                raise RuntimeError(f"the replica ended with {process.returncode}")
            await asyncio.sleep(POLL_SECONDS)
        ports = json.loads(ports_file.read_text())
        yield Replica(process, int(ports["grpc_port"]), int(ports["metrics_port"]))
    finally:
        process.terminate()
        process.wait(60)
        await server.stop(0)
