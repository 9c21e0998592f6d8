"""The options of `martlet backfill` and `martlet export`."""

import argparse
import json
from pathlib import Path
from typing import Any

import msgspec

from martlet.errors import InvalidInput
from trainer_svc.backfill.mapping import ColumnMap, read_map
from trainer_svc.backfill.run import BackfillOptions


def add_backfill(commands: Any, common: argparse.ArgumentParser) -> None:
    """`backfill SOURCE`."""
    does = "learn a history from elsewhere; the log is learned behind it"
    backfill = commands.add_parser("backfill", help=does, parents=[common])
    backfill.add_argument("source", help="a .parquet or .csv file, or a SQLAlchemy URL")
    backfill.add_argument("--map", type=Path, help="YAML: which columns mean what (not for what `export` wrote)")
    backfill.add_argument("--query", default="", help="of a database: the SELECT whose rows are the history, by time")
    backfill.add_argument(
        "--overlap", choices=("time", "prediction_id"), default="time", help="by what both hold the same (time)"
    )
    backfill.add_argument(
        "--before", default="", metavar="TIME", help="ISO 8601: from then on the log is learned instead"
    )
    backfill.add_argument("--json", action="store_true")


def add_export(commands: Any, common: argparse.ArgumentParser) -> None:
    """`export examples FILE`."""
    export = commands.add_parser("export", help="write joined examples as Parquet", parents=[common])
    export.add_argument("what", choices=("examples",))
    export.add_argument("out", type=Path, help="the file to write")
    export.add_argument("--since", default="", metavar="TIME", help="ISO 8601: of predictions made since")
    export.add_argument("--json", action="store_true")


def backfill_options(options: argparse.Namespace) -> BackfillOptions:
    """What the command line asks for.

    Raises:
        InvalidInput: the mapping or the time cannot be read.
    """
    columns = "" if options.map is None else json.dumps(msgspec.to_builtins(read_map(options.map)))
    source = options.source if "://" in options.source else str(Path(options.source).absolute())
    return BackfillOptions(source, options.query, columns, options.overlap, time_us(options.before))


def time_us(text: str) -> int:
    """A time on the command line, microseconds since 1970-01-01 UTC; 0 for none.

    >>> time_us("1970-01-01T00:00:01")
    1000000

    Raises:
        InvalidInput: it is no time.
    """
    return ColumnMap({}, "", "time").time_us(text) if text else 0


def told(what: dict[str, Any], *, as_json: bool) -> str:
    """What happened, for a program or for people."""
    if as_json:
        return json.dumps(what)
    return "\n".join(f"{name}: {value}" for name, value in what.items())


def check_file(path: Path) -> None:
    """Raises InvalidInput where a file cannot be written."""
    if not path.parent.is_dir():
        raise InvalidInput(f"there is no folder {path.parent}")
