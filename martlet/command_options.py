"""What the verbs that ask running services have in common: where these answer, and how the answer is shown."""

import argparse
import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from martlet.runtime.channel_security import channel_security, own_token
from martlet.runtime.config import Config, load_config
from martlet.views import Places

WITHOUT_ADDRESSES: Final = frozenset({"up", "backup", "restore"})
LARGEST_COUNT: Final = (1 << 32) - 1  # what every number on the wire holds
PIPED_WIDTH: Final = 200  # what is read by a program or a file is not cut to a terminal's width


def add_verb(verbs: Any, name: str, run: Callable[[argparse.Namespace], int], does: str) -> argparse.ArgumentParser:
    """A verb with the options that all of them take; `run` gives the exit code."""
    parser: argparse.ArgumentParser = verbs.add_parser(name, help=does, description=does[:1].upper() + does[1:] + ".")
    parser.set_defaults(run=run)
    parser.add_argument("--config", type=Path, help="YAML settings (or MARTLET_CONFIG)")
    parser.add_argument("--data-dir", type=Path, help="where the embedded parts live")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    if name not in WITHOUT_ADDRESSES:
        for service in ("serving", "registry", "trainer"):
            parser.add_argument(f"--{service}", metavar="HOST:PORT", help=f"the {service}'s address")
    return parser


def config_of(options: argparse.Namespace) -> Config:
    """The settings, with what the command line says of them.

    Raises:
        InvalidInput: a bad setting.
    """
    config = load_config(options.config)
    return config if options.data_dir is None else replace(config, data_dir=options.data_dir)


def places_of(options: argparse.Namespace) -> Places:
    """Where the services answer.

    Raises:
        InvalidInput: a bad setting.
    """
    config = config_of(options)
    serving, registry, trainer = config.serving, config.registry, config.trainer
    return Places(
        serving=options.serving or dialled(serving.host, serving.grpc_port),
        registry=options.registry or dialled(registry.host, registry.grpc_port),
        trainer=options.trainer or dialled(trainer.host, trainer.grpc_port),
        token=own_token(config.auth),
        tls=channel_security(config.tls),
    )


def dialled(host: str, port: int) -> str:
    """Where to dial what listens there: an address that means every interface is dialled on this machine."""
    return f"{'127.0.0.1' if host in ('0.0.0.0', '::', '[::]') else host}:{port}"  # noqa: S104  compared, not bound


def console() -> Console:
    """What tables are printed on: as wide as the terminal; without one as wide as COLUMNS says, or wide."""
    fitting = sys.stdout.isatty() or "COLUMNS" in os.environ
    return Console(width=None if fitting else PIPED_WIDTH, highlight=False)


def print_json(shown: Any) -> None:
    """One document, one line, at once."""
    sys.stdout.write(json.dumps(shown) + "\n")
    sys.stdout.flush()


def count(text: str) -> int:
    """A number of things, or a version's, for argparse.

    Raises:
        ArgumentTypeError: it is no whole number from 0 on, or absurdly large.
    """
    if not text.isdecimal() or int(text) > LARGEST_COUNT:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 0 to {LARGEST_COUNT}")
    return int(text)
