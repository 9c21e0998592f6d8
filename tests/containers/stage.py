"""Containers of one test, on a network of their own; all of it is gone when the test is over, however it ends."""

import secrets
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Final, Self

from tests.containers.podman import Podman

READY_SECONDS: Final = 120.0
HARDENED: Final = ("--read-only", "--cap-drop=all", "--security-opt=no-new-privileges")


class Container:
    """One that was started."""

    def __init__(self, podman: Podman, name: str) -> None:
        self._podman = podman
        self.name = name

    def port(self, inside: int) -> int:
        """Where a published port is on loopback."""
        return int(self._podman.run("port", self.name, f"{inside}/tcp").strip().rpartition(":")[2])

    def address(self, inside: int) -> str:
        """The same for clients."""
        return f"127.0.0.1:{self.port(inside)}"

    def logs(self) -> str:
        """What it wrote to both outputs."""
        done = self._podman.attempt("logs", self.name)
        return done.stdout + done.stderr

    def pid(self) -> int:
        """Its first process, as this machine knows it."""
        return int(self._podman.run("inspect", "--format", "{{.State.Pid}}", self.name))

    def signal(self, name: str) -> None:
        """To its first process. Returns when the signal has been sent."""
        self._podman.run("kill", "--signal", name, self.name)

    def exit_code(self, timeout: float = 60.0) -> int:
        """Waits for its end."""
        return int(self._podman.run("wait", self.name, timeout=timeout).strip())

    def ready(self, metrics_port: int) -> None:
        """Waits until it says that it can serve.

        Raises:
            TimeoutError: it did not, in two minutes; the message has its log.
        """
        url, until = f"http://{self.address(metrics_port)}/ready", time.monotonic() + READY_SECONDS
        while not _is_ready(url):
            if time.monotonic() > until:
                raise TimeoutError(f"{self.name} is not ready:\n{self.logs()[-4000:]}")
            time.sleep(0.1)


class Stage:
    """Starts containers that find each other by name; `with Stage(podman) as stage`."""

    def __init__(self, podman: Podman) -> None:
        self._podman = podman
        self._tag = f"martlet-test-{secrets.token_hex(4)}"
        self._containers: list[str] = []
        self._volumes: list[str] = []

    def __enter__(self) -> Self:
        self._podman.run("network", "create", self._tag)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name in reversed(self._containers):
            self._podman.attempt("rm", "--force", "--volumes", "--time", "0", name)
        for volume in self._volumes:
            self._podman.attempt("volume", "rm", "--force", volume)
        self._podman.attempt("network", "rm", "--force", self._tag)

    def volume(self) -> str:
        """A new one."""
        self._volumes.append(f"{self._tag}-{len(self._volumes)}")
        self._podman.run("volume", "create", self._volumes[-1])
        return self._volumes[-1]

    def start(
        self, image: str, alias: str, settings: Mapping[str, str], ports: Sequence[int] = (), *options: str
    ) -> Container:
        """Starts a service as production does: nothing may be written but its volume and /tmp, no capabilities."""
        name = f"{self._tag}-{alias}"
        self._containers.append(name)
        published = [f"--publish=127.0.0.1::{port}" for port in ports]
        environment = [f"--env={key}={value}" for key, value in settings.items()]
        network = [f"--network={self._tag}", f"--network-alias={alias}"]
        self._podman.run(
            "run", "--detach", "--name", name, *HARDENED, *network, *published, *environment, *options, image
        )
        return Container(self._podman, name)


def _is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
