"""Environments of other projects' clients: made once, kept under out/venvs, made anew when what they hold changes.

They cannot live in the environment of the tests: their protobuf is older, and their stubs have our package's name.
"""

import fcntl
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parents[2] / "out" / "venvs"


@dataclass(frozen=True, slots=True)
class Environment:
    """What pip installs.

    Attributes:
        requirements: with what they need.
        alone: without.
    """

    name: str
    requirements: tuple[str, ...]
    alone: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        """Where it is."""
        return FOLDER / self.name

    def python(self) -> Path:
        """Its interpreter; makes the environment if need be. Test processes wait for one another."""
        FOLDER.mkdir(parents=True, exist_ok=True)
        with (FOLDER / f"{self.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            stamp, held = self.folder / ".holds", repr(self)
            if not stamp.exists() or stamp.read_text() != held:
                self._make()
                stamp.write_text(held)
        return self._python

    @property
    def site_packages(self) -> Path:
        """Where its packages are."""
        return self.folder / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"

    @property
    def _python(self) -> Path:
        return self.folder / "bin" / "python"

    def _make(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(self.folder)], check=True)
        self._pip(*self.requirements)
        if self.alone:
            self._pip("--no-deps", *self.alone)

    def _pip(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "pip", "--python", str(self._python), "install", "--quiet"]
        options = ["--disable-pip-version-check", "--only-binary", ":all:"]
        done = subprocess.run([*command, *options, *arguments], capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"pip could not make the environment {self.name!r}:\n{done.stderr[-2000:]}")


TRITON: Final = Environment("triton", ("tritonclient[grpc]==2.73.0",))
PERF_ANALYZER: Final = Environment("perf_analyzer", ("tritonclient[grpc]==2.48.0", "nvidia-cuda-runtime-cu12==12.9.79"))
# Of KServe's SDK the gRPC client alone: the whole would be half a gigabyte.
KSERVE: Final = Environment(
    "kserve",
    (
        "grpcio==1.85.1",
        "protobuf>=6.33.5,<7",
        "numpy<3",
        "pandas<3",
        "psutil<6",
        "cloudevents<2",
        "fastapi<1",
        "orjson<4",
        "pyyaml<7",
        "httpx<1",
    ),
    alone=("kserve==0.21.0",),
)
