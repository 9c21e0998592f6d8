"""Another's learner as a process beside this one, in an environment that is made when it is first wanted."""

import json
import os
import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

ENVIRONMENTS: Final = Path("out/bench/venvs")
SCRIPTS: Final = Path(__file__).parent / "rivals"


@dataclass(frozen=True, slots=True)
class Rival:
    """What to install and run.

    Attributes:
        name: its environment's and its script's.
        requirements: for pip, as they stand on its command line.
        shares: whether it also sees this interpreter's packages: torch need not be installed twice.
    """

    name: str
    requirements: tuple[str, ...]
    shares: bool = False


FBGEMM: Final = Rival("fbgemm_deepfm", ("--no-deps", "fbgemm_gpu_cpu==1.8.0"), shares=True)
RIVER: Final = Rival("river_ftrl", ("river==0.26.1",))
VW: Final = Rival("vw_ftrl", ("vowpalwabbit==9.11.9", "numpy"))


@dataclass(frozen=True, slots=True)
class Round:
    """One pass over the examples, in seconds."""

    wall: float
    cpu: float


NEVER: Final = Round(float("nan"), float("nan"))


class Runner:
    """A rival at work. A rival that cannot be installed or run gives rounds that never happened."""

    def __init__(self, rival: Rival, examples: Path, batch: int) -> None:
        self._process = _started(rival, examples, batch)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _at: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()

    def round(self) -> Round:
        """Lets it learn all examples once."""
        process = self._process
        if process is None or process.stdin is None or process.stdout is None or process.poll() is not None:
            return NEVER
        process.stdin.write("\n")
        process.stdin.flush()
        line = process.stdout.readline()
        return Round(*json.loads(line)) if line else NEVER


def _started(rival: Rival, examples: Path, batch: int) -> subprocess.Popen[str] | None:
    python = environment(rival)
    if python is None:
        return None
    process = subprocess.Popen(  # noqa: S603  our own script
        [python, f"{rival.name}.py", examples.resolve(), str(batch)],
        cwd=SCRIPTS,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
    )
    assert process.stdout is not None
    while line := process.stdout.readline():
        if line == "ready\n":
            return process
    print(f"{rival.name} does not run here", file=sys.stderr)  # noqa: T201
    process.wait()
    return None


def environment(rival: Rival) -> Path | None:
    """The interpreter of the rival's environment, made if need be; None if that fails."""
    folder = ENVIRONMENTS / rival.name
    python, whole = (folder / "bin" / "python").absolute(), folder / ".whole"
    if whole.exists() and whole.read_text() == " ".join(rival.requirements):
        return python
    try:
        venv.create(folder, with_pip=True, clear=True)
        if rival.shares:
            site = next(folder.glob("lib/python*/site-packages"))
            (site / "shared.pth").write_text(sysconfig.get_path("purelib") + "\n")
        install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *rival.requirements]
        subprocess.run(install, check=True, capture_output=True, text=True)  # noqa: S603
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"{rival.name} cannot be installed: {getattr(error, 'stderr', '') or error}", file=sys.stderr)  # noqa: T201
        return None
    whole.write_text(" ".join(rival.requirements))
    return python
