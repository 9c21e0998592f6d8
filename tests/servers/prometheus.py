"""A real Prometheus and a real Alertmanager, each on a folder and a port of its own (Debian's packages)."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import yaml

from tests.servers.process import ServerProcess, free_port


def installed(name: str) -> str:
    """Where a program of Debian's `prometheus` or `prometheus-alertmanager` stands.

    Raises:
        FileNotFoundError: the packages are not installed.
    """
    found = shutil.which(name)
    if found is None:
        raise FileNotFoundError(f"no {name}: apt-get install prometheus prometheus-alertmanager")
    return found


class PrometheusServer:
    """Args: `settings` is prometheus.yml as a document."""

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self.port = free_port()
        folder.mkdir(parents=True, exist_ok=True)
        written = folder / "prometheus.yml"
        written.write_text(yaml.safe_dump(dict(settings)))
        command = [
            installed("prometheus"),
            f"--config.file={written}",
            f"--storage.tsdb.path={folder / 'tsdb'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
        ]
        self._process = ServerProcess(command, folder / "log", lambda: is_ready(self.port))
        self.start = self._process.start
        self.stop = self._process.stop

    def query(self, expression: str) -> list[dict[str, Any]]:
        """An instant query's result, now. Raises what the server says of a bad one."""
        return list(self._asked("query", query=expression)["result"])

    def firing(self) -> dict[str, dict[str, Any]]:
        """The alerts that fire now, by name."""
        alerts = self._asked("alerts")["alerts"]
        return {alert["labels"]["alertname"]: alert for alert in alerts if alert["state"] == "firing"}

    def unhealthy_rules(self) -> list[str]:
        """Rules whose last evaluation failed, with the reason."""
        groups = self._asked("rules")["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        return [f"{rule['name']}: {rule.get('lastError', '')}" for rule in rules if rule["health"] == "err"]

    def _asked(self, what: str, **arguments: str) -> dict[str, Any]:
        with urlopen(f"http://127.0.0.1:{self.port}/api/v1/{what}?{urlencode(arguments)}", timeout=20) as reply:
            return dict(json.load(reply)["data"])


class AlertmanagerServer:
    """Args: `settings` is alertmanager.yml as a document."""

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self.port = free_port()
        folder.mkdir(parents=True, exist_ok=True)
        written = folder / "alertmanager.yml"
        written.write_text(yaml.safe_dump(dict(settings)))
        command = [
            installed("prometheus-alertmanager"),
            f"--config.file={written}",
            f"--storage.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--cluster.listen-address=",
        ]
        self._process = ServerProcess(command, folder / "log", lambda: is_ready(self.port))
        self.start = self._process.start
        self.stop = self._process.stop


def is_ready(port: int) -> bool:
    """Whether the server there says that it can work."""
    try:
        with urlopen(f"http://127.0.0.1:{port}/-/ready", timeout=2) as reply:
            return bool(reply.status == 200)
    except OSError:
        return False
