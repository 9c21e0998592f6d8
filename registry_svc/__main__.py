"""`python -m registry_svc`: the registry."""

import argparse
import asyncio
import sys
from collections.abc import Sequence

from martlet.runtime.command import add_service_options, exit_code, service_config
from registry_svc.app import run

PROGRAM = "martlet-registry"


def main(arguments: Sequence[str] | None = None) -> int:
    """Serves until SIGTERM or SIGINT. 0: ended in order; 2: a bad setting or a taken port, told in one line."""
    parser = argparse.ArgumentParser(prog=PROGRAM, description="Keeps the catalog and says what is aspired.")
    add_service_options(parser)
    options = parser.parse_args(arguments)

    def serve() -> int:
        asyncio.run(run(service_config(options), options.ports_file))
        return 0

    return exit_code(PROGRAM, serve)


if __name__ == "__main__":
    sys.exit(main())
