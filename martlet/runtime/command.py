"""What the services' programs share: their options, their settings, and how they tell a bad one."""

import argparse
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from martlet.errors import MartletError
from martlet.runtime.config import Config, load_config
from martlet.runtime.logs import set_up_logs


def add_service_options(parser: argparse.ArgumentParser) -> None:
    """The options that every service has."""
    parser.add_argument("--config", type=Path, help="YAML settings")
    parser.add_argument("--data-dir", type=Path, help="where the embedded parts live")
    parser.add_argument("--ports-file", type=Path, help="write the bound ports here, as one JSON line")


def service_config(options: argparse.Namespace) -> Config:
    """The settings, with what the command line says; sets the process's logs up.

    Raises:
        InvalidInput: a bad setting.
    """
    config = load_config(options.config)
    if options.data_dir is not None:
        config = replace(config, data_dir=options.data_dir)
    set_up_logs(config.log)
    return config


def exit_code(program: str, work: Callable[[], int]) -> int:
    """Does the work; a bad setting, bad input or a taken place is told in one line and gives 2."""
    try:
        return work()
    except (MartletError, OSError) as error:
        print(f"{program}: {error}", file=sys.stderr)  # noqa: T201  for whoever started it by hand
        return 2
