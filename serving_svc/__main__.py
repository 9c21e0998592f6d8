"""`python -m serving_svc`: one serving replica."""

import argparse
import asyncio
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from prometheus_client import CollectorRegistry

from martlet.clock import SystemClock
from martlet.errors import MartletError
from martlet.runtime.config import Config, load_config
from martlet.runtime.logs import set_up_logs
from serving_svc.app import ServingApp


def main(arguments: Sequence[str] | None = None) -> int:
    """Serves until SIGTERM or SIGINT. 0: drained in order; 2: a bad setting or a taken place, told in one line."""
    parser = argparse.ArgumentParser(prog="martlet-serving", description="Answers requests with the aspired versions.")
    parser.add_argument("--config", type=Path, help="YAML settings")
    parser.add_argument("--data-dir", type=Path, help="where the embedded parts live")
    parser.add_argument("--ports-file", type=Path, help="write the bound ports here, as one JSON line")
    options = parser.parse_args(arguments)
    try:
        config = load_config(options.config)
        if options.data_dir is not None:
            config = replace(config, data_dir=options.data_dir)
        set_up_logs(config.log)
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_serve(config, options.ports_file))
    except (MartletError, OSError) as error:
        print(f"martlet-serving: {error}", file=sys.stderr)  # noqa: T201  for whoever started it by hand
        return 2
    return 0


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
