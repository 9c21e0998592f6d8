"""`martlet publish`: its options, and how the record is shown."""

import argparse
from pathlib import Path
from typing import Any

from martlet.command_options import config_of, console, places_of, print_json
from martlet.versions import CatalogState
from trainer_svc.frozen.app import publish

OK, REFUSED = 0, 1


def add_publish(commands: Any) -> None:
    """The verb and its options."""
    parser = commands.add_parser("publish", help="a frozen ONNX model becomes a version")
    parser.add_argument("file", type=Path, metavar="MODEL.onnx")
    parser.add_argument("--name", required=True, metavar="MODEL", help="what callers call it")
    parser.add_argument("--inputs", type=Path, metavar="SPEC.yaml", help="the features that its inputs are made of")
    parser.add_argument("--config", type=Path, help="YAML settings (or MARTLET_CONFIG)")
    parser.add_argument("--data-dir", type=Path, help="where the embedded parts live")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    for service in ("serving", "registry", "trainer"):
        parser.add_argument(f"--{service}", metavar="HOST:PORT", help=f"the {service}'s address")


def run_publish(options: argparse.Namespace) -> int:
    """Checks, stores, offers. 1: the registry refused it.

    Raises:
        InvalidInput: the model cannot be served.
        Conflict, Unavailable: the registry does not take it now.
    """
    record = publish(options.file, options.inputs, options.name, places_of(options), config_of(options))
    if options.json:
        print_json({"model": record.model, "version": record.version, "digest": record.digest,
                    "state": record.state.name, "reason": record.reason})  # fmt: skip
    elif record.state is CatalogState.REJECTED:
        console().print(f"refused: {record.reason}")
    else:
        console().print(f"version {record.version} of {record.model} is {record.state.name}")
    return REFUSED if record.state is CatalogState.REJECTED else OK
