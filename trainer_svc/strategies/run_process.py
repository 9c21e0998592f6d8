"""The process of a run: a child that gives way, and ends when its parent does."""

import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Final

END_SECONDS: Final = 10.0


class ChildProcess:
    """A run's process. Its standard input is a pipe from this one: when that closes, however it does, it ends."""

    def __init__(self, command: Sequence[str]) -> None:
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)  # noqa: S603

    def poll(self) -> int | None:
        """See `RunProcess`."""
        code = self._process.poll()
        if code is not None and self._process.stdin is not None:
            self._process.stdin.close()
        return code

    def end(self) -> None:
        """See `RunProcess`. What it had learned is in its journal."""
        self._process.terminate()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self.poll()


def launcher(options: Sequence[str]) -> Callable[[str], ChildProcess]:
    """Starts runs by the names of their folders; `options` lead them to the trainer's own settings."""

    def launch(name: str) -> ChildProcess:
        return ChildProcess([sys.executable, "-m", "trainer_svc", "retrain", *options, "--run", name])

    return launch
