"""Podman, as the tests drive it: found, set up for this machine, run with a limit of time."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

RUNTIME: Final = Path(__file__).parent / "clamping_runtime.py"
CAP_SYS_RESOURCE: Final = 24
SECONDS: Final = 60.0
CONFIGURATION: Final = """\
[engine]
runtime = "clamped"
cgroup_manager = "cgroupfs"
events_logger = "file"
[engine.runtimes]
clamped = ["{program}"]
"""


class ContainerError(Exception):
    """A command of podman failed, or took too long; the message holds what it said."""


@dataclass(frozen=True, slots=True)
class Podman:
    """The program, and what its environment needs beside this process's own.

    Every container of the tests bears the label `LABEL`.
    """

    program: str
    environment: Mapping[str, str] = field(default_factory=dict)

    def run(self, *arguments: str, timeout: float = SECONDS) -> str:
        """Runs `podman ARGUMENTS` and gives its standard output.

        Raises:
            ContainerError: its exit code was not 0, or it took longer than `timeout` seconds.
        """
        done = self.attempt(*arguments, timeout=timeout)
        if done.returncode != 0:
            raise ContainerError(f"podman {' '.join(arguments)}: exit code {done.returncode}\n{done.stderr[-4000:]}")
        return done.stdout

    def attempt(self, *arguments: str, timeout: float = SECONDS) -> subprocess.CompletedProcess[str]:
        """As `run`, but gives output, error output and exit code whatever it was.

        Raises:
            ContainerError: it took longer than `timeout` seconds.
        """
        return run_program([self.program, *arguments], self.environment, timeout)


def run_program(
    command: Sequence[str], environment: Mapping[str, str], timeout: float, folder: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs a program to its end, with `environment` beside this process's own, in `folder`.

    Raises:
        ContainerError: it took longer than `timeout` seconds.
    """
    try:
        return subprocess.run(
            command,
            env={**os.environ, **environment},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        said = (late.stderr or b"")[-2000:]
        raise ContainerError(f"{' '.join(command)}: not done after {timeout:g} s\n{said!r}") from late


def engine() -> Podman:
    """Podman of this machine.

    Raises:
        FileNotFoundError: it is not installed.
    """
    program = shutil.which("podman")
    if program is None:
        raise FileNotFoundError("no podman on this machine: see docs/images.md for the packages that the tests need")
    if os.geteuid() != 0 or _may_raise_limits():
        return Podman(program)
    return Podman(program, {"CONTAINERS_CONF": str(_clamped(cache_folder()))})


def cache_folder() -> Path:
    """What outlives a test run and is shared by all on this machine, as podman's images are."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "martlet-containers"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _may_raise_limits() -> bool:
    """Whether this process has CAP_SYS_RESOURCE."""
    lines = Path("/proc/self/status").read_text().splitlines()
    capabilities = next(line.split()[1] for line in lines if line.startswith("CapEff:"))
    return bool(int(capabilities, 16) >> CAP_SYS_RESOURCE & 1)


def _clamped(folder: Path) -> Path:
    """The configuration that puts `clamping_runtime` before runc. Podman wants one program, without arguments.

    The program is copied: containers that a killed run has left can be removed by any later one.
    """
    copy, program, configuration = folder / RUNTIME.name, folder / "clamping-runtime", folder / "containers.conf"
    _write(copy, RUNTIME.read_text())
    _write(program, f'#!/bin/sh\nexec {sys.executable} {copy} "$@"\n')
    _write(configuration, CONFIGURATION.format(program=program))
    return configuration


def _write(path: Path, text: str) -> None:
    """In one step, for another process may be reading it."""
    if path.exists() and path.read_text() == text:
        return
    part = path.with_name(f"{path.name}.{os.getpid()}")
    part.write_text(text)
    part.chmod(0o755)
    part.replace(path)
