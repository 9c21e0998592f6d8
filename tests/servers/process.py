"""A server as a child process: a free port, a folder of its own, ends with the test."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

START_SECONDS: Final = 60.0
PAUSE_SECONDS: Final = 1.0
TRIES: Final = 3  # for a port that was free when it was asked for, and is not any more
TAKEN: Final = "address already in use"
# It dies with the thread that started it, so that tests that are killed leave no server. Told by a program, not between
# fork and exec: Python's own code there crashes now and then in a process with gRPC's threads.
DIES_ALONG: Final = ("setpriv", "--pdeathsig", "KILL")


def free_port() -> int:
    """A port that nothing listens on now."""
    with socket.socket() as asking:
        asking.bind(("127.0.0.1", 0))
        return int(asking.getsockname()[1])


def program(name: str) -> str:
    """Where a program stands that a package has brought.

    Raises:
        FileNotFoundError: the development packages are not installed.
    """
    folder = sysconfig.get_path("scripts")
    found = shutil.which(name, path=folder) or shutil.which(name, path=str(Path(sys.executable).parent))
    if found is None:
        raise FileNotFoundError(f"no {name} in {folder}: install the extra 'dev'")
    return found


class ServerProcess:
    """Starts, and can be killed and started again on the same folder and port."""

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        answers: Callable[[], bool],
        environment: Mapping[str, str] | None = None,
        user: str | None = None,
    ) -> None:
        self._command = command
        self._log = log
        self._answers = answers
        self._environment = {**os.environ, **(environment or {})}
        self._user = user
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it and waits until it answers; one whose port was taken gets another try.

        Raises:
            RuntimeError: it does not come to answer; with the end of what it said.
        """
        for _ in range(TRIES):
            said = self._log.stat().st_size if self._log.exists() else 0
            if self._started():
                return
            told = self._log.read_bytes()[said:].decode(errors="replace")
            self._end(signal.SIGKILL)
            if TAKEN not in told.lower():
                break
            time.sleep(PAUSE_SECONDS)
        raise RuntimeError(f"{self._command[0]} does not answer:\n{told[-2000:]}")

    def _started(self) -> bool:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*DIES_ALONG, *self._command],
                stdout=log,
                stderr=log,
                env=self._environment,
                user=self._user,
                group=self._user and "nogroup",
                cwd=self._log.parent,
                start_new_session=True,
            )
        until = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > until:
                return False
            time.sleep(0.05)
        return True

    def kill(self) -> None:
        """Ends it as a crash would."""
        self._end(signal.SIGKILL)

    def send(self, number: signal.Signals) -> None:
        """Sends a signal to it and the processes that it has started, if it runs."""
        if self._process is None:
            return
        for pid in (self._process.pid, *_children(self._process.pid)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def stop(self) -> None:
        """Ends it in order."""
        self._end(signal.SIGINT)

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(number)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None


def _children(pid: int) -> list[int]:
    return [int(child) for path in Path(f"/proc/{pid}/task").glob("*/children") for child in path.read_text().split()]


def listens(port: int) -> bool:
    """Whether something takes connections there."""
    with socket.socket() as asking:
        asking.settimeout(0.5)
        return asking.connect_ex(("127.0.0.1", port)) == 0
