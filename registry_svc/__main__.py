"""`python -m registry_svc`: the registry; `migrate`: its catalog's schema, by hand."""

import argparse
import asyncio
import sys
from collections.abc import Sequence

from martlet.runtime.command import add_service_options, exit_code, service_config
from registry_svc.app import run
from registry_svc.catalog_database import migrate_database
from registry_svc.catalog_schema import NEWEST

PROGRAM = "martlet-registry"


def main(arguments: Sequence[str] | None = None) -> int:
    """Serves until SIGTERM or SIGINT. 0: ended in order; 2: a bad setting or a taken port, told in one line."""
    options = _parser().parse_args(arguments)
    return exit_code(PROGRAM, lambda: _do(options))


def _do(options: argparse.Namespace) -> int:
    config = service_config(options)
    if options.command == "migrate":
        print(migrate_database(config.catalog_url, options.to))  # noqa: T201  what there is now
    else:
        asyncio.run(run(config, options.ports_file))
    return 0


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    add_service_options(common)
    parser = argparse.ArgumentParser(
        prog=PROGRAM, description="Keeps the catalog and says what is aspired.", parents=[common]
    )
    commands = parser.add_subparsers(dest="command")
    migrating = commands.add_parser("migrate", help="bring the catalog to a revision, or back", parents=[common])
    migrating.add_argument("--to", default=NEWEST, help="a revision; `head` (the newest) or `base` (nothing)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
