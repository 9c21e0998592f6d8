"""The peers with an ONNX model, each in its own environment, pinned to the server's core."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.serving.conformance_servers import Peer, free_ports, running
from benchmarks.serving.stage import SERVER_CORE, descendants

MODELS: Final = Path(__file__).parent / "peer_models"
MLSERVER: Final = Peer("mlserver-onnx", "mlserver==1.7.1 onnxruntime==1.32.0")
KSERVE: Final = Peer("kserve-onnx", "kserve==0.21.0 onnxruntime==1.32.0")
PINNED: Final = ["taskset", "-c", str(SERVER_CORE)]


@dataclass(frozen=True, slots=True)
class PeerServer:
    """A started peer."""

    address: str
    pid: int

    def pids(self) -> list[int]:
        """The process and all that it started."""
        return [self.pid, *descendants(self.pid)]


@dataclass(frozen=True, slots=True)
class MlserverModel:
    """A model folder of MLServer. `in_thread`: its sessions are made beside the event loop."""

    folder: Path
    name: str
    in_thread: bool

    def point_to(self, path: Path, version: str) -> None:
        """Says that this version of the model is this file; MLServer reads it when it is told to load."""
        settings = {
            "name": self.name,
            "implementation": "mlserver_onnx.Onnx",
            "parameters": {"uri": str(path), "version": version, "extra": {"in_thread": self.in_thread}},
        }
        (self.folder / self.name).mkdir(exist_ok=True)
        (self.folder / self.name / "model-settings.json").write_text(json.dumps(settings))


@contextmanager
def mlserver(
    folder: Path, name: str, path: Path, *, in_thread: bool = False
) -> Iterator[tuple[PeerServer, MlserverModel]]:
    """MLServer in one process with version "1" of a model, and the model's folder.

    `in_thread`: sessions are made beside the event loop.
    """
    MLSERVER.install()
    ports = free_ports(3)
    settings = {"host": "127.0.0.1", "http_port": ports[0], "grpc_port": ports[1], "metrics_port": ports[2]}
    (folder / "settings.json").write_text(json.dumps({**settings, "parallel_workers": 0, "debug": False}))
    shutil.copy(MODELS / "mlserver_onnx.py", folder)
    model = MlserverModel(folder, name, in_thread)
    model.point_to(path, "1")
    command = [*PINNED, str(MLSERVER.python.parent / "mlserver"), "start", str(folder)]
    with running(command, folder, {"PYTHONPATH": str(folder)}) as pid:
        yield PeerServer(f"127.0.0.1:{ports[1]}", pid), model


@contextmanager
def kserve(folder: Path, name: str, path: Path) -> Iterator[PeerServer]:
    """KServe's model server in one process."""
    KSERVE.install()
    ports = free_ports(2)
    options = [f"--http_port={ports[0]}", f"--grpc_port={ports[1]}", "--workers=1"]
    script = str((MODELS / "kserve_onnx.py").resolve())
    command = [*PINNED, str(KSERVE.python), script, str(path), name, *options]
    with running(command, folder, {}) as pid:
        yield PeerServer(f"127.0.0.1:{ports[1]}", pid)
