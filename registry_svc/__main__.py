"""`python -m registry_svc`: the registry."""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from martlet.errors import MartletError
from martlet.runtime.config import load_config
from martlet.runtime.logs import set_up_logs
from registry_svc.app import run


def main(arguments: Sequence[str] | None = None) -> int:
    """Serves until SIGTERM or SIGINT. 0: ended in order; 2: a bad setting or a taken port, told in one line."""
    parser = argparse.ArgumentParser(prog="martlet-registry", description="Keeps the catalog and says what is aspired.")
    parser.add_argument("--config", type=Path, help="YAML settings")
    parser.add_argument("--data-dir", type=Path, help="where the embedded parts live")
    parser.add_argument("--ports-file", type=Path, help="write the bound ports here, as one JSON line")
    options = parser.parse_args(arguments)
    try:
        config = load_config(options.config)
        if options.data_dir is not None:
            config = replace(config, data_dir=options.data_dir)
        set_up_logs(config.log)
        asyncio.run(run(config, options.ports_file))
    except (MartletError, OSError) as error:
        print(f"martlet-registry: {error}", file=sys.stderr)  # noqa: T201  for whoever started it by hand
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
