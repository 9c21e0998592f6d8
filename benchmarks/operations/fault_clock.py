"""`python -m benchmarks.operations.fault_clock FILE MODULE ARGUMENT ...`: a service whose wall clock can be set wrong.

FILE holds by how many seconds. Every wall time that Martlet takes is `SystemClock.now_us`, and that is what moves: time
stamps, leases in the catalog, event time. The monotonic clock goes on, as it does on a machine whose time is set.
Clocks inside libraries are not moved. (libfaketime moves those too, but Python's `time.sleep` then fails.)
"""

import runpy
import sys
import time
from pathlib import Path
from typing import Final

from martlet.clock import SystemClock

LOOK_S: Final = 0.2


class WrongClock:
    """Reads the file now and then."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._looked = float("-inf")
        self._ahead_us = 0

    def now_us(self) -> int:
        """Microseconds since 1970-01-01 UTC, and so many more."""
        if time.monotonic() >= self._looked + LOOK_S:
            self._looked = time.monotonic()
            self._ahead_us = read_jump(self._file)
        return time.time_ns() // 1000 + self._ahead_us


def read_jump(file: Path) -> int:
    """Microseconds; 0 without a file."""
    try:
        return int(float(file.read_text()) * 1e6)
    except (OSError, ValueError):
        return 0


def write_jump(file: Path, seconds: float) -> None:
    """From about now on."""
    part = file.with_suffix(".part")
    part.write_text(str(seconds))
    part.replace(file)


def main(arguments: list[str]) -> None:
    """Runs the module as if it had been run itself."""
    file, module = Path(arguments[0]), arguments[1]
    wrong = WrongClock(file)
    setattr(SystemClock, "now_us", lambda _clock: wrong.now_us())  # noqa: B010  the fault itself
    sys.argv = [module, *arguments[2:]]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(sys.argv[1:])
