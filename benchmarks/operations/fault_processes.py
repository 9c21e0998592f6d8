"""The processes that faults befall: Martlet's services under a keeper that restarts them, each on a disk of its own."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benchmarks.operations.fault_laws import Memory
from tests.servers.process import DIES_ALONG, free_port

CLOCK: Final = "benchmarks.operations.fault_clock"
RESTART_S: Final = 1.0
STOP_S: Final = 40.0
DISK_MB: Final = 512


class Disk:
    """A small file system in memory, so that it can be full without harm to anybody else. Needs to be root."""

    def __init__(self, folder: Path, megabytes: int = DISK_MB) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        size = f"size={megabytes}m,mode=755"
        subprocess.run(["mount", "-t", "tmpfs", "-o", size, "martlet-faults", folder], check=True)  # noqa: S603, S607

    def fill(self) -> None:
        """Takes what is free. Again and again: what others give back is free otherwise."""
        room = os.statvfs(self.folder)
        free = room.f_bavail * room.f_frsize
        if not free:
            return
        ballast = os.open(self._ballast, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        try:
            with contextlib.suppress(OSError):  # somebody was faster
                os.posix_fallocate(ballast, os.fstat(ballast).st_size, free)
        finally:
            os.close(ballast)

    def free(self) -> None:
        """Gives it back."""
        self._ballast.unlink(missing_ok=True)

    def remove(self) -> None:
        """Unmounts it; what stands on it is gone."""
        subprocess.run(["umount", "-l", self.folder], check=False)  # noqa: S603, S607

    @property
    def _ballast(self) -> Path:
        return self.folder / ".ballast"


@dataclass(slots=True)
class Ended:
    """An end that nobody asked for."""

    at_s: float
    code: int
    says: str


@dataclass(slots=True)
class ServiceProcess:
    """One service. It has the same ports in each of its lives.

    Attributes:
        clock: a file that says how wrong its clock is.
        held: the keeper lets it lie.
        ended: how it ended when no fault had killed it.
        lives: resident memory of each of its lives.
    """

    name: str
    module: str
    data: Path
    folder: Path
    settings: Mapping[str, str]
    clock: Path | None = None
    grpc_port: int = field(default_factory=free_port)
    metrics_port: int = field(default_factory=free_port)
    process: "subprocess.Popen[bytes] | None" = None
    held: bool = False
    ended: list[Ended] = field(default_factory=list)
    lives: list[Memory] = field(default_factory=list)
    started: float = 0.0

    @property
    def address(self) -> str:
        """Where it answers, with no fault between."""
        return f"127.0.0.1:{self.grpc_port}"

    def start(self) -> None:
        """Starts it; does not wait."""
        section = f"MARTLET_{self.module.removesuffix('_svc').upper()}"
        ports = {f"{section}_GRPC_PORT": str(self.grpc_port), f"{section}_METRICS_PORT": str(self.metrics_port)}
        module = [CLOCK, str(self.clock), self.module] if self.clock is not None else [self.module]
        command = [*DIES_ALONG, sys.executable, "-m", *module, "--data-dir", str(self.data)]
        self.started = time.monotonic()
        self.lives.append(Memory())
        with (self.folder / f"{self.name}.log").open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603  our own modules
                [*command, "--ports-file", str(self.folder / f"{self.name}.ports")],
                env={**os.environ, **self.settings, **ports},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def keep(self, now_s: float) -> None:
        """Starts it again if it has ended and nothing holds it."""
        if self.held or self.process is None or self.process.poll() is None:
            return
        if time.monotonic() < self.started + RESTART_S:
            return
        self.ended.append(Ended(now_s, self.process.returncode, self.log_tail(3)))
        self.start()

    def send(self, number: signal.Signals) -> None:
        """Sends one, if it lives."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)

    def kill(self) -> None:
        """As a crash would."""
        self.send(signal.SIGKILL)
        if self.process is not None:
            self.process.wait(STOP_S)

    def stop(self) -> int:
        """In order; the exit code."""
        self.held = True
        self.send(signal.SIGTERM)
        if self.process is None:
            return 0
        try:
            return self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait(STOP_S)

    def weigh(self, now_s: float) -> None:
        """Notes its resident memory."""
        if self.process is None or self.process.poll() is not None:
            return
        with contextlib.suppress(OSError, StopIteration, IndexError):
            lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
            kilobytes = next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))
            self.lives[-1].samples.append((now_s, kilobytes / 1024))

    def log_tail(self, lines: int) -> str:
        """The last lines that it wrote."""
        path = self.folder / f"{self.name}.log"
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:]) if path.exists() else ""
