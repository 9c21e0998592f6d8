"""`martlet backup` and `martlet restore`: the data directory into a folder while everything runs, and back."""

import argparse
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeVar

from rich.console import Console

from martlet.backup.catalog_cut import CatalogCut, SqliteCut
from martlet.backup.postgres_cut import DUMP, PostgresCut
from martlet.backup.record import BackupRecord
from martlet.backup.restoring import restore, restore_artifacts
from martlet.backup.taking import Parts, take_backup
from martlet.clock import SystemClock
from martlet.command_options import add_verb, config_of, console, print_json
from martlet.errors import Unavailable
from martlet.runtime.config import Config

OK: Final = 0

T = TypeVar("T")


def add_backup(verbs: Any) -> None:
    """The two verbs and their options."""
    backup = add_verb(verbs, "backup", _backup, "copy the data directory into a folder while everything runs")
    backup.add_argument("folder", type=Path, help="empty or absent, or what an interrupted backup has left")
    backup.add_argument(
        "--hold",
        metavar="COMMAND",
        default="",
        help="run by the shell at the backup's moment, while the catalog stands still",
    )
    restored = add_verb(verbs, "restore", _restore, "make a data directory of a backup; services must not run on it")
    restored.add_argument("folder", type=Path, help="a backup")
    restored.add_argument(
        "--artifacts", action="store_true", help="only put lost or damaged artifacts back; services may run"
    )


def parts_of(config: Config) -> Parts:
    """The parts of a data directory that can be copied as files."""
    elsewhere: dict[str, str] = {}
    if config.registry.catalog_url:
        elsewhere["catalog"] = f"in the backup as {DUMP}, for pg_restore"
    if config.event_log.kind != "file":
        elsewhere["event_log"] = config.event_log.kind
    if config.artifacts.kind != "folder":
        elsewhere["artifacts"] = config.artifacts.kind
    return Parts(
        config.data_dir,
        config.checkpoint_dir,
        config.dead_letter_dir,
        None if "event_log" in elsewhere else config.event_log_dir,
        None if "artifacts" in elsewhere else config.artifact_dir,
        elsewhere,
    )


def cut_of(config: Config) -> CatalogCut:
    """A moment of the catalog, wherever it stands."""
    if config.registry.catalog_url:
        return PostgresCut(config.registry.catalog_url)
    return SqliteCut(config.data_dir / "catalog.db")


def _backup(options: argparse.Namespace) -> int:
    config = config_of(options)

    def held() -> None:
        if options.hold and subprocess.run(options.hold, shell=True, check=False).returncode:  # noqa: S602  asked for
            raise Unavailable(f"there is no backup, for this failed: {options.hold}")

    record = _watched(
        lambda progress: take_backup(
            parts_of(config), lambda: cut_of(config), options.folder, SystemClock(), progress, held
        )
    )
    _tell(options, record, "holds", options.folder)
    return OK


def _restore(options: argparse.Namespace) -> int:
    config = config_of(options)
    if options.artifacts:
        store = config.artifact_dir
        lost = _watched(lambda progress: restore_artifacts(options.folder, config.data_dir, store, progress))
        if options.json:
            print_json({"restored": [file.path for file in lost]})
        else:
            console().print(f"{len(lost)} artifacts were lost and are back", *(file.path for file in lost), sep="\n  ")
        return OK
    record = _watched(lambda progress: restore(options.folder, config.data_dir, progress))
    _tell(options, record, "holds again", config.data_dir)
    return OK


def _watched(work: Callable[[Callable[[str, int], None]], T]) -> T:
    """Does the work; on a terminal one sees how far it has come.

    Raises:
        Unavailable: the disk refused.
    """
    with Console(stderr=True).status("") as status:
        try:
            return work(lambda what, size: status.update(f"{what} ({size:,} bytes)"))
        except OSError as error:
            raise Unavailable(f"{error.filename or 'the disk'}: {error.strerror or error}") from error


def _tell(options: argparse.Namespace, record: BackupRecord, did: str, where: Path) -> None:
    if options.json:
        shown = {name: getattr(record, name) for name in ("martlet", "taken_us", "marks", "versions", "elsewhere")}
        print_json({**shown, "files": len(record.files), "bytes": record.size})
        return
    moment = datetime.fromtimestamp(record.taken_us / 1e6, UTC)
    screen = console()
    screen.print(
        f"{where} {did} {len(record.files)} files, {record.size:,} bytes, as of {moment:%Y-%m-%d %H:%M:%S} UTC"
    )
    screen.print(*(f"model {model} up to version {version}" for model, version in record.versions.items()), sep="\n")
    for part, where_else in record.elsewhere.items():
        screen.print(f"elsewhere: {part} ({where_else})")
