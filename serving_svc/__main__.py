"""`python -m serving_svc`: one serving replica."""

import argparse
import asyncio
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from prometheus_client import CollectorRegistry

from martlet.clock import SystemClock
from martlet.runtime.command import add_service_options, exit_code, service_config
from martlet.runtime.config import Config
from serving_svc.app import ServingApp

PROGRAM = "martlet-serving"


def main(arguments: Sequence[str] | None = None) -> int:
    """Serves until SIGTERM or SIGINT. 0: drained in order; 2: a bad setting or a taken place, told in one line."""
    parser = argparse.ArgumentParser(prog=PROGRAM, description="Answers requests with the aspired versions.")
    add_service_options(parser)
    options = parser.parse_args(arguments)

    def serve() -> int:
        config = service_config(options)
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_serve(config, options.ports_file))
        return 0

    return exit_code(PROGRAM, serve)


async def _serve(config: Config, ports_file: Path | None) -> None:
    app = ServingApp(config, SystemClock(), CollectorRegistry())
    await app.start()
    await app.serve(ports_file)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Uvloop where it is installed: about a tenth less time for each request."""
    try:
        import uvloop  # noqa: PLC0415  optional
    except ImportError:
        return None
    return uvloop.new_event_loop


if __name__ == "__main__":
    sys.exit(main())
