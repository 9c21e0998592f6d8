"""Other servers, each in an environment of its own and with its process ended afterwards."""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

VENVS: Final = Path("out/bench/venvs")
MODELS_OF_PEERS: Final = Path(__file__).parent / "conformance_peers"

Tensor = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Peer:
    """A server to compare with: what pip installs for it, separated by spaces."""

    name: str
    requirement: str

    @property
    def python(self) -> Path:
        """The interpreter of its environment."""
        return VENVS.resolve() / self.name / "bin" / "python"

    @property
    def is_installed(self) -> bool:
        """Whether the environment holds just this requirement."""
        stamp = self._stamp
        return stamp.exists() and stamp.read_text() == self.requirement

    def install(self) -> None:
        """Makes the environment, unless it is there."""
        if self.is_installed:
            return
        shutil.rmtree(VENVS / self.name, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", str(VENVS / self.name)], check=True)
        pip = [
            str(self.python),
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--only-binary",
            ":all:",
        ]
        subprocess.run([*pip, *self.requirement.split()], check=True)
        self._stamp.write_text(self.requirement)

    @property
    def _stamp(self) -> Path:
        return VENVS / self.name / ".installed"


MLSERVER: Final = Peer("mlserver", "mlserver==1.7.1")
KSERVE: Final = Peer("kserve", "kserve==0.21.0")


@contextmanager
def mlserver(folder: Path, models: Mapping[str, Sequence[Tensor]]) -> Iterator[str]:
    """MLServer with the echo models, in one process; gives its gRPC address."""
    ports = free_ports(3)
    settings = {"host": "127.0.0.1", "http_port": ports[0], "grpc_port": ports[1], "metrics_port": ports[2]}
    (folder / "settings.json").write_text(json.dumps({**settings, "parallel_workers": 0}))
    shutil.copy(MODELS_OF_PEERS / "mlserver_echo.py", folder)
    for name, tensors in models.items():
        (folder / name).mkdir()
        told = {
            "name": name,
            "implementation": "mlserver_echo.Echo",
            "platform": "python_echo",
            "versions": ["1"],
            "inputs": list(tensors),
            "outputs": [{**tensor, "name": f"{tensor['name']}_out"} for tensor in tensors],
            "parameters": {"version": "1"},
        }
        (folder / name / "model-settings.json").write_text(json.dumps(told))
    command = [str(MLSERVER.python.parent / "mlserver"), "start", str(folder)]
    with running(command, folder, {"PYTHONPATH": str(folder)}):
        yield f"127.0.0.1:{ports[1]}"


@contextmanager
def kserve(folder: Path, models: Mapping[str, Sequence[Tensor]]) -> Iterator[str]:
    """KServe's model server with the echo models; gives its gRPC address."""
    ports = free_ports(2)
    (folder / "models.json").write_text(json.dumps(models))
    script = str(MODELS_OF_PEERS.resolve() / "kserve_echo.py")
    options = [f"--http_port={ports[0]}", f"--grpc_port={ports[1]}", "--workers=1"]
    command = [str(KSERVE.python), script, str(folder / "models.json"), *options]
    with running(command, folder, {}):
        yield f"127.0.0.1:{ports[1]}"


@contextmanager
def running(command: Sequence[str], folder: Path, settings: Mapping[str, str]) -> Iterator[int]:
    """A process, ended at the end; gives its id. What it says goes to server.log."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, env={**environment, **settings}, stdout=log, stderr=log)
        try:
            yield process.pid
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def free_ports(count: int) -> list[int]:
    """Ports that are free now."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [int(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return ports
