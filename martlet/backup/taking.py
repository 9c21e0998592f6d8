"""Takes a backup (see `martlet.backup` for the order, and why it can be started from)."""

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import martlet
from martlet.artifacts import FolderStore
from martlet.backup.catalog_cut import CatalogCut
from martlet.backup.partitions import (
    Trimmed,
    begins_of,
    copy_partitions,
    marks_of,
    partitions_below,
    payloads_behind,
)
from martlet.backup.record import BEGUN, RECORD, BackupFile, BackupRecord, file_digest, files_below, write_record
from martlet.backup.whole_files import copy_held, held_open
from martlet.clock import Clock
from martlet.durable import sync_folder, write_durably
from martlet.errors import Conflict, Corrupt, Unavailable
from martlet.manifest import decode_manifest
from martlet.versions import CatalogState

TRIES: Final = 5
FORGOT: Final = b'{"type":"forgot"'  # how the trainer's journal begins the entry that forgets a user
ARTIFACTS: Final = ("blobs", "manifests", "signatures")
NOT_SERVED: Final = frozenset({CatalogState.PENDING, CatalogState.REJECTED, CatalogState.EXPIRED})

Progress = Callable[[str, int], None]
"""Hears what was copied, and how many bytes of it."""


@dataclass(frozen=True, slots=True)
class Parts:
    """Where the parts of a data directory stand; what is None stands elsewhere and is not taken.

    Attributes:
        root: the data directory; the others lie below it.
        elsewhere: part → where it stands instead, for people.
    """

    root: Path
    trainer: Path
    letters: Path
    events: Path | None
    artifacts: Path | None
    elsewhere: dict[str, str]


class _Again(Exception):
    """Something went while it was copied, lawfully: the moment has to be another."""


def nothing_else() -> None:
    """Nothing stands elsewhere."""


def take_backup(
    parts: Parts,
    open_cut: Callable[[], CatalogCut],
    folder: Path,
    clock: Clock,
    progress: Progress,
    held: Callable[[], None] = nothing_else,
) -> BackupRecord:
    """Takes a backup into a folder that is empty, or that an earlier try has left unfinished.

    `open_cut` gives a fresh moment of the catalog, for each try; `held` is called at it, after the journals' ends were
    noted: what stands elsewhere may be copied there.

    Raises:
        Conflict: the folder holds a backup, or something else.
        Corrupt: what is to be backed up is damaged.
        NotFound: there is no catalog.
        Unavailable: nothing stood still for long enough.
    """
    _claim(folder)
    reason = ""
    for _ in range(TRIES):
        try:
            with open_cut() as cut:
                return _try(parts, cut, folder, clock, progress, held)
        except _Again as again:
            reason = str(again)
            progress(f"once more: {reason}", 0)
    raise Unavailable(f"there is no backup after {TRIES} tries: {reason}")


def _try(
    parts: Parts, cut: CatalogCut, folder: Path, clock: Clock, progress: Progress, held: Callable[[], None]
) -> BackupRecord:
    def moment() -> tuple[dict[str, int], int]:
        noted = _marks(parts), clock.now_us()
        held()
        return noted

    begins = _begins(parts)
    with held_open(one for one in (parts.trainer,) if one.is_dir()) as whole:
        marks, taken_us = cut.freeze(moment)
        copy_held(whole, parts.root, folder)
        kept = {path.relative_to(parts.root) for path in whole}
    progress("checkpoints", sum((folder / path).stat().st_size for path in kept))
    try:
        copy_partitions(parts.root, folder, marks, begins)
    except Trimmed as trimmed:
        raise _Again(str(trimmed)) from trimmed
    progress("journals and events", sum(marks.values()))
    cut.store(folder)
    versions = _versions(folder)
    if parts.artifacts is not None:
        progress("artifacts", _copy_artifacts(parts.artifacts, folder / parts.artifacts.relative_to(parts.root)))
        _check_blobs(folder, folder / parts.artifacts.relative_to(parts.root))
    _check_nobody_was_forgotten(parts, marks)
    _drop_leftovers(folder, parts, kept, marks)
    files = tuple(_described(folder))
    record = BackupRecord(martlet.__version__, taken_us, marks, versions, parts.elsewhere, files)
    progress("verified", record.size)
    write_record(folder, record)
    (folder / BEGUN).unlink()
    sync_folder(folder)
    return record


def _claim(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / RECORD).exists():
        raise Conflict(f"{folder} holds a backup already; nothing is overwritten: name another folder")
    if any(folder.iterdir()) and not (folder / BEGUN).exists():
        raise Conflict(f"{folder} is not empty; nothing is overwritten: name another folder")
    write_durably(folder / BEGUN, memoryview(martlet.__version__.encode()))


def _marks(parts: Parts) -> dict[str, int]:
    """Dead letters, then journals, then the log: what refers to something is noted before it."""
    marks: dict[str, int] = {}
    for root in (parts.letters, parts.trainer, parts.events):
        if root is not None and root.is_dir():
            marks |= marks_of(parts.root, partitions_below(root))
    return marks


def _begins(parts: Parts) -> dict[str, int]:
    return begins_of(parts.root, partitions_below(parts.trainer)) if parts.trainer.is_dir() else {}


def _versions(folder: Path) -> dict[str, int]:
    """The newest version of each model, if the catalog is in the backup."""
    return {model: max(number for number, _, _ in rows) for model, rows in _catalog_rows(folder).items()}


def _catalog_rows(folder: Path) -> dict[str, list[tuple[int, int, bytes]]]:
    """Model → (number, state, manifest) of its versions."""
    path = folder / "catalog.db"
    found: dict[str, list[tuple[int, int, bytes]]] = {}
    if path.exists():
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        try:
            for model, *rest in connection.execute("SELECT model, version, state, manifest FROM versions"):
                found.setdefault(model, []).append((rest[0], rest[1], rest[2]))
        finally:
            connection.close()
    return found


def _copy_artifacts(source: Path, target: Path) -> int:
    """Copies blobs, manifests and signatures; gives their bytes. Uploads under way are left."""
    total = 0
    for kind in ARTIFACTS:
        for path in files_below(source / kind):
            copy = target / path.relative_to(source)
            try:
                total += _copy(path, copy)
            except FileNotFoundError:  # expired; whether it is missed, the catalog's copy says
                copy.unlink(missing_ok=True)
    return total


def _copy(source: Path, target: Path) -> int:
    stat = source.stat()
    if target.exists() and target.stat().st_size == stat.st_size and target.stat().st_mtime_ns == stat.st_mtime_ns:
        return stat.st_size
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source, target)
    handle = os.open(target, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
    return stat.st_size


def _check_blobs(folder: Path, artifacts: Path) -> None:
    """All that the standing versions of the catalog's copy name is in the backup."""
    for model, rows in _catalog_rows(folder).items():
        for number, state, encoded in rows:
            if state in NOT_SERVED:
                continue
            for blob in decode_manifest(encoded).blobs():
                path = FolderStore(artifacts).blob_path(blob.digest)
                if not path.exists() or path.stat().st_size != blob.size:
                    raise _Again(f"version {number} of {model} needs blob {blob.digest}, which is not in the store")


def _check_nobody_was_forgotten(parts: Parts, marks: Mapping[str, int]) -> None:
    """Erasing changes what is noted already. It begins with an entry of a journal, which is behind the mark then."""
    for name, mark in marks.items():
        in_trainer = (parts.root / name).is_relative_to(parts.trainer)
        if in_trainer and any(payload.startswith(FORGOT) for payload in payloads_behind(parts.root / name, mark)):
            raise _Again("a user was forgotten meanwhile")


def _drop_leftovers(folder: Path, parts: Parts, kept: set[Path], marks: Mapping[str, int]) -> None:
    """Removes what an earlier try has copied and this one has not."""
    for path in list(files_below(folder)):
        place = path.relative_to(folder)
        in_partition = str(place.parent) in marks
        artifact = parts.artifacts is not None and (parts.root / place).is_relative_to(parts.artifacts)
        if not (place in kept or in_partition or artifact or len(place.parts) == 1):
            path.unlink()


def _described(folder: Path) -> Iterator[BackupFile]:
    for path in files_below(folder):
        if path.name == BEGUN and path.parent == folder:
            continue
        file = BackupFile(path.relative_to(folder).as_posix(), path.stat().st_size, file_digest(path))
        if path.parent.parent.name == ARTIFACTS[0] and file.digest != path.name:
            raise Corrupt(f"blob {path.name} of the artifact store is damaged")
        yield file
