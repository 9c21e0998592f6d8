"""Martlet's three services as processes of their own, on free ports."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

START_SECONDS = 60.0
STOP_SECONDS = 30.0


@dataclass(slots=True)
class Service:
    """A running service."""

    name: str
    process: "subprocess.Popen[bytes]"
    grpc_port: int
    metrics_port: int

    @property
    def address(self) -> str:
        """Where it answers."""
        return f"127.0.0.1:{self.grpc_port}"

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_SECONDS)

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.wait(STOP_SECONDS)


class Services:
    """Starts services that share a data directory; logs go to `<folder>/<service>.log`.

    Args:
        settings: MARTLET_* variables beside those that are set here.
        modules: {service: the module that runs it}, where it is not its own.
    """

    def __init__(self, folder: Path, settings: dict[str, str], modules: Mapping[str, str] | None = None) -> None:
        self._modules = dict(modules or {})
        self._folder = folder
        self._settings = settings
        self._ports: dict[str, int] = {}
        self.running: dict[str, Service] = {}

    def start(self, name: str) -> Service:
        """Starts `registry`, `serving` or `trainer` and waits until its ports are bound.

        A service that is started again gets its old ports, so that others find it.

        Raises:
            RuntimeError: it ended, or did not bind in time; the message has the end of its log.
        """
        ports_file = self._folder / f"{name}.ports"
        ports_file.unlink(missing_ok=True)
        log = (self._folder / f"{name}.log").open("ab")
        command = [
            sys.executable,
            "-m",
            self._modules.get(name, f"{name}_svc"),
            "--data-dir",
            str(self._folder / "data"),
        ]
        process = subprocess.Popen(  # noqa: S603  our own modules
            [*command, "--ports-file", str(ports_file)], env=self._environment(name), stdout=log, stderr=log
        )
        log.close()
        end = time.monotonic() + START_SECONDS
        while not ports_file.exists():
            if process.poll() is not None or time.monotonic() > end:
                process.kill()
                raise RuntimeError(f"{name} did not start:\n{self.log_tail(name)}")
            time.sleep(0.02)
        ports = json.loads(ports_file.read_text())
        self._ports[f"{name}/grpc"], self._ports[f"{name}/metrics"] = ports["grpc_port"], ports["metrics_port"]
        service = Service(name, process, ports["grpc_port"], ports["metrics_port"])
        self.running[name] = service
        return service

    def log_tail(self, name: str) -> str:
        """The last lines that a service wrote."""
        return "\n".join((self._folder / f"{name}.log").read_text(errors="replace").splitlines()[-20:])

    def stop_all(self) -> None:
        """Stops what still runs: the trainer first, so that it commits what it has learned."""
        for name in ("trainer", "serving", "registry"):
            service = self.running.get(name)
            if service is not None and service.process.poll() is None:
                service.stop()

    def _environment(self, name: str) -> dict[str, str]:
        prefix = f"MARTLET_{name.upper()}"
        own = {
            f"{prefix}_GRPC_PORT": str(self._ports.get(f"{name}/grpc", 0)),
            f"{prefix}_METRICS_PORT": str(self._ports.get(f"{name}/metrics", 0)),
        }
        registry = self.running.get("registry")
        if registry is not None and name != "registry":
            own[f"{prefix}_REGISTRY"] = registry.address
        return {**os.environ, **self._settings, **own}
