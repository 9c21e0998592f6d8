"""`python -m serving_svc`: a serving replica, or a host of several (`serving.workers`)."""

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from martlet.clock import SystemClock
from martlet.errors import InvalidInput
from martlet.runtime.command import add_service_options, exit_code, service_config
from martlet.runtime.config import Config
from serving_svc.host import BUILDER_ROLE, WORKER_ROLE, ServingHost, build_tables

PROGRAM = "martlet-serving"


def main(arguments: Sequence[str] | None = None) -> int:
    """Serves until SIGTERM or SIGINT. 0: drained in order; 2: a bad setting or a taken place, told in one line."""
    parser = argparse.ArgumentParser(prog=PROGRAM, description="Answers requests with the aspired versions.")
    add_service_options(parser)
    parser.add_argument("--role", choices=("", WORKER_ROLE, BUILDER_ROLE), default="", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    return exit_code(PROGRAM, lambda: _run(options))


def _run(options: argparse.Namespace) -> int:
    config = service_config(options)
    if config.serving.workers < 1:
        raise InvalidInput(f"bad setting: serving.workers must be at least 1, not {config.serving.workers}")
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_work(config, options))
    return 0


async def _work(config: Config, options: argparse.Namespace) -> None:
    if options.role:
        _end_with_the_host()
    if options.role == BUILDER_ROLE:
        await build_tables(config, options.ports_file)
    elif options.role == WORKER_ROLE or config.serving.workers == 1:
        await _serve(config, options.ports_file)
    else:
        await ServingHost(config, _passed_on(options)).serve(options.ports_file)


async def _serve(config: Config, ports_file: Path | None) -> None:
    # A host's supervisor and builder need neither gRPC nor onnxruntime: half of a worker's memory.
    from prometheus_client import CollectorRegistry  # noqa: PLC0415

    from serving_svc.app import ServingApp  # noqa: PLC0415

    app = ServingApp(config, SystemClock(), CollectorRegistry())
    await app.start()
    await app.serve(ports_file)


def _passed_on(options: argparse.Namespace) -> list[str]:
    """The command line for a host's children."""
    config = ["--config", str(options.config)] if options.config else []
    return [*config, *(["--data-dir", str(options.data_dir)] if options.data_dir else [])]


def _end_with_the_host() -> None:
    """Drains when the host's end of our stdin closes: it is gone, however it went."""

    def gone() -> None:
        if not os.read(sys.stdin.fileno(), 1):
            asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
            os.kill(os.getpid(), signal.SIGTERM)

    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), gone)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Uvloop where it is installed: about a tenth less time for each request."""
    try:
        import uvloop  # noqa: PLC0415  optional
    except ImportError:
        return None
    return uvloop.new_event_loop


if __name__ == "__main__":
    sys.exit(main())
