"""A real Traefik before replicas, with the configuration of `deploy/traefik`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final
from urllib.request import urlopen

import yaml

from tests.servers.process import ServerProcess, free_port, listens, program

CONFIGURATION: Final = Path(__file__).parents[2] / "deploy" / "traefik"


class Traefik:
    """The proxy, on ports of its own.

    Args:
        serving: host:port of the replicas.
        canary: of replicas that get a share of 100 by weight.
    """

    def __init__(self, folder: Path, serving: Sequence[str], canary: Sequence[str] = (), weight: int = 10) -> None:
        self.port, self._metrics_port = free_port(), free_port()
        file = folder / "traefik.yaml"
        file.write_text(yaml.safe_dump(self._configuration()))
        told = {
            "MARTLET_SERVING": ",".join(serving),
            "MARTLET_SERVING_CANARY": ",".join(canary),
            "MARTLET_CANARY_WEIGHT": str(weight),
        }
        command = [program("traefik"), f"--configFile={file}"]
        self._process = ServerProcess(command, folder / "traefik.log", lambda: listens(self.port), told)

    def _configuration(self) -> dict[str, Any]:
        found: dict[str, Any] = yaml.safe_load((CONFIGURATION / "traefik.yaml").read_text())
        found["entryPoints"]["grpc"]["address"] = f"127.0.0.1:{self.port}"
        found["entryPoints"]["metrics"]["address"] = f"127.0.0.1:{self._metrics_port}"
        found["providers"]["file"]["directory"] = str(CONFIGURATION / "dynamic")
        return found

    def start(self) -> None:
        """Starts it and waits until it takes connections."""
        self._process.start()

    def stop(self) -> None:
        """Ends it, without the seconds that it would give its callers."""
        self._process.kill()

    def counted(self, name: str, **labels: str) -> float:
        """A metric's sum over the series that bear these labels."""
        with urlopen(f"http://127.0.0.1:{self._metrics_port}/metrics") as page:
            lines = page.read().decode().splitlines()
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        chosen = (line for line in lines if line.startswith(f"{name}{{") and all(one in line for one in wanted))
        return sum(float(line.rpartition(" ")[2]) for line in chosen)
