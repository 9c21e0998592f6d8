"""`python -m martlet.runtime.probe SERVICE`: asks the service in this container whether it is ready; 0: it is.

For a container's health check. It finds port and TLS in the settings that the service itself has, and needs neither
gRPC nor a certificate: `/ready` is open to everybody (docs/security.md).
"""

import argparse
import ssl
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from martlet.errors import InvalidInput
from martlet.runtime.config import Config, RegistryConfig, ServingConfig, TrainerConfig, load_config

SERVICES: Final = ("serving", "registry", "trainer")
SECONDS: Final = 4.0


def ready_url(config: Config, service: str) -> str:
    """Where the service says whether it is ready.

    >>> ready_url(Config(), "registry")
    'http://127.0.0.1:8512/ready'
    """
    listening = _listening(config, service)
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(listening.host, listening.host)  # noqa: S104  not bound, asked
    scheme = "https" if config.tls.listens else "http"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{listening.metrics_port}/ready"


def _listening(config: Config, service: str) -> ServingConfig | RegistryConfig | TrainerConfig:
    if service == "serving":
        return config.serving
    return config.registry if service == "registry" else config.trainer


def is_ready(url: str) -> bool:
    """Whether the answer is 200. The certificate is not checked: it names the service, and this is its own host."""
    unchecked = ssl._create_unverified_context()  # noqa: S323, SLF001
    try:
        with urllib.request.urlopen(url, timeout=SECONDS, context=unchecked) as answer:  # noqa: S310  built above
            return bool(answer.status == 200)  # noqa: PLR2004
    except (urllib.error.URLError, OSError):
        return False


def main(arguments: Sequence[str] | None = None) -> int:
    """0: ready; 1: not ready; 2: a bad setting."""
    parser = argparse.ArgumentParser(prog="martlet.runtime.probe", description="Is the service here ready?")
    parser.add_argument("service", choices=SERVICES)
    parser.add_argument("--config", type=Path, help="YAML settings")
    options = parser.parse_args(arguments)
    try:
        config = load_config(options.config)
    except InvalidInput as error:
        print(error, file=sys.stderr)  # noqa: T201  for whoever looks at the health check's log
        return 2
    return 0 if is_ready(ready_url(config, options.service)) else 1


if __name__ == "__main__":
    sys.exit(main())
