"""Puts a backup back: into a data directory that is empty, or only the blobs that an artifact store has lost.

Everything is copied aside into `.restoring` of the data directory and verified, then renamed to its place. Broken off,
it goes on where it stood; nothing is ever overwritten.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

from martlet.backup.postgres_cut import DUMP
from martlet.backup.record import BackupFile, BackupRecord, check_file, file_digest, read_record
from martlet.durable import sync_folder
from martlet.errors import Conflict

ASIDE: Final = ".restoring"
HARMLESS: Final = frozenset({ASIDE, "lost+found"})

Progress = Callable[[str, int], None]
"""Hears what was put back, and its bytes."""


def restore(folder: Path, root: Path, progress: Progress) -> BackupRecord:
    """Makes a data directory of a backup. A dump of a database is left to pg_restore.

    Raises:
        NotFound, Corrupt: the folder is no backup, or damaged. Nothing was put in place then.
        Conflict: the data directory holds something.
    """
    record = read_record(folder)
    aside = root / ASIDE
    held = sorted(path.name for path in root.iterdir() if path.name not in HARMLESS) if root.is_dir() else []
    if held and not aside.is_dir():
        raise Conflict(f"{root} holds {', '.join(held[:3])}; nothing is overwritten: name another data directory")
    aside.mkdir(parents=True, exist_ok=True)
    for file in record.files:
        if file.path != DUMP and not (root / file.path).exists():
            _put(folder, aside, file)
            progress(file.path, file.size)
    for entry in sorted(aside.iterdir()):
        _move(entry, root / entry.name)
    aside.rmdir()
    sync_folder(root)
    return record


def restore_artifacts(folder: Path, root: Path, artifacts: Path, progress: Progress) -> tuple[BackupFile, ...]:
    """Puts back the blobs that are missing or damaged in an artifact store, while services run; gives which.

    A blob is named by its digest, so what comes back is what was there.

    Raises:
        NotFound, Corrupt: the folder is no backup, or the blob is damaged there too.
    """
    below = artifacts.relative_to(root).as_posix() + "/"
    lost = tuple(file for file in read_record(folder).files if file.path.startswith(below) and _is_lost(root, file))
    for file in lost:
        _put(folder, root, file)
        progress(file.path, file.size)
    return lost


def _is_lost(root: Path, file: BackupFile) -> bool:
    path = root / file.path
    return not path.exists() or path.stat().st_size != file.size or file_digest(path) != file.digest


def _put(folder: Path, root: Path, file: BackupFile) -> None:
    """Copies one file, verified, durably; it appears whole."""
    target = root / file.path
    if target.exists() and not _is_lost(root, file):
        return
    check_file(folder, file)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".part-{target.name}")
    shutil.copyfile(folder / file.path, part)
    handle = os.open(part, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
    part.replace(target)
    check_file(root, file)
    sync_folder(target.parent)


def _move(source: Path, target: Path) -> None:
    """Renames a file or a folder to its place; what an earlier try has moved already is joined."""
    if source.is_dir() and target.is_dir():
        for entry in sorted(source.iterdir()):
            _move(entry, target / entry.name)
        source.rmdir()
        return
    if target.exists():
        raise Conflict(f"{target} has come into being meanwhile: stop the services and begin again")
    source.replace(target)
